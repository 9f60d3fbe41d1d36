"""People in pictures and videos: the choice of a detector, and its results kept so that nothing is done twice."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.caching import cache_folder as folder_of
from magicpose.errors import UserError
from magicpose.media import IMAGE_SUFFIXES, list_images, probe, read_image, read_video
from magicpose.media.files import MediaWarning, PathLike, check_input
from magicpose.pose.detection import cache as store
from magicpose.pose.detection import dwpose, tracking
from magicpose.pose.detection.mediapipe.body import MediaPipeDetector
from magicpose.pose.detection.mediapipe.crop import Frame
from magicpose.pose.documents.jsonfile import readable
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.people import Person, pick_person

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # frames done, frames in all (an estimate until the end)
MAX_PEOPLE = 4  # looked for in a frame, unless told otherwise
PICTURE_FPS = 30.0  # of a folder of pictures, unless told otherwise


class Detector(Protocol):
    """Finds the people of one frame.

    A detector may remember the frame before: it is made for one clip and sees its frames in order. `name` and
    `version` must change whenever its results do.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def __call__(self, frame: Frame) -> list[Pose]:
        """`frame` uint8 RGB [H, W, 3]; poses in its pixels, scores in [0, 1], 0 outside the frame."""
        ...


@dataclass(frozen=True)
class _Setup:
    """What a detector is made from."""

    max_people: int
    follow: bool  # frames of one clip, not single pictures
    weights: Path | None


# Best first: `auto` takes the first that is present.
_PRESENT: dict[str, Callable[[Path | None], bool]] = {"dwpose": dwpose.is_present, "mediapipe": lambda _: True}
_MAKE: dict[str, Callable[[_Setup], Detector]] = {
    "dwpose": lambda setup: dwpose.DwposeDetector(setup.weights),
    "mediapipe": lambda setup: MediaPipeDetector(setup.max_people, setup.follow),
}


def choose_detector(name: str = "auto", weights: PathLike | None = None) -> str:
    """The detector that `name` stands for: `auto` is the best that runs without a download; it is logged.

    Raises UserError if there is none of that name.
    """
    if name in _MAKE:
        return name
    if name != "auto":
        raise UserError(f"there is no detector {name!r}; choose auto or one of {', '.join(_MAKE)}")
    folder = None if weights is None else Path(weights)
    chosen = next(candidate for candidate, present in _PRESENT.items() if present(folder))
    log.info("detector auto: %s", chosen)
    return chosen


def detect_poses(
    source: PathLike,
    detector: str | Detector = "auto",
    *,
    person: Person = "largest",
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    max_people: int = MAX_PEOPLE,
    weights: PathLike | None = None,
    cache: bool = True,
    cache_folder: PathLike | None = None,
    progress: Progress | None = None,
) -> PoseTrack:
    """One person through a video, a folder of pictures, or a single picture.

    `person`: the largest, the one nearest the centre, or a number, counted from 0 from left to right where people
    first appear. All else as in `detect_people`. Raises UserError also if there is nobody, or no such person.
    """
    people = detect_people(
        source,
        detector,
        fps=fps,
        start=start,
        end=end,
        max_frames=max_frames,
        max_people=max_people,
        weights=weights,
        cache=cache,
        cache_folder=cache_folder,
        progress=progress,
    )
    return _picked(people, person, str(source))


def detect_people(
    source: PathLike,
    detector: str | Detector = "auto",
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    max_people: int = MAX_PEOPLE,
    weights: PathLike | None = None,
    cache: bool = True,
    cache_folder: PathLike | None = None,
    progress: Progress | None = None,
) -> list[PoseTrack]:
    """Everybody in a video, a folder of pictures, or a single picture, each on a track of the clip's length.

    Where somebody is away their pose is empty. `detector`: "auto", "mediapipe", "dwpose", or a detector of your own
    (a fresh one). `fps`, `start`, `end` (seconds) and `max_frames` choose frames as `media.read_video` does.
    `weights`: folder with the networks of `dwpose`. Results are kept in `cache_folder` (default:
    `caching.cache_folder("poses")`) and found again by the content of the source, whatever its name; `cache=False`
    neither reads nor writes it. `progress(done, total)` is called after each frame.

    Raises UserError if the source cannot be read, or the detector cannot be had.
    """
    if max_people < 1:
        raise UserError(f"max_people must be at least 1, not {max_people}")
    clip = _opened(Path(source), fps, start, end, max_frames)
    finder = _detector(detector, _Setup(max_people, clip.total > 1, None if weights is None else Path(weights)))
    content = store.hash_files(clip.files)
    entry = store.entry(
        folder_of("poses") if cache_folder is None else Path(cache_folder),
        content,
        detector=[finder.name, finder.version],
        max_people=max_people,
        frames=[clip.fps, start, end, max_frames],
    )
    if cache and (kept := store.fetch(entry)) is not None:
        return kept
    found = []
    for frame in clip.frames():
        found.append([_as_written(pose) for pose in finder(frame)])
        if progress is not None:
            progress(len(found), max(clip.total, len(found)))
    people = tracking.tracks(found, clip.size, clip.fps, content)
    if cache and people:
        store.keep(entry, people)
    return people


def detect_pose(
    image: PathLike | Image.Image | NDArray[np.uint8],
    detector: str | Detector = "auto",
    *,
    person: Person = "largest",
    weights: PathLike | None = None,
    cache: bool = True,
    cache_folder: PathLike | None = None,
) -> Pose:
    """One person in a picture: a file, a PIL image, or an array uint8 RGB [H, W, 3].

    Only files are cached. `person` and all else as in `detect_poses`. Raises UserError if there is nobody.
    """
    if not isinstance(image, (Image.Image, np.ndarray)):
        path = check_input(image, "picture")
        read_image(path)  # a video is no picture
        how = {"weights": weights, "cache": cache, "cache_folder": cache_folder}
        return detect_poses(path, detector, person=person, **how)[0]  # type: ignore[arg-type]
    frame = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise UserError(f"the picture must be uint8 [height, width, 3], not {frame.dtype} {list(frame.shape)}")
    finder = _detector(detector, _Setup(MAX_PEOPLE, follow=False, weights=None if weights is None else Path(weights)))
    poses = [_as_written(pose) for pose in finder(frame)]
    return _picked(tracking.tracks([poses], (frame.shape[1], frame.shape[0])), person, "the picture")[0]


def _picked(people: list[PoseTrack], person: Person, where: str) -> PoseTrack:
    if not people:
        raise UserError(
            f"no person found in {where}: give one in which somebody can be seen, not too small or cut off at the neck"
        )
    if len(people) > 1 and person == "largest":
        warnings.warn(f"{where} shows {len(people)} people; the largest is taken", MediaWarning, stacklevel=3)
    try:
        return pick_person(dict(enumerate(people)), person)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _detector(detector: str | Detector, setup: _Setup) -> Detector:
    if isinstance(detector, str):
        return _MAKE[choose_detector(detector, setup.weights)](setup)
    return detector


def _as_written(pose: Pose) -> Pose:
    """Rounded as pose documents are, so that the first run gives what every later one reads."""
    return Pose.from_stacked(np.array(readable(pose.stacked()), np.float32))


@dataclass(frozen=True)
class _Clip:
    """Frames to come, with what is known beforehand."""

    files: list[Path]
    frames: Callable[[], Iterator[Frame]]
    size: tuple[int, int]
    fps: float
    total: int


def _opened(source: Path, fps: float | None, start: float | None, end: float | None, max_frames: int | None) -> _Clip:
    is_picture = source.suffix.lower() in IMAGE_SUFFIXES - {".gif"} and not source.is_dir()
    if not (source.is_dir() or is_picture):
        info = probe(source)
        rate = float(info.fps if fps is None else fps)
        seconds = min(info.duration, end or info.duration) - (start or 0)
        total = min(max(1, round(seconds * rate)), max_frames or info.frames)
        return _Clip([source], lambda: read_video(source, fps, start, end, max_frames), info.size, rate, total)
    if start is not None or end is not None:
        raise UserError(f"{source} is no video: start and end do not apply to it")
    files = list_images(source)[:max_frames] if source.is_dir() else [source]
    size = read_image(files[0]).size
    return _Clip(files, lambda: _pictures(files, size), size, fps or PICTURE_FPS, len(files))


def _pictures(files: list[Path], size: tuple[int, int]) -> Iterator[Frame]:
    for path in files:
        image = read_image(path)
        if image.size != size:
            raise UserError(f"{path} is {image.size[0]}x{image.size[1]}, the pictures before it {size[0]}x{size[1]}")
        yield np.asarray(image)
