"""People in pictures and videos; results are cached, so that no source is detected twice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.errors import UserError
from magicpose.files import cache_folder as default_cache
from magicpose.media import open_frames, read_image
from magicpose.media.files import MediaWarning, PathLike, check_input
from magicpose.media.frames import FrameSource
from magicpose.pose.detection import cache, tracking
from magicpose.pose.detection.detectors import Detector, DetectorSetup, make_detector
from magicpose.pose.documents.jsonfile import readable
from magicpose.pose.keypoints import PersonChoice, Pose, PoseTrack
from magicpose.pose.people import pick_person
from magicpose.progress import Progress
from magicpose.provenance import hash_files

if TYPE_CHECKING:
    from typing_extensions import Unpack

PEOPLE_PER_FRAME = 4  # searched for in a frame by default


@dataclass(frozen=True)
class DetectOptions:
    """Which frames are searched, for how many people, and where results are kept.

    Args:
        fps, start, end, max_frames: choose frames as `media.read_video` does; `start` and `end` in seconds.
        max_people: searched for in a frame.
        weights: folder with the networks of `dwpose`; None: its own cache.
        cache: False neither reads nor writes the cache.
        cache_folder: None: `files.cache_folder("poses")`.
        progress: called with (frames done, frames in all) after each frame; the second is an estimate until the end.
    """

    fps: float | None = None
    start: float | None = None
    end: float | None = None
    max_frames: int | None = None
    max_people: int = PEOPLE_PER_FRAME
    weights: PathLike | None = None
    cache: bool = True
    cache_folder: PathLike | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.max_people < 1:
            raise UserError(f"max_people must be at least 1, not {self.max_people}")

    def setup(self, follow: bool) -> DetectorSetup:
        """What a detector for these options is made from."""
        return DetectorSetup(self.max_people, follow, None if self.weights is None else Path(self.weights))


class DetectKeywords(TypedDict, total=False):
    """The fields of `DetectOptions` as keywords of a call."""

    fps: float | None
    start: float | None
    end: float | None
    max_frames: int | None
    max_people: int
    weights: PathLike | None
    cache: bool
    cache_folder: PathLike | None
    progress: Progress | None


def detect_poses(
    source: PathLike,
    detector: str | Detector = "auto",
    *,
    person: PersonChoice = "largest",
    **options: Unpack[DetectKeywords],
) -> PoseTrack:
    """One person through a video, a folder of pictures, or a single picture.

    `person`: the largest, the one nearest the centre, or a number, counted from 0 from left to right where people
    first appear. `options` are the fields of `DetectOptions`, such as `fps=15, max_people=2`.

    Raises UserError as `detect_people` does, and if there is nobody, or no such person.
    """
    return _picked(detect_people(source, detector, **options), person, str(source))


def detect_people(
    source: PathLike, detector: str | Detector = "auto", **options: Unpack[DetectKeywords]
) -> list[PoseTrack]:
    """Everybody in a video, a folder of pictures, or a single picture, each on a track of the clip's length.

    A person who is out of the frame has an empty pose. `detector`: "auto", "mediapipe", "dwpose", or a detector of your
    own (a fresh one). `options` are the fields of `DetectOptions`. Results are cached by the content of the source,
    not by its name.

    Raises UserError if the source cannot be read, or the detector cannot be had.
    """
    chosen = DetectOptions(**options)
    clip = open_frames(source, chosen.fps, chosen.start, chosen.end, chosen.max_frames)
    finder = make_detector(detector, chosen.setup(follow=clip.count > 1))
    content = hash_files(clip.files)
    entry = cache.entry(
        default_cache("poses") if chosen.cache_folder is None else Path(chosen.cache_folder),
        content,
        detector=[finder.name, finder.version],
        max_people=chosen.max_people,
        frames=[float(clip.fps), chosen.start, chosen.end, chosen.max_frames],
    )
    if chosen.cache and (cached := cache.fetch(entry)) is not None:
        return cached
    people = tracking.tracks(_found(clip, finder, chosen.progress), clip.size, float(clip.fps), content)
    if chosen.cache and people:
        cache.keep(entry, people)
    return people


def _found(clip: FrameSource, finder: Detector, progress: Progress | None) -> list[list[Pose]]:
    """The people of every frame, not yet followed from one to the next."""
    found: list[list[Pose]] = []
    for frame in clip.frames():
        found.append([_as_written(pose) for pose in finder(frame)])
        if progress is not None:
            progress(len(found), max(clip.count, len(found)))
    return found


def detect_pose(
    image: PathLike | Image.Image | NDArray[np.uint8],
    detector: str | Detector = "auto",
    *,
    person: PersonChoice = "largest",
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
        return detect_poses(
            path, detector, person=person, max_frames=1, weights=weights, cache=cache, cache_folder=cache_folder
        )[0]
    frame = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise UserError(f"the picture must be uint8 [height, width, 3], not {frame.dtype} {list(frame.shape)}")
    finder = make_detector(detector, DetectOptions(weights=weights).setup(follow=False))
    poses = [_as_written(pose) for pose in finder(frame)]
    return _picked(tracking.tracks([poses], (frame.shape[1], frame.shape[0])), person, "the picture")[0]


def _picked(people: list[PoseTrack], person: PersonChoice, where: str) -> PoseTrack:
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


def _as_written(pose: Pose) -> Pose:
    """Rounded as pose documents are, so that the first run gives what every later one reads."""
    return Pose.from_stacked(np.array(readable(pose.stacked()), np.float32))
