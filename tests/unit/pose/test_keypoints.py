"""Tracks as sequences of poses."""

from __future__ import annotations

import numpy as np
import pytest

from magicpose import Pose, PoseTrack
from magicpose.pose.keypoints import BODY, FACE, HANDS, LEFT_HAND, N_POINTS, RIGHT_HAND

TRACK = PoseTrack.from_stacked(
    np.random.default_rng(0).uniform(1, 9, (8, 130, 3)).astype(np.float32), (64, 48), 24.0, "ab"
)


@pytest.mark.parametrize(
    ("part", "fps"),
    [
        (slice(2, 5), 24), (slice(None), 24), (slice(-3, None), 24), (slice(None, -6), 24), (slice(5, 5), 24),
        (slice(None, None, 2), 12), (slice(1, 7, 3), 8), (slice(None, None, -1), 24), (slice(6, None, -2), 12),
        (slice(0, 100), 24),
    ],
)  # fmt: skip
def test_a_slice_of_a_track_is_a_track_of_the_same_speed(part: slice, fps: float) -> None:
    cut = TRACK[part]
    assert isinstance(cut, PoseTrack)
    assert (cut.size, cut.fps, cut.source) == ((64, 48), fps, "ab")
    assert cut.poses == TRACK.poses[part]


def test_an_index_gives_a_pose() -> None:
    assert isinstance(TRACK[2], Pose) and TRACK[-1] is TRACK.poses[7]
    with pytest.raises(IndexError):
        TRACK[8]
    with pytest.raises(ValueError, match="zero"):
        TRACK[::0]


def test_the_named_rows_are_the_parts() -> None:
    pose = TRACK[0]
    points = pose.stacked()
    for rows, part in (
        (BODY, pose.body),
        (LEFT_HAND, pose.left_hand),
        (RIGHT_HAND, pose.right_hand),
        (FACE, pose.face),
    ):
        assert (points[rows] == part).all()
    assert (points[HANDS] == np.concatenate([pose.left_hand, pose.right_hand])).all() and len(points) == N_POINTS
