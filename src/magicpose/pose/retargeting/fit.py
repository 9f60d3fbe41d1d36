"""The middle of the main job: a driver's motion repaired, judged and fitted to the person of a portrait."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.keypoints import BODY, Pose, PoseTrack
from magicpose.pose.retargeting.diagnosis import Diagnosis, diagnose
from magicpose.pose.retargeting.portrait import Portrait, detect_portrait
from magicpose.pose.retargeting.proportions import BONES, NAMES, with_hip_centre
from magicpose.pose.retargeting.repair import RepairOptions, person_size, repair
from magicpose.pose.retargeting.retarget import Align, MeasuredBody, MotionPart, retarget

__all__ = ["FitOptions", "FittedMotion", "FrameRecord", "Portrait", "detect_portrait", "fit_motion"]

Floats = NDArray[np.float64]
_MOVED = 0.1  # shoulder widths: a point that repair moved farther counts as repaired


@dataclass(frozen=True)
class FitOptions:
    """How a motion is fitted.

    `align` and `part` as in `retarget`. `repair`: what is fixed in the motion first; None takes it at its word, which
    is right for keypoints that no detector made.
    """

    align: Align = "proportions"
    part: MotionPart = "all"
    repair: RepairOptions | None = field(default_factory=RepairOptions)


@dataclass(frozen=True)
class FrameRecord:
    """What is known of each of T frames; every field is an array [T].

    `score`: the detector's mean score of the points that are there, 0 where nobody is. `repaired`: how many points
    repair added, removed, or moved by more than a tenth of a shoulder width. `outside`: the share of the fitted points
    that leave the reference's picture. `bone_error`: by how much the longest bone, compared with the length estimated
    for the reference, is too long (0.1: by a tenth; foreshortened bones are not errors); NaN where no bone is seen.
    """

    score: Floats
    repaired: NDArray[np.int64]
    outside: Floats
    bone_error: Floats


@dataclass(frozen=True)
class FittedMotion:
    """A motion on a portrait's canvas, with how it came about.

    `track`: what is drawn. `diagnosis`: "ok" or "warn" with the reasons, empty for align="off". `repaired`: the
    driver's motion after repair, on its own canvas. `per_frame`: a record of every frame.
    """

    track: PoseTrack
    diagnosis: Diagnosis
    repaired: PoseTrack
    per_frame: FrameRecord


def fit_motion(motion: PoseTrack, reference: Portrait, options: FitOptions | None = None) -> FittedMotion:
    """`motion` repaired, judged, and fitted to the person of `reference`, on the reference's canvas.

    Raises UserError where the diagnosis refuses (the driver cannot work on this reference), for a motion without
    frames, and as `retarget` does. align="off" judges nothing and needs no pose in the portrait.
    """
    options = options or FitOptions()
    repaired = motion if options.repair is None else repair(motion, options.repair)
    diagnosis = Diagnosis(()) if options.align == "off" else diagnose(repaired, reference)
    if diagnosis.level == "refuse":
        reasons = "; ".join(finding.reason for finding in diagnosis.findings if finding.level == "refuse")
        raise UserError(f"this driver does not fit this reference: {reasons}; or pass --align off (align='off')")
    track = retarget(repaired, reference, align=options.align, part=options.part)
    return FittedMotion(track, diagnosis, repaired, _records(motion, repaired, track, reference.pose))


def _records(motion: PoseTrack, repaired: PoseTrack, track: PoseTrack, reference: Pose) -> FrameRecord:
    before, after, fitted = motion.stacked(), repaired.stacked(), track.stacked()
    there = before[..., 2] > 0
    score = np.where(there, before[..., 2], 0).sum(1) / np.maximum(there.sum(1), 1)
    moved = np.hypot(*np.moveaxis(after[..., :2].astype(float) - before[..., :2], -1, 0))
    kept = there & (after[..., 2] > 0)
    changed = (there != (after[..., 2] > 0)) | (kept & (moved > _MOVED * person_size(after.astype(float))))
    drawn = fitted[..., 2] > 0
    beyond = ((fitted[..., :2] < 0) | (fitted[..., :2] >= np.array(track.size))).any(-1)
    outside = (beyond & drawn).sum(1) / np.maximum(drawn.sum(1), 1)
    return FrameRecord(score.astype(float), changed.sum(1), outside, _bone_errors(fitted, reference))


def _bone_errors(fitted: NDArray[np.float32], reference: Pose) -> Floats:
    """[T] of frames [T, 130, 3]: see `FrameRecord.bone_error`."""
    lengths = MeasuredBody.of(reference.stacked()[None]).proportions
    body = with_hip_centre(fitted[:, BODY])
    worst = np.full(len(fitted), np.nan)
    for name, bone in BONES.items():
        index = NAMES.index(name)
        for a, b in bone.joints if lengths.seen[index] else ():
            there = (body[:, [a, b], 2] > 0).all(1)
            excess = np.hypot(*(body[:, a, :2] - body[:, b, :2]).T) / np.exp(lengths.log_length[index]) - 1
            worst = np.where(there, np.fmax(worst, np.maximum(excess, 0)), worst)
    return worst
