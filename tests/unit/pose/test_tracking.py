"""People followed through a clip of boxes that move."""

from __future__ import annotations

import numpy as np

from magicpose.pose.detection.tracking import tracks
from magicpose.pose.keypoints import Pose, PoseTrack

SIZE = (400, 200)


def person(x: float, height: float = 100) -> Pose:
    """A body whose points stand on a line at `x`."""
    body = np.ones((18, 3), np.float32)
    body[:, 0] = x
    body[:, 1] = np.linspace(50, 50 + height, 18)
    return Pose(body)


def places(track: PoseTrack) -> list[float | None]:
    return [float(pose.body[0, 0]) if pose.body[:, 2].any() else None for pose in track]


def test_two_people_stay_themselves_however_the_detector_orders_them() -> None:
    left, right = [50 + 5 * n for n in range(8)], [300 - 5 * n for n in range(8)]
    frames = [[person(a), person(b)] if n % 2 else [person(b), person(a)] for n, (a, b) in enumerate(zip(left, right))]
    people = tracks(frames, SIZE, 25.0, "hash")
    assert [places(track) for track in people] == [left, right]
    assert all((track.size, track.fps, track.source) == (SIZE, 25.0, "hash") for track in people)


def test_who_leaves_and_comes_back_elsewhere_is_the_same_person_with_a_gap() -> None:
    frames = [[person(20)], [person(10)], [], [], [person(390)], [person(380)]]
    (track,) = tracks(frames, SIZE)
    assert places(track) == [20, 10, None, None, 390, 380]


def test_a_newcomer_beside_somebody_present_is_somebody_else() -> None:
    frames = [[person(300)], [person(300), person(50)], [person(300), person(50)]]
    assert [places(track) for track in tracks(frames, SIZE)] == [[None, 50, 50], [300, 300, 300]]


def test_what_is_seen_for_a_moment_only_is_nobody() -> None:
    frames = [[person(100)] for _ in range(30)]
    frames[7] = [person(100), person(350)]
    assert len(tracks(frames, SIZE)) == 1


def test_nobody() -> None:
    assert tracks([[], []], SIZE) == []
