"""What a detector got wrong in a clip, mended: swapped sides, points that jump, short gaps, jitter.

Each step looks at neighbouring frames on both sides, so nothing lags, and works in seconds and shoulder widths, so
the frame rate and the size of the person do not matter. Nothing is carried beyond the first or last sight of a
point, and a gap longer than stated stays a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.drawing.draw import THRESHOLD
from magicpose.pose.keypoints import PoseTrack

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_LEFT, _RIGHT = range(18, 39), range(39, 60)
_HANDS = slice(18, 60)
# Points that a detector swaps together, as rows of the 130: right side, left side.
_SIDES = (
    ((2,), (5,)),
    ((3, 4), (6, 7)),
    ((8, 9, 10), (11, 12, 13)),
    (tuple(_RIGHT), tuple(_LEFT)),
)
_SWAP_PRICE = 0.02  # per frame of saying "swapped", in squared shoulder widths: ties go to the detector
_BEND_MOST = 1.0  # squared shoulder widths
_OUT_AND_BACK = 3.0  # an outlier is that much farther from its neighbours' middle than they are from it
_UNUSUAL = 6.0  # and that many times the point's own median
# Of `smooth_s`. Hands move so fast that wider ones cost them accuracy: measured, docs/retargeting.md.
_BANDWIDTHS, _HAND_BANDWIDTHS = (0.25, 0.5, 1.0), (0.25, 0.35, 0.45)
_CLEARLY = 0.25  # the narrowest width is for what is exact: its error must be below this share of the next one's


@dataclass(frozen=True)
class RepairOptions:
    """What is mended, and how far. Every zero or False turns its step off.

    `least_score`: points that the detector trusts less are absent. `swaps`: mend left and right exchanged. `jump`: a
    point that leaves its path by more than this many shoulder widths for one or two frames and comes back is removed.
    `gap_s`: seconds without a point, sighted before and after, that are bridged; `hand_gap_s` the same for hands,
    which move fast and are not to be invented. `smooth_s`: the widest smoothing kernel (standard deviation in
    seconds); each point gets the width that predicts it best.
    """

    least_score: float = THRESHOLD
    swaps: bool = True
    jump: float = 0.35
    gap_s: float = 0.4
    hand_gap_s: float = 0.2
    smooth_s: float = 0.14


def person_size(points: Floats) -> float:
    """A shoulder width in pixels for [T, 130, 3]: the widest tenth of shoulders, else from face, trunk or hands."""
    rulers = ((2, 5, 1.0), (1, 8, 0.7), (96, 105, 3.9), (18, 27, 3.2), (39, 48, 3.2))
    for a, b, times in rulers:
        there = (points[:, a, 2] > 0) & (points[:, b, 2] > 0)
        if there.any():
            return max(1.0, times * float(np.quantile(np.hypot(*(points[there, a, :2] - points[there, b, :2]).T), 0.9)))
    there = points[..., 2] > 0
    return max(1.0, float(np.ptp(points[there][:, 1]))) if there.any() else 1.0


def _bridged(points: Floats) -> Floats:
    """x and y [T, n, 2] with every gap bridged and the ends held, to measure with, not to keep."""
    out = points[..., :2].copy()
    times = np.arange(len(points))
    for n in range(points.shape[1]):
        there = points[:, n, 2] > 0
        if there.any():
            for k in range(2):
                out[:, n, k] = np.interp(times, times[there], points[there, n, k])
    return out


def _swapped(right: Floats, left: Floats, known: Flags) -> Flags:
    """The frames [T] in which two sides [T, n, 2], in shoulder widths, are exchanged; `known` [T, n]: both are seen.

    Viterbi over (swapped before, swapped now): the cheapest history by squared acceleration, plus a price per swap.
    What is not seen costs nothing, and no single point more than `_BEND_MOST`, so that a jump convinces nobody.
    """
    frames = len(right)
    both = np.stack([np.concatenate([right, left], 1), np.concatenate([left, right], 1)], axis=1)  # [T, state, 2n, 2]
    weight = np.concatenate([known, known], axis=1) / (2 * known.shape[1])
    price = _SWAP_PRICE * np.arange(2)
    cost = (
        price[:, None]
        + price
        + _costs(both[1, None, :] - both[0, :, None], weight[0] * np.concatenate([known[1], known[1]]))
    )
    back = np.zeros((frames, 2, 2), int)
    for t in range(2, frames):
        # states a, b, c at t-2, t-1, t
        bend = both[t][None, None] - 2 * both[t - 1][None, :, None] + both[t - 2][:, None, None]
        total = cost[:, :, None] + _costs(bend, weight[t - 2 : t + 1].min(0)) + price
        back[t] = total.argmin(0)
        cost = total.min(0)
    states = np.zeros(frames, int)
    states[-2:] = np.unravel_index(int(cost.argmin()), (2, 2))
    for t in range(frames - 1, 1, -1):
        states[t - 2] = back[t, states[t - 1], states[t]]
    return states.astype(bool)


def _costs(bend: Floats, weight: Floats) -> Floats:
    """[..., 2n, 2] and [2n] -> [...]: weighted squared lengths, each limited."""
    return (np.minimum((bend**2).sum(-1), _BEND_MOST) * weight).sum(-1)


def _mend_swaps(points: Floats, size: float) -> Floats:
    """Sides that were exchanged, exchanged back; judged by the pairs of points seen on both sides."""
    out = points.copy()
    for right, left in _SIDES:
        seen = (points[:, right, 2] > 0) & (points[:, left, 2] > 0)
        if not seen.any() or len(points) < 3:
            continue
        one, other = (_bridged(points[:, side]) / size for side in (right, left))
        rows = np.flatnonzero(_swapped(one, other, seen))[:, None]
        out[rows, right], out[rows, left] = points[rows, left], points[rows, right]
    return out


def _drop_jumps(points: Floats, limit_px: float) -> Floats:
    """Points out of line with their neighbours, one or two frames long, become absent."""
    out = points.copy()
    for reach in (1, 2):
        if len(points) <= 2 * reach:
            break
        before, now, after = out[: -2 * reach], out[reach:-reach], out[2 * reach :]
        there = (before[..., 2] > 0) & (now[..., 2] > 0) & (after[..., 2] > 0)
        away = np.hypot(*np.moveaxis(now[..., :2] - (before[..., :2] + after[..., :2]) / 2, -1, 0))
        drift = np.hypot(*np.moveaxis(after[..., :2] - before[..., :2], -1, 0))
        usual = np.array([np.median(a[t]) if t.any() else 0.0 for a, t in zip(away.T, there.T)])
        bad = there & (away > limit_px) & (away > _OUT_AND_BACK * drift / 2) & (away > _UNUSUAL * usual)
        out[reach:-reach][bad] = 0
    return out


def _fill_gaps(points: Floats, longest: NDArray[np.int64]) -> Floats:
    """Gaps of at most `longest` [n] frames in straight lines, with the lower score of the two ends."""
    out = points.copy()
    for n in range(points.shape[1]):
        there = np.flatnonzero(points[:, n, 2] > 0)
        for a, b in pairwise(there):
            if 1 < b - a <= longest[n] + 1:
                share = np.arange(1, b - a)[:, None] / (b - a)
                out[a + 1 : b, n, :2] = (1 - share) * points[a, n, :2] + share * points[b, n, :2]
                out[a + 1 : b, n, 2] = min(points[a, n, 2], points[b, n, 2])
    return out


def _local_quadratic(points: Floats, width: float) -> tuple[Floats, Floats]:
    """Score-weighted local quadratic fits with a Gaussian kernel of `width` frames: (x, y) [T, n, 2], leverage [T, n].

    Where fewer than four neighbours count, or the point is absent, the point itself with leverage 1.
    """
    frames, count = points.shape[:2]
    reach = max(1, int(np.ceil(3 * width)))
    pad = np.pad(points, ((reach, reach), (0, 0), (0, 0)))
    moments = np.zeros((5, frames, count))
    sums = np.zeros((3, frames, count, 2))
    near = np.zeros((frames, count))
    for d in range(-reach, reach + 1):
        row = pad[reach + d : reach + d + frames]
        kernel = np.exp(-0.5 * (d / width) ** 2)
        weight = kernel * row[..., 2]
        u = d / width
        near += (row[..., 2] > 0) & (kernel > 0.02)
        moments += weight * u ** np.arange(5)[:, None, None]
        sums += (weight * u ** np.arange(3)[:, None, None])[..., None] * row[..., :2]
    normal = moments[np.add.outer(np.arange(3), np.arange(3))].transpose(2, 3, 0, 1) + 1e-9 * np.eye(3)
    first = np.linalg.solve(normal, np.broadcast_to(np.eye(3)[:, :1], (*normal.shape[:2], 3, 1)))[..., 0]
    value = np.einsum("tnk,ktni->tni", first, sums)
    leverage = first[..., 0] * points[..., 2]
    usable = (near >= 4) & (points[..., 2] > 0) & (leverage < 0.999)
    return np.where(usable[..., None], value, points[..., :2]), np.where(usable, leverage, 1.0)


def _smooth(points: Floats, widths: tuple[float, ...]) -> Floats:
    """Each point with the kernel width (frames, ascending) that best predicts it from its neighbours.

    Judged by the leave-one-out error. A detector's errors resemble each other from frame to frame, which makes the
    narrowest width, next to no smoothing, look better than it is; it is taken only where it is clearly better, so
    what is exact stays.
    """
    there = points[..., 2] > 0
    best = points[..., :2].copy()
    lowest = np.full(points.shape[1], np.inf)
    for width, handicap in zip(widths, (1.0, *[_CLEARLY] * (len(widths) - 1))):
        value, leverage = _local_quadratic(points, width)
        usable = leverage < 1
        error = ((points[..., :2] - value) / np.where(usable, 1 - leverage, 1)[..., None]) ** 2
        score = handicap * np.where(usable, error.sum(-1), 0).sum(0) / np.maximum(usable.sum(0), 1)
        better = (score < lowest) & (usable.sum(0) > 0)
        lowest = np.where(better, score, lowest)
        best[:, better] = value[:, better]
    out = points.copy()
    out[..., :2] = np.where(there[..., None], best, points[..., :2])
    return out


def repair(track: PoseTrack, options: RepairOptions | None = None) -> PoseTrack:
    """`track` with its detection errors mended as `options` say; the same frames, size and rate."""
    options = options or RepairOptions()
    if not len(track):
        return track
    points = track.stacked().astype(float)
    points[(points[..., 2] < options.least_score) | (points[..., 2] <= 0)] = 0
    size = person_size(points)
    if options.swaps:
        points = _mend_swaps(points, size)
    if options.jump > 0:
        points = _drop_jumps(points, options.jump * size)
    longest = np.full(points.shape[1], int(options.gap_s * track.fps))
    longest[_HANDS] = int(options.hand_gap_s * track.fps)
    points = _fill_gaps(points, longest)
    if options.smooth_s > 0 and len(track) >= 4:
        frames = options.smooth_s * track.fps
        hands = _smooth(points[:, _HANDS], tuple(frames * share for share in _HAND_BANDWIDTHS))
        points = _smooth(points, tuple(frames * share for share in _BANDWIDTHS))
        points[:, _HANDS] = hands
    return PoseTrack.from_stacked(points.astype(np.float32), track.size, track.fps, track.source)
