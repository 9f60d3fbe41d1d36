"""The point layouts of other programs: how many points, in which order, and how ours are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.documents.jsonfile import MAX_COORDINATE, Malformed, as_list, kind
from magicpose.pose.keypoints import N_BODY, N_FACE, N_HAND, Points

Rows = Sequence[int]  # for each of our points its row in theirs; -1: they do not have it
_LEFT_SHOULDER, _RIGHT_SHOULDER, _NECK = 5, 2, 1

# COCO's 17 points: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, left before right.
COCO_17: Rows = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BODY_25: Rows = (*range(8), *range(9, 19))  # without the middle of the hips (8) and the feet (19 to 24)
_IBUG_51: Rows = (*[-1] * 17, *range(51), -1, -1)  # iBUG without the line of the jaw

MAX_LISTED = 500  # points of one part that are looked at


@dataclass(frozen=True)
class Layout:
    """A part of the body: `count` points of ours, and for each known number of theirs where ours are among them.

    `required`: a list of another length makes the document unusable; otherwise the part is left out, with a note.
    """

    count: int
    known: Mapping[int, Rows]
    required: bool = False


BODY_LAYOUT = Layout(
    N_BODY, {18: range(N_BODY), 25: _BODY_25, 17: COCO_17, 19: _BODY_25}, required=True
)  # OpenPose's COCO, BODY_25, COCO, BODY_25 without feet
HAND_LAYOUT = Layout(N_HAND, {21: range(N_HAND)})
FACE_LAYOUT = Layout(
    N_FACE, {70: range(N_FACE), 68: (*range(68), -1, -1), 51: _IBUG_51}
)  # OpenPose, iBUG without pupils, iBUG without pupils and jaw


def read_part(value: Any, layout: Layout, at: str, note: Callable[[str], None]) -> Points:
    """`layout.count` points [x, y, score] from a flat list or a list of points; what is absent is zero.

    A point without a score has score 1. Absent are points of score 0, points at (0, 0) or (-1, -1) whatever their
    score, and points with null for a number.
    """
    if value is None or value == []:
        return np.zeros((layout.count, 3), np.float32)
    theirs = _points(as_list(value, at, 3 * MAX_LISTED), layout, at)
    rows = layout.known.get(len(theirs))
    if rows is None:
        told = f"has {len(theirs)} points; known are {_listed(layout.known)}"
        if layout.required:
            raise Malformed(f"{at} {told}: convert it, or leave it out")
        note(f"{at.rpartition('.')[2]} {told}: it is left out")
        return np.zeros((layout.count, 3), np.float32)
    points = np.concatenate([theirs, np.zeros((1, 3))])[list(rows)]
    if layout.required and rows is COCO_17:
        points[_NECK] = _between(points[_RIGHT_SHOULDER], points[_LEFT_SHOULDER])
    return points.astype(np.float32)


def _listed(known: Mapping[int, Rows]) -> str:
    counts = [str(count) for count in sorted(known)]
    return " or ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts)


def _between(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of two points with the lower score; absent if one of them is."""
    if min(one[2], other[2]) <= 0:
        return np.zeros(3)
    return np.array([*(one[:2] + other[:2]) / 2, min(one[2], other[2])])


def _points(items: list[Any], layout: Layout, at: str) -> NDArray[np.float64]:
    """[N, 3] of what is a flat list x, y, score, ..., one of x, y, ..., or a list of points of two or three numbers."""
    width = 3
    if all(isinstance(item, list) for item in items):
        widths = {len(item) for item in items}
        if widths not in ({2}, {3}):
            raise Malformed(f"{at} must hold points [x, y, score]")
        width = widths.pop()
        items = [number for item in items for number in item]
    elif (
        len(items) % 2 == 0
        and len(items) // 2 in layout.known
        and not (len(items) % 3 == 0 and len(items) // 3 in layout.known)
    ):
        width = 2
    if len(items) % width:
        raise Malformed(f"{at} must hold points x, y, score: {len(items)} numbers are no multiple of 3")
    points = _numbers(items, at).reshape(-1, width)
    if width == 2:
        points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return _present(points, at)


def _numbers(items: list[Any], at: str) -> NDArray[np.float64]:
    """Numbers as they are, null as NaN; whole numbers beyond all bounds as infinity."""
    for item in items:
        if type(item) not in (int, float, type(None)):
            raise Malformed(f"{at} must hold numbers only, not {kind(item)}")
    try:
        return np.array([np.nan if item is None else item for item in items], np.float64)
    except OverflowError as error:
        raise Malformed(f"{at} holds a huge number") from error


def _present(points: NDArray[np.float64], at: str) -> NDArray[np.float64]:
    """Absent points zeroed, scores within 0..1; Malformed for a point that is there but impossibly far away."""
    places, scores = points[:, :2], points[:, 2]
    nowhere = (places == 0).all(1) | (places == -1).all(1)
    absent = ~(scores > 0) | nowhere | np.isnan(places).any(1)
    points = np.where(absent[:, None], 0, points)
    if not (np.abs(points[:, :2]) <= MAX_COORDINATE).all():
        raise Malformed(f"{at} holds a number beyond {MAX_COORDINATE:g}")
    points[:, 2] = np.minimum(points[:, 2], 1)
    return points
