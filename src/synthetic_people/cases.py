"""Tests with a rendered truth: a reference picture, poses, and that person's true pictures in these poses.

`self` cases animate somebody with their own motion. `cross` cases animate them with somebody else's: all that is known
of them is the reference, so the poses are fitted to it as `magicpose animate` does, while the truth shows the very
poses of the driver (`clip_as`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.evaluation.image import face_region
from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.retargeting.retarget import retarget
from synthetic_people.clip import Clip, check_names, clip_as, render_clip
from synthetic_people.motion import Framing
from synthetic_people.recipe import Style
from synthetic_people.seeds import FIRST_HELD_OUT_SEED

GUEST = 500_000  # the person of a cross case: the driver's seed and this
COVERED = 127  # of 255: from here on a pixel belongs to the person
PERSON, FACE = "person", "face"


@dataclass(frozen=True)
class Case:
    """One test of N frames; pictures uint8 RGB."""

    kind: Literal["self", "cross"]
    framing: Framing
    seed: int  # of driver and scene
    person_seed: int  # of who is in the reference and the truth
    reference: NDArray[np.uint8]  # [H, W, 3]
    track: PoseTrack  # N poses to show; in cross cases fitted to the reference
    truth: NDArray[np.uint8]  # [N, H, W, 3]
    exact: PoseTrack  # N poses of the truth itself
    regions: dict[str, NDArray[np.bool_]]  # "person", "face" [N, H, W]; no pixels where there is no face


@dataclass(frozen=True)
class CaseSettings:
    """`people` self cases of seeds first_seed on, and cross cases for the first `cross` of them.

    Of ten people in a row so many have each framing as its share says; the first frame is the reference.
    """

    people: int
    cross: int = 0
    size: int = 128
    frames: int = 8
    fps: float = 3.0
    first_seed: int = FIRST_HELD_OUT_SEED
    framings: tuple[tuple[Framing, float], ...] = (("bust", 0.5), ("half", 0.3), ("head", 0.2))
    style: Style = "plain"

    def __post_init__(self) -> None:
        check_names(self.style, *(name for name, _ in self.framings))
        if self.people < 1 or not 0 <= self.cross <= self.people or self.frames < 2:
            raise UserError(
                f"cases: people {self.people}, cross {self.cross}, frames {self.frames}: give 1 or more people, "
                "at most as many cross cases, and 2 or more frames"
            )

    def framing(self, number: int) -> Framing:
        """The framing of the person of that number, 0 on."""
        edges = np.cumsum([share for _, share in self.framings])
        at = (number % 10 + 0.5) / 10 * edges[-1]
        return self.framings[int(np.searchsorted(edges, at))][0]


def cases(settings: CaseSettings, worker: int = 0, workers: int = 1) -> Iterator[Case]:
    """The cases of every `workers`-th person from number `worker` on; the same whoever makes them."""
    for number in range(worker, settings.people, workers):
        seed, framing = settings.first_seed + number, settings.framing(number)
        clip = render_clip(seed, settings.frames, settings.size, framing, settings.style, settings.fps)
        yield _case("self", clip, clip.track)
        if number < settings.cross:
            guest = clip_as(seed + GUEST, clip)
            yield _case("cross", guest, retarget(clip.track, to=guest.track[0], size=guest.track.size))


def _case(kind: Literal["self", "cross"], clip: Clip, shown: PoseTrack) -> Case:
    exact, truth = _rest(clip.track), clip.frames[1:]
    faces = [face_region(pose, exact.size) for pose in exact]
    nothing = np.zeros(truth.shape[1:3], bool)
    regions = {
        PERSON: clip.masks[1:] > COVERED,
        FACE: np.stack([nothing if face is None else face for face in faces]),
    }
    return Case(
        kind, clip.framing, clip.seed, clip.person_seed, clip.frames[0], _rest(shown), truth, exact, regions
    )  # fmt: skip


def _rest(track: PoseTrack) -> PoseTrack:
    """All but the first pose."""
    return PoseTrack(tuple(track[k] for k in range(1, len(track))), track.size, track.fps)
