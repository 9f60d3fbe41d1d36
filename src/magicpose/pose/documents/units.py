"""What the numbers of other programs' documents mean: pixels, fractions or percent of the canvas, part by part.

No format says it. Each part (body, each hand, face) of each person in each frame is judged by itself, as programs are
met that mix them. Fractions are told by their size. Percent look like pixels of a small person: a hand or face is
in percent where only that puts it at its wrist or head, a body where it fills 0..100 on a far larger canvas. What was
decided is then checked: points on the canvas, hands at wrists, face at the head. Every doubt becomes a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.documents.jsonfile import Malformed
from magicpose.pose.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, Points

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Note = Callable[[str], None]

_ROWS = {"body": BODY, "left hand": LEFT_HAND, "right hand": RIGHT_HAND, "face": FACE}
# What of the body a part hangs on: the wrist, or nose, eyes and ears; and which of its own points is there.
_ANCHORS = {"left hand": ([7], [0]), "right hand": ([4], [0]), "face": ([0, 14, 15], [30, 36, 39, 42, 45])}

_NEAR = 2.0  # fractions of the canvas of points that are there: beyond, a point is pixels
_STRAY = 4.0  # fractions of the canvas that single points of a part in fractions may reach
_FEWEST = 3  # points without which a part of one frame says nothing by itself
_PERCENT_FROM, _PERCENT_TO = 80.0, 100.0  # a body in percent reaches at least this far, and no farther
_PERCENT_CANVAS = 300  # px: the smallest side on which 0..100 may be percent
_BOTH_SIGNS = 0.15  # share of x and of y below 0: coordinates from -1 to 1 about the middle
_OUTSIDE = 0.5  # share of a part's points more than half a canvas outside: the canvas is doubtful
_APART = 1.0  # sizes of the person between a part and where it hangs: its scale is doubtful
_CLEARLY = 3.0  # times nearer as percent than as pixels, from so many sizes of the person on: a hand or face in percent
_DOUBTFUL = 0.25


@dataclass(frozen=True)
class PersonRows:
    """The people of all frames, one after the other: `points` [N, 130, 3] and the `canvas` [N, 2] of each, NaN if
    unknown."""

    points: Points
    canvas: Floats


def to_pixels(rows: PersonRows, note: Note) -> Points:
    """`rows.points` in pixels of each row's canvas. Raises Malformed for fractions of a canvas that is not known."""
    points = rows.points.copy()
    fractions = {name: _fractions(rows, part) for name, part in _ROWS.items()}
    for name, part in _ROWS.items():
        _apply(points, rows.canvas, part, _settled(name, fractions, rows, note), 1.0, name)
    percent = _percent(points, rows, fractions)
    if percent:
        note(f"read as percent of the canvas: {', '.join(percent)}")
    for name in percent:
        there = np.asarray((rows.points[:, _ROWS[name], 2] > 0).any(1))
        _apply(points, rows.canvas, _ROWS[name], there, 0.01, name)
    _check(points, rows.canvas, note)
    return points


def _apply(points: Points, canvas: Floats, part: slice, which: Flags, scale: float, name: str) -> None:
    """The part's points of the rows `which` times `scale` of their canvas, in place."""
    if np.isnan(canvas[which]).any():
        raise Malformed(
            f"the {name} is in fractions of a canvas that the file does not state: give the canvas size, such as"
            " --canvas 512x768"
        )
    points[which, part, :2] *= (scale * canvas[which, None]).astype(np.float32)


def _fractions(rows: PersonRows, part: slice) -> Floats:
    """Per row [N] whether a part is in fractions: 1 yes, 0 no, NaN where it is absent or does not tell."""
    there = rows.points[:, part, 2] > 0
    reach = np.where(there, np.abs(rows.points[:, part, :2]).max(-1), 0)
    count = np.maximum(there.sum(1), 1)
    share = ((reach <= _NEAR) & there).sum(1) / count
    few = there.sum(1) < _FEWEST
    yes = (share >= 0.5) & (reach.max(1) <= _STRAY) & ~few
    no = there.any(1) & np.where(few, reach.max(1) > _STRAY, share < 0.5)
    return np.where(yes, 1.0, np.where(no, 0.0, np.nan))


def _settled(name: str, fractions: dict[str, Floats], rows: PersonRows, note: Note) -> Flags:
    """The rows [N] in which the part is in fractions; what does not tell follows the part's others, then the rest."""
    own = fractions[name]
    usual = next((_most(each) for each in (own, *fractions.values()) if not np.isnan(each).all()), 1.0)
    there = (rows.points[:, _ROWS[name], 2] > 0).any(1)
    settled = there & (np.where(np.isnan(own), usual, own) > 0)
    if settled.any() and not settled[there].all():
        share = f"{settled.sum()} of {there.sum()} poses"
        note(f"the {name} is in fractions of the canvas in {share} and in pixels in the others")
    if name == "body":
        _refuse_signed(rows.points[settled, BODY])
    return settled


def _most(values: Floats) -> float:
    return float(np.nanmean(values) > 0.5)


def _refuse_signed(fractions: Points) -> None:
    """Malformed for coordinates from -1 to 1 about the middle, whose direction nobody states."""
    seen = fractions[fractions[..., 2] > 0, :2]
    if len(seen) and np.abs(seen).max() <= 1 and ((seen < 0).mean(0) >= _BOTH_SIGNS).all():
        raise Malformed("the body runs from -1 to 1 about the middle: write pixels, or fractions from 0 to 1")


def _percent(points: Points, rows: PersonRows, fractions: dict[str, Floats]) -> list[str]:
    """The parts that are in percent of the canvas; `points` have their fractions scaled already."""
    if not np.nanmin(rows.canvas, initial=np.inf) >= _PERCENT_CANVAS or np.isnan(rows.canvas).any():
        return []
    found = ["body"] if _fills_percent(rows.points[:, BODY], fractions["body"]) else []
    base = points.copy()
    if found:
        base[:, BODY, :2] *= (0.01 * rows.canvas[:, None]).astype(np.float32)
    for name in _ANCHORS:
        part = _ROWS[name]
        if np.nanmax(fractions[name], initial=0) > 0 or np.abs(rows.points[:, part, :2]).max() > _PERCENT_TO:
            continue
        as_percent = base.copy()
        as_percent[:, part, :2] *= (0.01 * rows.canvas[:, None]).astype(np.float32)
        if max(_CLEARLY * _apart(as_percent, name), _DOUBTFUL) < _apart(base, name):
            found.append(name)
    return found


def _fills_percent(body: Points, fractions: Floats) -> bool:
    places = body[body[..., 2] > 0, :2]
    if not len(places) or np.nanmax(fractions, initial=0) != 0:
        return False
    return bool(places.min() >= 0 and _PERCENT_FROM <= places.max() <= _PERCENT_TO)


def _middle(points: Points, rows: list[int]) -> Floats:
    """The mean of the points that are there [N, 2]; NaN without any."""
    there = points[:, rows, 2:] > 0
    count = there.sum(1)
    total = (points[:, rows, :2].astype(float) * there).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _apart(points: Points, name: str) -> float:
    """The median distance of a part from what it hangs on, in sizes of body or part; 0 where no frame shows both."""
    joints, own = _ANCHORS[name]
    part = points[:, _ROWS[name]]
    gap = np.hypot(*(_middle(points, joints) - _middle(part, own)).T)
    sizes = np.maximum(_extent(points[:, BODY]), _extent(part))
    ratio = (gap / np.maximum(sizes, 1e-6))[~np.isnan(gap)]
    return float(np.median(ratio)) if len(ratio) else 0.0


def _extent(points: Points) -> Floats:
    """The diagonal of the box around the points that are there [N]."""
    there = points[..., 2:] > 0
    low = np.where(there, points[..., :2], np.inf).min(1)
    high = np.where(there, points[..., :2], -np.inf).max(1)
    return np.where(there.any((1, 2)), np.hypot(*np.maximum(high - low, 0).T), 0).astype(float)


def _check(points: Points, canvas: Floats, note: Note) -> None:
    """Notes where what was read cannot be right."""
    known = ~np.isnan(canvas).any(1)
    outside = []
    for name, part in _ROWS.items():
        there = points[known, part, 2] > 0
        beyond = np.abs(points[known, part, :2] / canvas[known, None] - 0.5).max(-1) > 1
        if there.any() and (beyond & there).sum() > _OUTSIDE * there.sum():
            outside.append(name)
    if outside:
        named = ", ".join(outside)
        note(f"most points of {named} are far outside of the canvas: check the size that is stated for it")
    for name in _ANCHORS:
        if (apart := _apart(points, name)) > _APART:
            where = "the head" if name == "face" else "its wrist"
            note(f"the {name} is {apart:.1f} times the person's size away from {where}: check its coordinates")
