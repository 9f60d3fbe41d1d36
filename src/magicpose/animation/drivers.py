"""What moves the person: a built-in motion, keypoints in any format, or pictures to find them in, or pose maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.media import IMAGE_SUFFIXES, AudioSource, exact_fps, list_images, probe, read_image, read_video
from magicpose.pose.detection.cache import hash_files
from magicpose.pose.detection.detect import PICTURE_FPS, detect_poses
from magicpose.pose.documents.document import load_person
from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.motions import MOTIONS, load_motion
from magicpose.pose.people import Person
from magicpose.progress import Progress

Frame = NDArray[np.uint8]  # [H, W, 3]

MAX_FRAMES = 36_000  # twenty minutes at 30 frames per second
_FRAMES_JUDGED = 8  # a clip of pose maps may begin with empty ones
_BLACK, _LIT = 24, 64  # grey levels
_HUES = 12


@dataclass(frozen=True)
class DriverOptions:
    """How to read a driver. Times in seconds from its start."""

    fps: float | None = None
    start: float | None = None
    end: float | None = None
    person: Person = "largest"
    detector: str = "auto"
    maps: bool | None = None
    """Pictures are rendered pose maps; None: judged by the first of them."""


@dataclass(frozen=True)
class Driver:
    """A motion: `track`, or `maps` that are used as they are. `pictures` are what it was found in, if anything."""

    name: str
    fps: Fraction
    track: PoseTrack | None = None
    maps: Callable[[], Iterator[Frame]] | None = None
    pictures: Callable[[], Iterator[Frame]] | None = None
    audio: AudioSource | None = None


def read_driver(source: str, options: DriverOptions, progress: Progress | None = None) -> Driver:
    """The driver named `source`. Raises UserError if it is nothing known, cannot be read, or shows nobody."""
    path = Path(source)
    if not path.exists():
        if source in MOTIONS:
            return _from_track(source, load_motion(source), options)
        kind = "file or folder" if path.suffix or len(path.parts) > 1 else "file, folder or built-in motion"
        raise UserError(f"there is no {kind} {source!r}; built-in motions: {', '.join(MOTIONS)}")
    if path.suffix.lower() == ".json" or (path.is_dir() and any(path.glob("*_keypoints.json"))):
        track = load_person(path, options.person, fps=options.fps or PICTURE_FPS)
        return _from_track(path.name, track, options)
    return _from_pictures(path, options, progress)


def fingerprint(source: str) -> str:
    """A hash of the driver's content, or its name where it is built in."""
    path = Path(source)
    if path.is_dir():
        return hash_files(sorted(entry for entry in path.iterdir() if entry.is_file()))
    return hash_files([path]) if path.is_file() else source


def _from_track(name: str, track: PoseTrack, options: DriverOptions) -> Driver:
    track = resample(track, options.fps, options.start, options.end)
    _check_length(name, len(track))
    if not (track.stacked()[..., 2] > 0).any():
        raise UserError(f"{name} shows nobody: every point of it is absent")
    return Driver(name, exact_fps(track.fps), track)


def resample(
    track: PoseTrack, fps: float | None = None, start: float | None = None, end: float | None = None
) -> PoseTrack:
    """`track` from `start` to `end` seconds at `fps`, positions in between interpolated where both are there."""
    rate, begin = fps or track.fps, start or 0.0
    exact_fps(rate)
    duration = len(track) / track.fps
    stop = duration if end is None else min(end, duration)
    if not 0 <= begin < stop:
        raise UserError(f"nothing lies between {begin:g} s and {stop:g} s: the motion lasts {duration:.2f} s")
    count = max(1, round((stop - begin) * rate))
    where = np.clip((begin + np.arange(count) / rate) * track.fps, 0, len(track) - 1)
    before = np.floor(where + 1e-6).astype(int)
    after = np.minimum(before + 1, len(track) - 1)
    share = np.clip(where - before, 0, 1)[:, None, None].astype(np.float32)
    points = track.stacked()
    a, b = points[before], points[after]
    both = (a[..., 2:] > 0) & (b[..., 2:] > 0)
    nearest = np.where(share < 0.5, a, b)
    mixed = np.where(both, a + share * (b - a), nearest)
    return PoseTrack.from_stacked(mixed.astype(np.float32), track.size, rate, track.source)


def _from_pictures(path: Path, options: DriverOptions, progress: Progress | None) -> Driver:
    still = path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}
    audio: AudioSource | None = None
    pictures: Callable[[], Iterator[Frame]]
    if still or path.is_dir():
        files = [path] if still else list_images(path)
        rate = exact_fps(options.fps or PICTURE_FPS)
        pictures, count = (lambda: (np.asarray(read_image(file)) for file in files)), len(files)
        if options.start is not None or options.end is not None:
            raise UserError(f"{path} is no video: --start and --end do not apply to it")
    else:
        info = probe(path)
        rate = exact_fps(options.fps or info.fps)
        pictures = lambda: read_video(path, options.fps, options.start, options.end)  # noqa: E731
        count = info.frames
        if info.has_audio:
            audio = AudioSource(path, options.start or 0.0, options.end)
    _check_length(str(path), count)
    if options.maps or (options.maps is None and are_maps(pictures())):
        return Driver(path.name, rate, maps=pictures, audio=audio)
    track = detect_poses(
        path,
        options.detector,
        person=options.person,
        fps=options.fps,
        start=options.start,
        end=options.end,
        progress=progress,
    )
    return Driver(path.name, rate, track, pictures=pictures, audio=audio)


def _check_length(name: str, frames: int) -> None:
    if frames > MAX_FRAMES:
        raise UserError(
            f"{name} has about {frames} frames, more than {MAX_FRAMES}: choose a part with --start and --end"
        )


def are_maps(frames: Iterable[Frame]) -> bool:
    """Whether the first frame that is not empty looks like a rendered pose map."""
    for frame in itertools.islice(frames, _FRAMES_JUDGED):
        if (frame.max(axis=-1) >= _LIT).mean() > 1e-4:
            return looks_like_map(frame)
    return False


def looks_like_map(frame: Frame) -> bool:
    """Mostly black, and what is lit is saturated in at least a third of all hues, as no photo of a person is."""
    value = frame.max(axis=-1).astype(np.int32)
    if (value < _BLACK).mean() < 0.7:
        return False
    spread = value - frame.min(axis=-1)
    vivid = (value >= _LIT) & (spread > 0.6 * value)
    if vivid.sum() < 0.3 * (value >= _LIT).sum():
        return False
    r, g, b = (frame[..., channel][vivid].astype(np.float64) for channel in range(3))
    hue = np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b) % (2 * np.pi)
    counts = np.bincount((hue / (2 * np.pi) * _HUES).astype(int) % _HUES, minlength=_HUES)
    return bool((counts > 0.02 * counts.sum()).sum() >= _HUES // 3)
