from __future__ import annotations

import itertools

import numpy as np
import pytest

from magicpose import Pose, PoseTrack
from magicpose.errors import UserError
from magicpose.pose.people import MAX_PEOPLE_IN_CLIP, Scene, follow, identify, pick_person


def somebody(x: float, size: float = 50) -> Pose:
    points = np.ones((130, 3), np.float32)
    points[:, :2] = np.random.default_rng(0).uniform(0, size, (130, 2)) + np.array([x, 0])
    return Pose.from_stacked(points)


def xs(frame: dict[int, Pose]) -> dict[int, int]:
    return {person: round(float(pose.body[:, 0].mean() / 100)) for person, pose in frame.items()}


@pytest.mark.parametrize("orders", list(itertools.product(itertools.permutations(range(3)), repeat=2)))
def test_people_keep_their_ids_in_whatever_order_they_come(orders: list[tuple[int, ...]]) -> None:
    frames = [[somebody(100 * n + 5 * t) for n in order] for t, order in enumerate([(0, 1, 2), *orders])]
    assert [xs(dict(frame)) for frame in follow(frames)] == [{0: 0, 1: 1, 2: 2}] * 3


def test_somebody_far_away_is_new_and_who_returns_is_not() -> None:
    frames = [[somebody(0)], [], [somebody(500)], [somebody(505), somebody(3)]]
    assert [sorted(frame) for frame in follow(frames)] == [[0], [], [1], [0, 1]]
    assert xs(dict(follow(frames)[3])) == {0: 0, 1: 5}


def test_a_crowd_beyond_the_limit_is_left_out() -> None:
    frames = [[somebody(1000 * n) for n in range(t, t + 10)] for t in range(0, 100, 10)]
    ids = {person for frame in follow(frames) for person in frame}
    assert ids == set(range(MAX_PEOPLE_IN_CLIP))


def test_ids_of_their_own_are_kept_if_everybody_has_one() -> None:
    one, two = somebody(0), somebody(100)
    assert [sorted(frame) for frame in identify([[(7, one), (3, two)], [(3, one)]])] == [[3, 7], [3]]
    assert [sorted(frame) for frame in identify([[(7, one), (None, two)], [(3, one)]])] == [[0, 1], [0]]
    assert [sorted(frame) for frame in identify([[(7, one), (7, two)]])] == [[0, 1]]


def scene(*people: Pose) -> dict[int, PoseTrack]:
    return Scene((dict(enumerate(people)),) * 2, (400, 60)).tracks()


def test_the_largest_and_the_most_central_person() -> None:
    people = scene(somebody(0, 80), somebody(180, 30), somebody(300, 40))
    assert pick_person(people) is people[0]
    assert pick_person(people, "center") is people[1]
    assert pick_person(people, 2) is people[2]


def test_a_large_passer_by_is_not_the_largest_person() -> None:
    passer_by, staying = somebody(150, 80), somebody(0, 50)
    frames = tuple({0: passer_by, 1: staying} if t == 0 else {1: staying} for t in range(4))
    people = Scene(frames, (400, 100)).tracks()
    assert pick_person(people, "largest") is people[1]
    assert len(people[0]) == 4 and not people[0][3].stacked().any()


def test_nobody_cannot_be_picked() -> None:
    with pytest.raises(UserError, match="nobody"):
        pick_person({})
    assert pick_person(scene(Pose()), "center")[0].stacked().any() == np.False_


def test_tracks_and_scene_are_inverse() -> None:
    people = scene(somebody(0), somebody(100))
    again = Scene.from_tracks(list(people.values())).tracks()
    assert all((again[n].stacked() == people[n].stacked()).all() for n in people)
