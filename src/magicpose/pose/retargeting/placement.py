"""Where the driver's person goes in the reference's picture.

A photo shows somebody in one pose of many, swayed, leaning, on one leg: its place is not the middle of where they
would stand. So the photo is compared with the driver in its pose: `expected` tells where the driver's neck would be
in the pose of the photo, mostly from the frames that resemble it (the anchor frames), and how sure that is. The
difference of the two places is weighed against the chance that both pictures are of one camera, when the driver
is right where it is. Up and down, feet go on the reference's floor where both show theirs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.retargeting.proportions import HIP_CENTRE

Floats = NDArray[np.float64]
NOSE, NECK = 0, 1
HIPS, ANKLES = [8, 11], [10, 13]
MOST_FRAMES = 0.6  # the share of frames that must show a point for the clip to be placed by it
_LEVEL = 0.15  # of the leg: two feet whose heights differ by less are both on the floor, one nearer
_NECK_BASE_M = 0.09  # the base of the neck above the line of the shoulders: bodies of two sizes share it
_ANKLE_M = 0.09  # the ankle above the sole
# Shoulder widths that the neck is aside per shoulder width of: tilt of the shoulders, nose and hips aside of the neck.
_LEAN, _NOD, _BEND = 0.12, 0.28, -0.35
_ALIKE = 0.3  # shoulder widths: postures that differ by less say something about each other
_SWAY = np.array([0.12, 0.04])  # sd of the neck's place from pose to pose, in shoulder widths, across and up and down
_SWAY_COUNTS = 4  # frames: what that is worth beside the spread the driver's own clip shows
_NOT_POSTURE = 1.1  # of the sway: sd of what posture does not explain
_FLOOR_SWAY = 0.1  # the same for the standing foot
_MOST_ANCHORS = 128
# How far apart two pictures' cameras put one person, in shoulder widths (sd), and how likely each is. The first is
# one and the same camera; what is left there is how well the size tells where necks are.
_CAMERAS = np.array([[0.012, 0.03], [0.2, 0.2], [0.6, 0.6], [2.0, 2.0]])
_CHANCES = np.array([0.7, 0.1, 0.1, 0.1])
_SIZES = np.array([0.2, 0.6, 0.6, 0.6])  # sd of the log of one person's size over the other's, for each
_AS_THE_CLIP = 3.0  # standard deviations of the clip's postures: farther off is how somebody sits, not a lean


def filled(path: Floats, there: NDArray[np.bool_]) -> Floats:
    """A path [T, k] with its gaps bridged in straight lines; at least one frame must be there."""
    times = np.arange(len(path))
    return np.stack([np.interp(times, times[there], column[there]) for column in path.T], axis=1)


def standing_foot(body: Floats) -> Floats:
    """The height of the foot that carries, [T], NaN where an ankle or hip is missing."""
    ankles, hips = body[:, ANKLES], body[:, HIPS]
    low, high = ankles[..., 1].max(1), ankles[..., 1].min(1)
    leg = np.abs(low - hips[..., 1].mean(1)) + 1e-6
    lifted = np.clip((low - high) / (_LEVEL * leg), 0, 1)
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
    """The frames that are asked: all of a short clip, else half spread over it and half most like the reference."""
    if len(postures) <= _MOST_ANCHORS:
        return np.arange(len(postures))
    spread = np.linspace(0, len(postures) - 1, _MOST_ANCHORS // 2).astype(int)
    alike = np.argsort(((postures - wanted) ** 2).sum(1), kind="stable")[: _MOST_ANCHORS // 2]
    return np.union1d(spread, alike)


def expected(body: Floats, reference: Floats, root: int, width: float) -> tuple[Floats, Floats]:
    """Where the root of `body` [T, 19, 3] would be in the pose of `reference` [1, 19, 3]: place [2], variance [2].

    In shoulder widths of `width` pixels. A Gaussian process over postures: how far posture carries the neck aside is
    known from people in general, the rest is learnt from the clip, one kernel width around each frame. Where no
    frame resembles the reference it is the middle of the clip, and the variance says so.
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
        carried[[1, 2, 4], 0] = _LEAN, _NOD, _BEND
    places = body[rows, root, :2] / width - postures[rows] @ carried
    spread = places.var(0)
    sway = np.sqrt((len(rows) * spread + _SWAY_COUNTS * _SWAY**2) / (len(rows) + _SWAY_COUNTS))
    among = np.exp(-0.5 * ((postures[rows, None] - postures[rows]) ** 2).sum(-1) / _ALIKE**2)
    to = np.exp(-0.5 * ((postures[rows] - wanted) ** 2).sum(-1) / _ALIKE**2)
    place, variance = np.zeros(2), np.zeros(2)
    for k, sd in enumerate(sway):
        start = np.median(places[:, k])
        level = sd**2 * 100  # the clip's own level is free
        matrix = sd**2 * among + level + (_NOT_POSTURE * sd) ** 2 * np.eye(len(rows))
        right = sd**2 * to + level
        gain = np.linalg.solve(matrix, right)
        place[k] = start + gain @ (places[:, k] - start)
        variance[k] = max(sd**2 + level - right @ gain, 0.0) + (_NOT_POSTURE * sd) ** 2
    most = _AS_THE_CLIP * postures.std(0)
    return place + np.clip(wanted, -most, most) @ carried, variance


def weighed(apart: Floats, variance: Floats, size: float = 1.0) -> Floats:
    """How far to move [2] when reference and driver are seen `apart` [2] with `variance` [2], in shoulder widths.

    `size`: the reference over the driver; one twice as large is hardly by the same camera. The posterior mean of what
    the cameras differ by: nothing that is within the doubt moves much, and what is far beyond it moves all the way.
    """
    total = _CAMERAS**2 + variance
    log_chance = np.log(_CHANCES / _SIZES) - 0.5 * (np.log(size) / _SIZES) ** 2
    log_chance -= 0.5 * (apart**2 / total + np.log(total)).sum(1)
    chance = np.exp(log_chance - log_chance.max())
    return np.asarray((chance[:, None] * _CAMERAS**2 / total * apart).sum(0) / chance.sum())


def shift(grown: Floats, driver: Floats, reference: Floats, root: int, scale: tuple[float, float, float]) -> Floats:
    """What to add to each frame of `grown`, the driver's motion in the reference's proportions: [T, 2].

    `grown`, `driver` [T, 19, 3] and `reference` [1, 19, 3] bodies with hip centres; `root`: the point that carries
    the rest; `scale`: the reference's size over the driver's, its shoulder width, its metre in pixels.
    """
    size, width, metre = scale
    nosed = grown.copy()
    nosed[:, NOSE, :2] = grown[:, NECK, :2] + size * (driver[:, NOSE, :2] - driver[:, NECK, :2])
    growth = metre * (1 - 1 / size) / width
    floor, foot = has_floor(driver, reference), standing_foot(driver)
    stays = np.array([0.0, _NECK_BASE_M * growth if root == NECK else 0.0])
    place, variance = expected(nosed, reference, root, width)
    apart = reference[0, root, :2] / width - place - stays
    if floor:
        stays[1] = -_ANKLE_M * growth
        apart[1] = (standing_foot(reference)[0] - np.nanmedian(foot)) / width - stays[1]
        variance[1] = _FLOOR_SWAY**2
    move = (stays + weighed(apart, variance, size)) * width
    out = np.tile(move, (len(grown), 1))
    if floor:
        middle = np.nanmedian(foot)
        stand = middle + move[1] + size * (foot - middle) - standing_foot(grown)
        out[:, 1] = filled(stand[:, None], np.isfinite(stand))[:, 0]
    return out
