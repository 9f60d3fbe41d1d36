"""Changes to keypoints for training: hidden parts and mirroring."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import N_FACE, N_HAND, Points, Pose, PoseTrack

PoseOrTrack = TypeVar("PoseOrTrack", Pose, PoseTrack)

_BODY_MIRROR = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
# 68 iBUG points (jaw, brows, nose, eyes, lips), then the pupils.
_FACE_MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65, 69, 68,
]  # fmt: skip


def mask_parts(
    pose: PoseOrTrack, rng: np.random.Generator, face_prob: float = 0.2, hand_prob: float = 0.5
) -> PoseOrTrack:
    """Hide the face with probability `face_prob` and each hand, on its own, with `hand_prob` (paper Sec. 5.4).

    Body points stay. Of a track a part is hidden in every frame or in none. Always draws three numbers from
    `rng`, so the stream of random numbers does not depend on the outcome.
    """
    drawn = draw_hidden(rng, 1, face_prob, hand_prob)[0]
    hidden: dict[str, Points] = {
        name: np.zeros((count, 3), np.float32)
        for name, count, hide in zip(("left_hand", "right_hand", "face"), (N_HAND, N_HAND, N_FACE), drawn)
        if hide
    }
    if isinstance(pose, PoseTrack):
        return replace(pose, poses=tuple(replace(each, **hidden) for each in pose))
    return replace(pose, **hidden)


def draw_hidden(rng: np.random.Generator, count: int, face_prob: float, hand_prob: float) -> NDArray[np.bool_]:
    """Which parts of `count` poses `mask_parts` would hide: [count, 3], left hand, right hand, face."""
    hidden: NDArray[np.bool_] = rng.random((count, 3)) < (hand_prob, hand_prob, face_prob)
    return hidden


def mirrored(pose: PoseOrTrack, width_px: float) -> PoseOrTrack:
    """The pose of the picture flipped left to right on a canvas `width_px` wide: left and right change places."""
    if isinstance(pose, PoseTrack):
        return replace(pose, poses=tuple(mirrored(each, width_px) for each in pose))

    def flip(points: Points) -> Points:
        return np.stack([np.float32(width_px) - points[:, 0], points[:, 1], points[:, 2]], axis=1)

    return Pose(
        body=flip(pose.body[_BODY_MIRROR]),
        left_hand=flip(pose.right_hand),
        right_hand=flip(pose.left_hand),
        face=flip(pose.face[_FACE_MIRROR]),
    )
