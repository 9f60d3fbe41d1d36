"""The people in a video as numbers: 18 body, 2 x 21 hand and 70 face keypoints with scores.

Coordinates are pixels of the track's canvas, x to the right and y down, the centre of the first pixel at
(0.5, 0.5). A score of 0 means "not there": x and y of such a point carry no information.
Left and right are the person's own, not the picture's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from magicpose.pose.people import Person

Points = NDArray[np.float32]  # [N, 3]: x, y, score

N_BODY, N_HAND, N_FACE = 18, 21, 70

# COCO-18 order (OpenPose).
BODY_NAMES = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip


def _absent(count: int) -> Points:
    return np.zeros((count, 3), np.float32)


@dataclass(frozen=True)
class Pose:
    """One person in one frame.

    `body` [18, 3], `left_hand` and `right_hand` [21, 3], `face` [70, 3] (68 iBUG points, right pupil, left
    pupil), each row x, y, score.
    """

    body: Points = field(default_factory=lambda: _absent(N_BODY))
    left_hand: Points = field(default_factory=lambda: _absent(N_HAND))
    right_hand: Points = field(default_factory=lambda: _absent(N_HAND))
    face: Points = field(default_factory=lambda: _absent(N_FACE))

    def __post_init__(self) -> None:
        for name, count in (("body", N_BODY), ("left_hand", N_HAND), ("right_hand", N_HAND), ("face", N_FACE)):
            points = np.asarray(getattr(self, name), np.float32)
            if points.shape != (count, 3):
                raise ValueError(f"{name} must have shape ({count}, 3), got {points.shape}")
            object.__setattr__(self, name, points)

    def stacked(self) -> Points:
        """All points as [130, 3] in the order body, left hand, right hand, face."""
        return np.concatenate([self.body, self.left_hand, self.right_hand, self.face])

    @classmethod
    def from_stacked(cls, points: Points) -> Pose:
        """The inverse of `stacked`."""
        return cls(*np.split(np.asarray(points, np.float32), np.cumsum([N_BODY, N_HAND, N_HAND])))


@dataclass(frozen=True)
class PoseTrack:
    """One person through a clip: a pose per frame on a canvas of `size` = (width, height) pixels."""

    poses: tuple[Pose, ...]
    size: tuple[int, int]
    fps: float = 30.0
    source: str | None = None  # sha256 of the file the poses were detected in

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: int) -> Pose:
        return self.poses[index]

    def __iter__(self) -> Iterator[Pose]:
        return iter(self.poses)

    def stacked(self) -> Points:
        """[frames, 130, 3]"""
        return np.stack([pose.stacked() for pose in self.poses])

    @classmethod
    def from_stacked(
        cls, points: Points, size: tuple[int, int], fps: float = 30.0, source: str | None = None
    ) -> PoseTrack:
        """The inverse of `stacked`: `points` [frames, 130, 3]."""
        return cls(tuple(Pose.from_stacked(frame) for frame in points), size, fps, source)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        person: Person = "largest",
        *,
        size: tuple[int, int] | None = None,
        fps: float = 30.0,
    ) -> PoseTrack:
        """One person of a pose document, OpenPose file or folder, ComfyUI or COCO-WholeBody file.

        `size` and `fps` are for files that do not state them; see `document.load_person`.
        """
        from magicpose.pose.documents.document import load_person

        return load_person(path, person, size=size, fps=fps)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a pose document (`*.pose.json`) with this one person; see `document.save_people`."""
        from magicpose.pose.documents.document import save_people

        save_people(path, [self], overwrite=overwrite)
