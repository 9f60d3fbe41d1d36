"""True bone lengths of a person from the foreshortened ones a picture shows.

A bone in a picture is at most as long as it is: turning it out of the picture plane shortens it. So every
observed length is the true one (within a few per cent, for perspective and noise) or, in a tail, less. A clip of
many poses settles the matter by itself; a single picture leaves doubt, which the proportions of people
settle: given the size of a person, each bone varies little. Both are put together by their likelihoods, with the
very same estimator for the driver and for the reference, so that equal pictures give equal lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import Points
from magicpose.pose.retargeting.head import HeadFit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bone:
    """A length shared by both sides of the body, as the prior and the likelihood see it.

    `joints`: the pairs of body points that show it; () where something else measures it.
    `metres`: its mean over adults; `spread`: standard deviation of the log length, size of the person given.
    `flat`: the prior chance that it lies in the picture plane; `tail`: typical log foreshortening where it does not;
    `noise`: sd of the log length where it does.
    """

    joints: tuple[tuple[int, int], ...]
    metres: float
    spread: float
    flat: float
    tail: float
    noise: float = 0.03


# Means and spreads: 300 synthetic adults (MakeHuman proportions), the spreads a little wider, as detectors differ.
# Chances and tails: what 60 dance-like clips of them showed. HIP_CENTRE is a made-up joint, the middle of the two hips.
HIP_CENTRE = 18
BONES = {
    "shoulders": Bone(((2, 5),), 0.354, 0.07, 0.5, 0.08),
    "torso": Bone(((1, HIP_CENTRE),), 0.495, 0.05, 0.85, 0.05),
    "hips": Bone(((8, 11),), 0.235, 0.07, 0.5, 0.08),
    "upper_arm": Bone(((2, 3), (5, 6)), 0.282, 0.06, 0.5, 0.25),
    "forearm": Bone(((3, 4), (6, 7)), 0.251, 0.07, 0.4, 0.40, 0.05),
    "thigh": Bone(((8, 9), (11, 12)), 0.429, 0.13, 0.85, 0.15, 0.02),
    "shin": Bone(((9, 10), (12, 13)), 0.447, 0.06, 0.85, 0.10, 0.02),
    "neck": Bone((), 0.209, 0.07, 0.7, 0.05),
    "head": Bone((), 1.0, 0.05, 0.95, 0.02),  # pixels per metre of the head model
    "palm": Bone((), 0.112, 0.05, 0.4, 0.30, 0.05),
}
NAMES = tuple(BONES)
_MEAN = np.log([bone.metres for bone in BONES.values()])
_SPREAD = np.array([bone.spread for bone in BONES.values()])
_FRAMES = 6.0  # neighbouring frames repeat each other: a clip counts as at most so many pictures
_MOST_SAMPLES = 96  # lengths per bone that are looked at, spread over the clip


@dataclass(frozen=True)
class Proportions:
    """`log_length` [bones] in pixels, `doubt` [bones] its standard deviation, `size` the log of pixels per metre.

    `seen` [bones]: how many observations each rests on.
    """

    log_length: Floats
    doubt: Floats
    size: float
    seen: NDArray[np.int64]


def with_hip_centre(body: Points) -> NDArray[np.float64]:
    """[..., 18, 3] -> [..., 19, 3]: the middle of the hips, present where both are."""
    hips = body[..., [8, 11], :].astype(float)
    centre = hips.mean(-2, keepdims=True)
    centre[..., 2] = hips[..., 2].min(-1, keepdims=True)
    return np.concatenate([body.astype(float), centre], axis=-2)


def _distances(points: Floats, pairs: tuple[tuple[int, int], ...]) -> Floats:
    """Lengths in pixels of all pairs in all frames whose two ends are there; flat."""
    found = []
    for a, b in pairs:
        there = (points[:, a, 2] > 0) & (points[:, b, 2] > 0)
        found.append(np.hypot(*(points[there, a, :2] - points[there, b, :2]).T))
    return np.concatenate(found)


def observed_lengths(points: Points, heads: HeadFit) -> list[Floats]:
    """Per bone, every length in pixels that frames [T, 130, 3] show, the smallest (under a pixel) left out."""
    body = with_hip_centre(points[:, :18])
    lengths = [_distances(body, bone.joints) if bone.joints else np.zeros(0) for bone in BONES.values()]
    neck = heads.valid & (body[:, 1, 2] > 0)
    lengths[NAMES.index("neck")] = np.hypot(*(heads.origin - body[:, 1, :2])[neck].T)
    lengths[NAMES.index("head")] = heads.scale[heads.valid]
    hands = points[:, 18:60].astype(float)
    lengths[NAMES.index("palm")] = _distances(hands, ((0, 9), (21, 30)))
    return [values[values > 1.0] for values in lengths]


def _log_likelihood(grid: Floats, lengths: Floats, bone: Bone) -> Floats:
    """Of true log lengths `grid` [n], given what was seen: a peak at the truth and a tail of shorter ones."""
    if not len(lengths):
        return np.zeros_like(grid)
    step = max(1, len(lengths) // _MOST_SAMPLES)
    short = grid[None] - np.log(lengths[::step])[:, None]  # > 0 where foreshortened
    peak = np.exp(-0.5 * (short / bone.noise) ** 2) / (bone.noise * np.sqrt(2 * np.pi))
    tail = np.exp(-np.maximum(short, 0) / bone.tail - 0.5 * (np.minimum(short, 0) / bone.noise) ** 2) / bone.tail
    share = bone.flat * peak + (1 - bone.flat) * tail + 1e-9
    pictures = min(len(lengths), _FRAMES * max(1, len(bone.joints)))
    return pictures * np.log(share).mean(0)


def measure(points: Points, heads: HeadFit) -> Proportions:
    """The lengths of the person in frames [T, 130, 3]: posterior means under the priors of `BONES`.

    Bones are independent given the size of the person; the size itself is found by expectation maximisation.
    """
    lengths = observed_lengths(points, heads)
    seen = np.array([len(values) for values in lengths])
    if not seen.any():
        return Proportions(_MEAN.copy(), _SPREAD.copy(), 0.0, seen)
    tops = np.array([np.log(np.quantile(v, 0.9)) if len(v) else np.nan for v in lengths])
    size = float(np.nanmedian(tops - _MEAN))
    offsets = np.linspace(-0.6, 0.6, 481)
    grids = size + _MEAN[:, None] + offsets
    evidence = np.stack([_log_likelihood(g, v, b) for g, v, b in zip(grids, lengths, BONES.values())])
    for _ in range(60):
        posterior = evidence - 0.5 * ((grids - size - _MEAN[:, None]) / _SPREAD[:, None]) ** 2
        weights = np.exp(posterior - posterior.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        mean = (weights * grids).sum(1)
        trust = (seen > 0) / _SPREAD**2
        size = float(((mean - _MEAN) * trust).sum() / trust.sum())
    doubt = np.sqrt((weights * (grids - mean[:, None]) ** 2).sum(1))
    mean[seen == 0] = (size + _MEAN)[seen == 0]
    return Proportions(mean, doubt, size, seen)


def ratios(driver: Proportions, reference: Proportions) -> dict[str, float]:
    """Reference length over driver length, per bone; "size" for whatever has no bone of its own.

    A bone that either picture lacks follows the size of the two people.
    """
    size = reference.size - driver.size
    both = (driver.seen > 0) & (reference.seen > 0)
    logs = np.where(both, reference.log_length - driver.log_length, size)
    return {"size": float(np.exp(size)), **{name: float(np.exp(x)) for name, x in zip(NAMES, logs)}}
