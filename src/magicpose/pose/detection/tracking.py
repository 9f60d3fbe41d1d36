"""From the people of each frame to people through the clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.people import NOBODY, follow

MIN_SHARE = 0.1  # of the frames of the most often seen: who is seen less is taken for a mistake of the detector

Appearances = dict[int, Pose]  # frame -> pose of one person


def tracks(
    frames: Sequence[Sequence[Pose]], size: tuple[int, int], fps: float = 30.0, source: str | None = None
) -> list[PoseTrack]:
    """A track of full length for each person, numbered from left to right where they first appear.

    Whoever appears where nobody was is taken for the person that was last lost, if there is one: somebody who left
    the frame and came back on the other side stays the same. Where a person is away the pose is empty.
    """
    people = _rejoined(_by_person(frames))
    most = max((len(person) for person in people), default=0)
    people = [person for person in people if len(person) >= MIN_SHARE * most]
    people.sort(key=_first_place)
    return [PoseTrack(tuple(person.get(n, NOBODY) for n in range(len(frames))), size, fps, source) for person in people]


def _by_person(frames: Sequence[Sequence[Pose]]) -> list[Appearances]:
    people: dict[int, Appearances] = {}
    for n, frame in enumerate(follow(frames)):
        for person, pose in frame.items():
            people.setdefault(person, {})[n] = pose
    return list(people.values())  # in order of appearance


def _rejoined(people: Sequence[Appearances]) -> list[Appearances]:
    joined: list[Appearances] = []
    for person in people:
        first = min(person)
        lost = [earlier for earlier in joined if max(earlier) < first]
        if lost:
            max(lost, key=max).update(person)
        else:
            joined.append(dict(person))
    return joined


def _first_place(person: Appearances) -> tuple[float, int]:
    """x of the middle of what is seen first."""
    first = min(person)
    points = person[first].stacked()
    seen = points[points[:, 2] > 0, 0]
    return float(np.mean(seen)) if len(seen) else 0.0, first
