"""The detectors by name: which of them can run, and how each is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from magicpose.errors import UserError
from magicpose.media.files import PathLike
from magicpose.pose.detection import dwpose
from magicpose.pose.detection.mediapipe.body import MediaPipeDetector
from magicpose.pose.detection.mediapipe.crop import Frame
from magicpose.pose.keypoints import Pose

log = logging.getLogger(__name__)


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
class DetectorSetup:
    """What a detector is made from.

    Args:
        max_people: of a frame.
        follow: the frames are those of one clip, not single pictures.
        weights: folder with the networks of `dwpose`; None: its own cache.
    """

    max_people: int
    follow: bool
    weights: Path | None


# Best first: `auto` takes the first that is present.
_PRESENT: dict[str, Callable[[Path | None], bool]] = {"dwpose": dwpose.is_present, "mediapipe": lambda _: True}
_MAKE: dict[str, Callable[[DetectorSetup], Detector]] = {
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


def make_detector(detector: str | Detector, setup: DetectorSetup) -> Detector:
    """The detector of that name; a detector is returned as it is. Raises UserError if it cannot be had."""
    if isinstance(detector, str):
        return _MAKE[choose_detector(detector, setup.weights)](setup)
    return detector
