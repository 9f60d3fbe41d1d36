"""Where the driver's person goes in the reference's picture.

A photo shows a person in one pose of many, swayed, leaning, on one leg, so the neck in the photo is not the mean of
where the neck is over a clip. The photo is therefore compared with the driver in the same pose: `expected` predicts
(Gaussian process regression over postures) where the driver's neck would be in the pose of the photo, mostly from the
frames that resemble it (the anchor frames), with a variance. `shrunk` then decides how much of the difference between
the two places is a difference of cameras: if both pictures were taken by one camera, the driver stays where it is.
Vertically, feet go on the reference's floor where both pictures show feet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.retargeting.proportions import HIP_CENTRE

Floats = NDArray[np.float64]
NOSE, NECK = 0, 1
HIPS, ANKLES = [8, 11], [10, 13]
MOST_FRAMES = 0.6  # share: a clip is placed by a point only if at least so many of its frames show it


@dataclass(frozen=True)
class PlacementModel:
    """The constants of placement. Lengths are shoulder widths of the reference where no other unit is named.

    They were chosen by `runs/retarget_quality.py` on 80 pairs of synthetic people per framing, other pairs than the
    100 of docs/retargeting.md. The two lengths in metres are adult anatomy.
    """

    foot_level: float = 0.15
    """Share of the leg's length: feet whose heights differ by less are both on the floor, one nearer to the camera."""
    neck_base_m: float = 0.09
    """Metres from the line of the shoulders up to the base of the neck, which people of two sizes seen by one camera
    have in common."""
    ankle_m: float = 0.09
    """Metres from the sole up to the ankle."""
    lean: float = 0.12
    """How far the neck is carried aside, per shoulder width that one shoulder is lower than the other."""
    nod: float = 0.28
    """The same per shoulder width that the nose is aside of the neck."""
    bend: float = -0.35
    """The same per shoulder width that the hips are aside of the neck."""
    posture_kernel: float = 0.3
    """Kernel width of the Gaussian process: postures that differ by less tell where each other's neck is."""
    sway: tuple[float, float] = (0.12, 0.04)
    """Prior standard deviation, x and y, of the neck's place from posture to posture."""
    sway_weight: float = 4.0
    """Prior weight of `sway`, in frames of the driver's clip that show the true spread."""
    residual: float = 1.1
    """Standard deviation of what posture does not explain, as a multiple of `sway`."""
    floor_sway: float = 0.1
    """Standard deviation of the standing foot's height; takes the place of the neck's where both show feet."""
    most_anchors: int = 128
    """Frames: the size of the Gaussian process is limited to so many of the clip's."""
    camera_sd: tuple[tuple[float, float], ...] = ((0.012, 0.03), (0.2, 0.2), (0.6, 0.6), (2.0, 2.0))
    """Mixture of how far apart (x, y) the two pictures' cameras put one and the same person, standard deviations. The
    first component is a shared camera: what is left is the error of the estimated sizes."""
    camera_chance: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)
    """Prior probability of each component. What 70 % for a shared camera costs where the cameras differ is in
    docs/retargeting.md."""
    size_sd: tuple[float, ...] = (0.2, 0.6, 0.6, 0.6)
    """Standard deviation of log(reference size / driver size) under each component."""
    posture_limit: float = 3.0
    """Standard deviations of the clip's postures: a posture farther off is how somebody sits, not a lean, and `lean`,
    `nod` and `bend` stop there."""


_MODEL = PlacementModel()
_SWAY, _CAMERA_SD = np.array(_MODEL.sway), np.array(_MODEL.camera_sd)
_CAMERA_CHANCE, _SIZE_SD = np.array(_MODEL.camera_chance), np.array(_MODEL.size_sd)


def filled(path: Floats, there: NDArray[np.bool_]) -> Floats:
    """A path [T, k] with its gaps bridged in straight lines; at least one frame must be there."""
    times = np.arange(len(path))
    return np.stack([np.interp(times, times[there], column[there]) for column in path.T], axis=1)


def standing_foot(body: Floats) -> Floats:
    """The height of the foot that carries, [T], NaN where an ankle or hip is missing."""
    ankles, hips = body[:, ANKLES], body[:, HIPS]
    low, high = ankles[..., 1].max(1), ankles[..., 1].min(1)
    leg = np.abs(low - hips[..., 1].mean(1)) + 1e-6
    lifted = np.clip((low - high) / (_MODEL.foot_level * leg), 0, 1)
    complete = (ankles[..., 2] > 0).all(1) & (hips[..., 2] > 0).all(1)
    return np.where(complete, low - (1 - lifted) * (low - high) / 2, np.nan)


def has_floor(driver: Floats, reference: Floats) -> bool:
    """Whether both show feet enough to share a floor: bodies [T, 19, 3] and [1, 19, 3]."""
    return all(np.isfinite(standing_foot(body)).mean() >= MOST_FRAMES for body in (driver, reference))


def _postures(body: Floats, root: int, width: float) -> Floats:
    """[T, 10] from [T, 19, 3], in shoulder widths: the line of the shoulders, and nose, hips, elbows from the root."""
    seen = np.where(body[..., 2:] > 0, body[..., :2], np.nan)
    from_root = seen[:, [NOSE, HIP_CENTRE, 3, 6]] - seen[:, None, root]
    return np.concatenate([seen[:, 5] - seen[:, 2], *np.moveaxis(from_root, 1, 0)], axis=1) / width


def _anchors(postures: Floats, wanted: Floats) -> NDArray[np.intp]:
    """Rows of the frames used for the regression.

    All of a short clip; of a longer one half evenly spread and half nearest to the reference's posture.
    """
    if len(postures) <= _MODEL.most_anchors:
        return np.arange(len(postures))
    spread = np.linspace(0, len(postures) - 1, _MODEL.most_anchors // 2).astype(int)
    alike = np.argsort(((postures - wanted) ** 2).sum(1), kind="stable")[: _MODEL.most_anchors // 2]
    return np.union1d(spread, alike)


def expected(body: Floats, reference: Floats, root: int, width: float) -> tuple[Floats, Floats]:
    """Where the root of `body` [T, 19, 3] would be in the pose of `reference` [1, 19, 3]: place [2], variance [2].

    In shoulder widths of `width` pixels. A Gaussian process over postures: its mean, how far posture carries the neck
    aside, is a linear function known from people in general; the rest is learnt from the clip, one kernel width around
    each frame. Where no frame resembles the reference, the result is the clip's median with a large variance.
    """
    body = body[body[:, root, 2] > 0]
    postures, wanted = _postures(body, root, width), _postures(reference, root, width)[0]
    usable = (np.isfinite(postures).mean(0) > 0.9) & np.isfinite(wanted)
    middle = np.array([np.nanmedian(column) if good else 0.0 for column, good in zip(postures.T, usable)])
    postures = np.where(usable & np.isfinite(postures), postures - middle, 0)
    wanted = np.where(usable, wanted - middle, 0)
    rows = _anchors(postures, wanted)
    carried = np.zeros((postures.shape[1], 2))
    if root == NECK:
        carried[[1, 2, 4], 0] = _MODEL.lean, _MODEL.nod, _MODEL.bend
    places = body[rows, root, :2] / width - postures[rows] @ carried
    spread = places.var(0)
    sway = np.sqrt((len(rows) * spread + _MODEL.sway_weight * _SWAY**2) / (len(rows) + _MODEL.sway_weight))
    among = np.exp(-0.5 * ((postures[rows, None] - postures[rows]) ** 2).sum(-1) / _MODEL.posture_kernel**2)
    to = np.exp(-0.5 * ((postures[rows] - wanted) ** 2).sum(-1) / _MODEL.posture_kernel**2)
    place, variance = np.zeros(2), np.zeros(2)
    for k, sd in enumerate(sway):
        start = np.median(places[:, k])
        level = sd**2 * 100  # the clip's own level is free
        matrix = sd**2 * among + level + (_MODEL.residual * sd) ** 2 * np.eye(len(rows))
        right = sd**2 * to + level
        gain = np.linalg.solve(matrix, right)
        place[k] = start + gain @ (places[:, k] - start)
        variance[k] = max(sd**2 + level - right @ gain, 0.0) + (_MODEL.residual * sd) ** 2
    most = _MODEL.posture_limit * postures.std(0)
    return place + np.clip(wanted, -most, most) @ carried, variance


def shrunk(apart: Floats, variance: Floats, size: float = 1.0) -> Floats:
    """The posterior mean [2] of how far two cameras differ, given the observed `apart` [2] with `variance` [2].

    In shoulder widths. `size`: the reference's over the driver's; very different sizes make a shared camera unlikely.
    Differences within the standard deviation shrink towards zero, far larger ones stay as they are.
    """
    total = _CAMERA_SD**2 + variance
    log_chance = np.log(_CAMERA_CHANCE / _SIZE_SD) - 0.5 * (np.log(size) / _SIZE_SD) ** 2
    log_chance -= 0.5 * (apart**2 / total + np.log(total)).sum(1)
    chance = np.exp(log_chance - log_chance.max())
    return np.asarray((chance[:, None] * _CAMERA_SD**2 / total * apart).sum(0) / chance.sum())


def shift(grown: Floats, driver: Floats, reference: Floats, root: int, scale: tuple[float, float, float]) -> Floats:
    """The translation of each frame of `grown`, the driver's motion in the reference's proportions: [T, 2].

    `grown`, `driver` [T, 19, 3] and `reference` [1, 19, 3] bodies with hip centres; `root`: the point that carries
    the rest; `scale`: the reference's size over the driver's, its shoulder width, its metre in pixels.
    """
    size, width, metre = scale
    nosed = grown.copy()
    nosed[:, NOSE, :2] = grown[:, NECK, :2] + size * (driver[:, NOSE, :2] - driver[:, NECK, :2])
    growth = metre * (1 - 1 / size) / width
    floor, foot = has_floor(driver, reference), standing_foot(driver)
    stays = np.array([0.0, _MODEL.neck_base_m * growth if root == NECK else 0.0])
    place, variance = expected(nosed, reference, root, width)
    apart = reference[0, root, :2] / width - place - stays
    if floor:
        stays[1] = -_MODEL.ankle_m * growth
        apart[1] = (standing_foot(reference)[0] - np.nanmedian(foot)) / width - stays[1]
        variance[1] = _MODEL.floor_sway**2
    move = (stays + shrunk(apart, variance, size)) * width
    out = np.tile(move, (len(grown), 1))
    if floor:
        middle = np.nanmedian(foot)
        stand = middle + move[1] + size * (foot - middle) - standing_foot(grown)
        out[:, 1] = filled(stand[:, None], np.isfinite(stand))[:, 0]
    return out
