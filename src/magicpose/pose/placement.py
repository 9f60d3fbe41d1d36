"""Where the driver's person goes in the reference's picture.

Across, people stand where their hips are; unseen, the neck less the lean of the shoulders tells. Up and down, feet go
on the reference's floor, else necks meet. A single photo shows somebody in one pose of many, so its place is
known to about a quarter of a shoulder width: where the driver already stands that near, driver and photo are
taken to share a camera and the driver's place is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.proportions import HIP_CENTRE

Floats = NDArray[np.float64]
NECK = 1
SHOULDERS, HIPS, ANKLES = [2, 5], [8, 11], [10, 13]
MOST_FRAMES = 0.6  # the share of frames that must show a point for the clip to be placed by it
_LEAN = 1.0  # shoulder widths the neck moves across per radian of shoulder tilt: measured, docs/retargeting.md
_TILT_MOST = 0.5  # radians; more is a raised arm, not a lean
_LEVEL = 0.15  # of the leg: two feet whose heights differ by less are both on the floor, one nearer
_SWAY = np.array([0.25, 0.10])  # sd of place from pose to pose of one stand, in shoulder widths: across, up and down
_AGREE = 4.5  # squared distance, in those, up to which driver and reference are taken to stand at one place


def filled(path: Floats, there: NDArray[np.bool_]) -> Floats:
    """A path [T, k] with its gaps bridged in straight lines; at least one frame must be there."""
    times = np.arange(len(path))
    return np.stack([np.interp(times, times[there], column[there]) for column in path.T], axis=1)


def _stance(body: Floats, width: float, by_hips: bool) -> Floats:
    """Where somebody stands across the picture, [T], from [T, 19, 3]; NaN where unknown."""
    if by_hips:
        return np.where(body[:, HIP_CENTRE, 2] > 0, body[:, HIP_CENTRE, 0], np.nan)
    right, left = body[:, 2], body[:, 5]
    run = np.abs(left[:, 0] - right[:, 0]) + 1e-6
    slope = np.sign(left[:, 0] - right[:, 0]) * (left[:, 1] - right[:, 1]) / run
    both = (right[:, 2] > 0) & (left[:, 2] > 0)
    angle = np.arctan(slope)
    if both.sum() > 1:  # a tilt that lasts is how somebody sits or how the camera is held, not a lean
        angle = angle - np.median(angle[both])
    tilt = np.where(both, np.clip(angle, -_TILT_MOST, _TILT_MOST), 0)
    return np.where(body[:, NECK, 2] > 0, body[:, NECK, 0] - _LEAN * width * tilt, np.nan)


def standing_foot(body: Floats) -> Floats:
    """The height of the foot that carries, [T], NaN where an ankle or hip is missing."""
    ankles, hips = body[:, ANKLES], body[:, HIPS]
    low, high = ankles[..., 1].max(1), ankles[..., 1].min(1)
    leg = np.abs(low - hips[..., 1].mean(1)) + 1e-6
    lifted = np.clip((low - high) / (_LEVEL * leg), 0, 1)
    complete = (ankles[..., 2] > 0).all(1) & (hips[..., 2] > 0).all(1)
    return np.where(complete, low - (1 - lifted) * (low - high) / 2, np.nan)


def _often(values: Floats) -> bool:
    return bool(np.isfinite(values).mean() >= MOST_FRAMES)


def has_floor(driver: Floats, reference: Floats) -> bool:
    """Whether both show feet enough to share a floor: bodies [T, 19, 3] and [1, 19, 3]."""
    return _often(standing_foot(driver)) and _often(standing_foot(reference))


def shift(grown: Floats, driver: Floats, reference: Floats, size: float, width: float) -> Floats:
    """What to add to each frame of `grown`, the driver's motion in the reference's proportions: [T, 2].

    `grown`, `driver` [T, 19, 3] and `reference` [1, 19, 3] bodies with hip centres; `size`: reference over driver;
    `width`: the reference's shoulder width in pixels.
    """
    frames = len(grown)
    by_hips = all((body[:, HIP_CENTRE, 2] > 0).mean() >= MOST_FRAMES for body in (driver, reference))
    across = _stance(grown, width, by_hips)
    spread = float(np.subtract(*np.nanquantile(across, [0.9, 0.1]))) / 2 / width if np.isfinite(across).any() else 0.0
    floor = has_floor(driver, reference)
    foot = standing_foot(driver)
    if floor:
        rise = float(standing_foot(reference)[0] - np.nanmedian(foot))
    else:
        there = (grown[:, NECK, 2] > 0) if reference[0, NECK, 2] > 0 else np.zeros(frames, bool)
        rise = float(reference[0, NECK, 1] - np.median(grown[there, NECK, 1])) if there.any() else 0.0
    aside = float(_stance(reference, width, by_hips)[0] - np.nanmedian(across)) if np.isfinite(across).any() else 0.0
    aside = aside if np.isfinite(aside) else 0.0
    apart = np.array([aside, rise]) / width / np.maximum(_SWAY, [spread, 0])
    move = np.zeros(2) if (apart**2).sum() < _AGREE else np.array([aside, rise])
    out = np.tile(move, (frames, 1))
    if floor:
        middle = np.nanmedian(foot)
        stand = middle + move[1] + size * (foot - middle) - standing_foot(grown)
        out[:, 1] = filled(stand[:, None], np.isfinite(stand))[:, 0]
    return out
