"""The person in a reference picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.media.canvas import Size
from magicpose.media.files import PathLike
from magicpose.pose.keypoints import PersonChoice, Pose, PoseTrack


@dataclass(frozen=True)
class Portrait:
    """A person in one picture: `pose` in pixels of a canvas of `size` = (width, height), the picture's own."""

    pose: Pose
    size: Size


def located(to: Pose | Portrait, size: Size | None, track: PoseTrack) -> tuple[Pose, Size]:
    """The reference's pose and its canvas: as given, else the portrait's own, else that of `track`."""
    if isinstance(to, Portrait):
        return to.pose, size or to.size
    return to, size or track.size


def detect_portrait(
    picture: PathLike | Image.Image | NDArray[np.uint8], detector: str = "auto", *, person: PersonChoice = "largest"
) -> Portrait:
    """The portrait in a picture file, a PIL image, or an array uint8 RGB [H, W, 3].

    Raises UserError if the picture cannot be read or shows nobody.
    """
    from magicpose.media import read_image  # the detectors' networks are needed for this alone
    from magicpose.pose.detection.detect import detect_pose

    pose = detect_pose(picture, detector, person=person)
    if isinstance(picture, np.ndarray):
        return Portrait(pose, (picture.shape[1], picture.shape[0]))
    return Portrait(pose, picture.size if isinstance(picture, Image.Image) else read_image(picture).size)
