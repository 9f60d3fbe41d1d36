"""What moves the person: a built-in motion, keypoints in any format, or pictures to find them in, or pose maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magicpose.animation.options import DriverOptions as DriverOptions
from magicpose.errors import UserError
from magicpose.media import IMAGE_SUFFIXES, PICTURE_FPS, AudioSource, exact_fps, open_frames
from magicpose.pose.detection.cache import hash_files
from magicpose.pose.detection.detect import detect_poses
from magicpose.pose.documents.document import is_pose_document, load_person
from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.motions import MOTIONS, load_motion
from magicpose.progress import Progress

Frame = NDArray[np.uint8]  # [H, W, 3]

MAX_DRIVER_FRAMES = 36_000  # twenty minutes at 30 frames per second
_FRAMES_JUDGED = 8  # a clip of pose maps may begin with empty ones
_BLACK, _LIT = 24, 64  # grey levels
_HUES = 12


@dataclass(frozen=True)
class Driver:
    """A motion: `track`, or `maps` that are used as they are. `pictures` are what it was found in, if anything."""

    name: str
    fps: Fraction
    track: PoseTrack | None = None
    maps: Callable[[], Iterator[Frame]] | None = None
    pictures: Callable[[], Iterator[Frame]] | None = None
    audio: AudioSource | None = None
    built_in: bool = False

    @property
    def detected(self) -> bool:
        """Whether a detector made the track; keypoints that were given are taken at their word."""
        return self.track is not None and self.pictures is not None


def read_driver(source: str, options: DriverOptions, progress: Progress | None = None) -> Driver:
    """The driver named `source`. Raises UserError if it is nothing known, cannot be read, or shows nobody."""
    path = Path(source)
    if options.canvas is not None and not is_document(path):
        raise UserError(f"{source} is no pose document: --canvas does not apply to it")
    if not path.exists():
        if source in MOTIONS:
            return replace(_from_track(source, load_motion(source), options), built_in=True)
        kind = "file or folder" if path.suffix or len(path.parts) > 1 else "file, folder or built-in motion"
        raise UserError(f"there is no {kind} {source!r}; built-in motions: {', '.join(MOTIONS)}")
    if is_document(path):
        track = load_person(path, options.person, size=options.canvas, fps=options.fps or PICTURE_FPS)
        return _from_track(path.name, track, options)
    return _from_pictures(path, options, progress)


def is_document(path: Path) -> bool:
    """Whether `path` is read as keypoints: a JSON file or a folder of them."""
    return path.suffix.lower() == ".json" or (path.is_dir() and _holds_poses(path))


def _holds_poses(folder: Path) -> bool:
    """Whether the folder is one of pose JSON, by what is in it; UserError if it holds pictures as well."""
    files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    documents = [entry for entry in files if entry.suffix.lower() == ".json"]
    pictures = sum(entry.suffix.lower() in IMAGE_SUFFIXES for entry in files)
    if not documents or not pictures:
        return bool(documents)
    if any(map(is_pose_document, documents)):
        raise UserError(
            f"{folder} holds both pose JSON ({len(documents)} files) and pictures ({pictures}), and either could move "
            "the person: put one kind into a folder of its own"
        )
    return False


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
    found = open_frames(path, options.fps, options.start, options.end)
    _check_length(str(path), found.count)
    if options.maps or (options.maps is None and are_maps(found.frames())):
        return Driver(path.name, found.fps, maps=found.frames, audio=found.audio)
    track = detect_poses(
        path,
        options.detector,
        person=options.person,
        fps=options.fps,
        start=options.start,
        end=options.end,
        progress=progress,
    )
    return Driver(path.name, found.fps, track, pictures=found.frames, audio=found.audio)


def _check_length(name: str, frames: int) -> None:
    if frames > MAX_DRIVER_FRAMES:
        raise UserError(
            f"{name} has about {frames} frames, more than {MAX_DRIVER_FRAMES}: choose a part with --start and --end"
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
