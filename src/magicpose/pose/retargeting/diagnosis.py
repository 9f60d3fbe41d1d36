"""Will this driver work on this reference? What is doubtful, with the number behind it, before anything is rendered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.placement import NECK
from magicpose.pose.retargeting.proportions import BONES, HIP_CENTRE, NAMES
from magicpose.pose.retargeting.retarget import Person, on_canvas, retarget

Level = Literal["ok", "warn", "refuse"]
_ORDER: tuple[Level, ...] = ("ok", "warn", "refuse")


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing: `number` is what was measured, `reason` a sentence that contains it."""

    level: Level
    subject: str
    reason: str
    number: float


@dataclass(frozen=True)
class Diagnosis:
    """`level` is the worst of the findings, "ok" when there are none."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        return max((f.level for f in self.findings), key=_ORDER.index, default="ok")

    def __str__(self) -> str:
        return "\n".join([self.level, *(f"  {f.level}: {f.reason}" for f in self.findings)])


@dataclass(frozen=True)
class _Case:
    driver: Person
    reference: Person
    size: tuple[int, int]
    result: NDArray[np.float32] | None  # [T, 130, 3], None where retargeting refused


def _anybody(person: Person) -> NDArray[np.bool_]:
    """Frames that show a neck, hips or a face: [T]."""
    return (person.body[:, [NECK, HIP_CENTRE], 2] > 0).any(1) | person.head.valid


def _empty(case: _Case) -> Finding | None:
    if not _anybody(case.reference).any():
        reason = "the reference shows no neck, hips or face (0 found): choose a photo that does"
        return Finding("refuse", "person", reason, 0.0)
    share = float(_anybody(case.driver).mean())
    if share == 0:
        return Finding("refuse", "person", "no frame of the driver shows a person (0 %)", 0.0)
    if share < 0.8:
        return Finding("warn", "person", f"only {share:.0%} of the driver's frames show a person", share)
    return None


def _in_common(case: _Case) -> Finding | None:
    if case.result is None:
        return Finding("refuse", "common", "driver and reference have 0 of neck, hips and face in common", 0.0)
    return None


def _zoom(case: _Case) -> Finding | None:
    times = float(np.exp(case.reference.proportions.size - case.driver.proportions.size))
    most = max(times, 1 / times)
    if most < 4:
        return None
    reason = f"the driver's person must be scaled {times:.2g} times: jitter and missing detail show"
    return Finding("refuse" if most > 25 else "warn", "size", reason, times)


def _shortened(person: Person, bone: str) -> float:
    """The longest a single picture shows a bone, as a share of its estimated length; 1 where it does not show it."""
    lengths = []
    for a, b in BONES[bone].joints:
        ends = person.body[0, [a, b]]
        if (ends[:, 2] > 0).all():
            lengths.append(float(np.hypot(*(ends[0, :2] - ends[1, :2]))))
    return max(lengths) / float(np.exp(person.proportions.log_length[NAMES.index(bone)])) if lengths else 1.0


def _side_view(case: _Case) -> Finding | None:
    share = _shortened(case.reference, "shoulders")
    if share > 0.6:
        return None
    reason = f"the reference stands side-on (shoulders at {share:.0%} of their width): widths follow from its height"
    return Finding("warn", "view", reason, share)


def _sitting(case: _Case) -> Finding | None:
    share = _shortened(case.reference, "thigh")
    if share > 0.6:
        return None
    reason = f"the reference sits or crouches (thighs at {share:.0%} of their length): they follow from its size"
    return Finding("warn", "legs", reason, share)


def _facing(person: Person) -> float:
    """Share of frames with shoulders that turn the chest to the camera."""
    there = (person.body[:, [2, 5], 2] > 0).all(1)
    return float((person.body[there, 2, 0] < person.body[there, 5, 0]).mean()) if there.any() else 1.0


def _back_view(case: _Case) -> Finding | None:
    if _facing(case.reference) > 0.5:
        return None
    share = _facing(case.driver)
    if share < 0.2:
        return None
    return Finding(
        "warn", "back", f"the reference is seen from behind, {share:.0%} of the driver from the front", share
    )


def _limbs(case: _Case) -> Finding | None:
    known = case.reference.proportions.seen > 0
    used = case.driver.proportions.seen > 0
    missing = [name.replace("_", " ") for name, k, u in zip(NAMES, known, used) if u and not k and name != "palm"]
    if not missing:
        return None
    names = ", ".join(missing)
    reason = f"{len(missing)} lengths the driver moves are not in the reference and follow its size: {names}"
    return Finding("warn", "limbs", reason, len(missing))


def _face(case: _Case) -> Finding | None:
    share = float(case.driver.head.valid.mean())
    if case.reference.head.valid[0] and share < 0.5:
        return Finding("warn", "face", f"the driver shows a face in {share:.0%} of its frames only", share)
    if share > 0 and not case.reference.head.valid[0]:
        seen = float((case.reference.points[0, 60:, 2] > 0).sum())
        reason = f"the reference shows {seen:.0f} of 70 face points: the driver's face shape is kept"
        return Finding("warn", "face", reason, seen)
    return None


def _outside(case: _Case) -> Finding | None:
    if case.result is None:
        return None
    there = case.result[..., 2] > 0
    places = case.result[there][:, :2]
    share = float(((places < 0) | (places >= np.array(case.size))).any(1).mean()) if there.any() else 0.0
    if share < 0.15:
        return None
    reason = f"{share:.0%} of the points leave the reference's picture: use a wider photo"
    return Finding("refuse" if share > 0.9 else "warn", "frame", reason, share)


_CHECKS: tuple[Callable[[_Case], Finding | None], ...] = (
    _empty, _in_common, _zoom, _side_view, _sitting, _back_view, _limbs, _face, _outside,
)  # fmt: skip


def diagnose(track: PoseTrack, to: Pose, size: tuple[int, int] | None = None) -> Diagnosis:
    """What to expect of `retarget(track, to, size)`. After a refusal only that is reported."""
    size = size or track.size
    if not len(track):
        return Diagnosis((Finding("refuse", "person", "the driver has 0 frames", 0.0),))
    driver = Person.of(on_canvas(track.stacked(), track.size, size))
    reference = Person.of(to.stacked()[None])
    result: NDArray[np.float32] | None = None
    with suppress(UserError):  # nothing in common: `_in_common` says so
        result = retarget(track, to, size).stacked()
    case = _Case(driver, reference, size, result)
    findings: list[Finding] = []
    for check in _CHECKS:
        finding = check(case)
        if finding:
            findings.append(finding)
            if finding.level == "refuse":
                return Diagnosis((finding,))
    return Diagnosis(tuple(findings))
