"""Several people in one clip: who is who from frame to frame, and which of them is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from magicpose.errors import UserError
from magicpose.pose.drawing.draw import THRESHOLD
from magicpose.pose.keypoints import Points, Pose, PoseTrack

Person = Literal["largest", "center"] | int

MAX_PEOPLE = 64  # in one clip
MAX_FRAMES = 200_000  # almost two hours at 30 frames per second


def _nobody() -> Pose:
    pose = Pose()
    for points in (pose.body, pose.left_hand, pose.right_hand, pose.face):
        points.flags.writeable = False  # one object stands in for every absence
    return pose


NOBODY = _nobody()


@dataclass(frozen=True)
class Scene:
    """Everything a pose document holds: the people of each frame by id, on a canvas of `size` pixels."""

    frames: tuple[Mapping[int, Pose], ...]
    size: tuple[int, int]
    fps: float = 30.0
    source: str | None = None

    def tracks(self) -> dict[int, PoseTrack]:
        """A track of the clip's full length for each person, in order of id; empty poses where they are away."""
        ids = sorted({person for frame in self.frames for person in frame})
        return {
            person: PoseTrack(
                tuple(frame.get(person, NOBODY) for frame in self.frames), self.size, self.fps, self.source
            )
            for person in ids
        }

    @classmethod
    def from_tracks(cls, people: Sequence[PoseTrack]) -> Scene:
        """The inverse of `tracks`, ids counted from 0; all tracks are of one clip."""
        first = people[0]
        assert all((len(p), p.size, p.fps) == (len(first), first.size, first.fps) for p in people)
        frames = tuple({person: track[n] for person, track in enumerate(people)} for n in range(len(first)))
        return cls(frames, first.size, first.fps, first.source)


def identify(frames: Sequence[Sequence[tuple[int | None, Pose]]]) -> tuple[Mapping[int, Pose], ...]:
    """Give the people of each frame stable ids: their own if all have distinct ones, else by following them."""
    if all(_has_own_ids(frame) for frame in frames):
        return tuple({person: pose for person, pose in frame if person is not None} for frame in frames)
    return follow([[pose for _, pose in frame] for frame in frames])


def _has_own_ids(frame: Sequence[tuple[int | None, Pose]]) -> bool:
    ids = {person for person, _ in frame}
    return None not in ids and len(ids) == len(frame)


def follow(frames: Sequence[Sequence[Pose]]) -> tuple[Mapping[int, Pose], ...]:
    """Ids for people in order of appearance: each pose goes to the nearest person last seen, nearest pairs first.

    Near is the mean distance of the points both show, in units of the person's size; from one size on it
    is somebody else. Whoever comes back where they left is the same person. From the 65th person on they are
    left out.
    """
    last: dict[int, Points] = {}
    result = []
    for poses in frames:
        stacked = [pose.stacked() for pose in poses]
        pairs = sorted(
            (distance, person, index)
            for person, seen in last.items()
            for index, distance in enumerate(_distances(seen, stacked))
            if distance < 1.0
        )
        owner: dict[int, int] = {}
        for _, person, index in pairs:
            if index not in owner and person not in owner.values():
                owner[index] = person
        for index in range(len(poses)):
            if index not in owner and len(last) < MAX_PEOPLE:
                owner[index] = len(last)
            if index in owner:
                last[owner[index]] = stacked[index]
        result.append({owner[index]: poses[index] for index in sorted(owner)})
    return tuple(result)


def _distances(before: Points, now: Sequence[Points]) -> list[float]:
    """To each of `now` the mean distance of the common points over the size of `before`; infinite without any."""
    if not now:
        return []
    points = np.stack(now)
    common = (before[:, 2] > 0) & (points[:, :, 2] > 0)
    apart = np.linalg.norm(points[:, :, :2] - before[:, :2], axis=2)
    total, count = (apart * common).sum(axis=1), common.sum(axis=1)
    seen = before[before[:, 2] > 0, :2]
    size = max(float(np.hypot(*np.ptp(seen, axis=0))), 1.0) if len(seen) else 1.0
    return [t / c / size if c else np.inf for t, c in zip(total.tolist(), count.tolist())]


def pick_person(people: Mapping[int, PoseTrack], person: Person = "largest") -> PoseTrack:
    """One of several people: the largest through the clip, the one nearest the canvas centre, or by id.

    Frames a person is away from count as size 0, or as being in a corner. Raises UserError if there
    is nobody, or nobody of that id.
    """
    if not people:
        raise UserError("there is nobody in it; give a clip in which a person can be seen")
    if isinstance(person, int):
        if person not in people:
            raise UserError(f"there is no person {person}; choose one of {', '.join(map(str, people))}")
        return people[person]
    if person not in _SCORES:
        raise UserError(f"there is no person {person!r}; choose largest, center or a number")
    return max(people.values(), key=_SCORES[person])


def _boxes(track: PoseTrack) -> list[Points | None]:
    """Per frame the box [[left, top], [right, bottom]] around what is seen of the person."""
    boxes: list[Points | None] = []
    for pose in track:
        points = pose.stacked()
        seen = points[points[:, 2] >= THRESHOLD, :2]
        boxes.append(np.stack([seen.min(axis=0), seen.max(axis=0)]) if len(seen) else None)
    return boxes


def _mean_size(track: PoseTrack) -> float:
    """The mean diagonal of the box."""
    return float(np.mean([0.0 if box is None else np.hypot(*(box[1] - box[0])) for box in _boxes(track)]))


def _centrality(track: PoseTrack) -> float:
    """Minus the mean distance of the box's centre from the canvas centre."""
    middle = np.array(track.size, np.float32) / 2
    corner = float(np.hypot(*middle))
    return -float(np.mean([corner if box is None else np.hypot(*(box.mean(axis=0) - middle)) for box in _boxes(track)]))


_SCORES: dict[str, Callable[[PoseTrack], float]] = {"largest": _mean_size, "center": _centrality}
