"""A clip out of what its frames hold: one canvas, one unit, people with numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from magicpose.media.canvas import Size
from magicpose.pose.documents.jsonfile import MAX_SIDE, Malformed
from magicpose.pose.documents.units import PersonRows, to_pixels
from magicpose.pose.keypoints import N_POINTS, Points, Pose, on_canvas
from magicpose.pose.people import MAX_PEOPLE_IN_CLIP, Scene, identify


@dataclass(frozen=True)
class Unstated:
    """What the caller says about a clip, for files that do not, and where to say what is odd about a file."""

    size: Size | None = None  # (width, height) pixels
    fps: float = 30.0
    note: Callable[[str], None] = lambda _: None


@dataclass
class Frame:
    """The people of one frame: own id if any, stacked points [130, 3] as written; the canvas, if stated."""

    canvas: Size | None
    people: list[tuple[int | None, Points]]


def own_id(value: Any) -> int | None:
    """The file's own number of a person, if it is one that we can keep."""
    return value if type(value) is int and 0 <= value < MAX_PEOPLE_IN_CLIP else None


def assemble(found: list[Frame], unstated: Unstated) -> Scene:
    """All points in pixels of one canvas: the file's own, else the caller's, else one that holds all points."""
    stated = Counter(frame.canvas for frame in found if frame.canvas is not None)
    size = stated.most_common(1)[0][0] if stated else unstated.size
    for frame in found:
        frame.people = [(own, points) for own, points in frame.people if own is not None or points.any()]
    people = [(n, own, points) for n, frame in enumerate(found) for own, points in frame.people]
    if people:
        canvas = np.array([found[n].canvas or size or (np.nan, np.nan) for n, _, _ in people], float)
        pixels = to_pixels(PersonRows(np.stack([points for _, _, points in people]), canvas), unstated.note)
    else:
        pixels = np.zeros((0, N_POINTS, 3), np.float32)
    size = size or _holding(pixels)
    if len(stated) > 1:
        others = sum(stated.values()) - stated[size]
        unstated.note(f"frames on another canvas than {size[0]}x{size[1]} are scaled to fit it: {others}")
    poses: list[list[tuple[int | None, Pose]]] = [[] for _ in found]
    for (n, own, _), points in zip(people, pixels, strict=True):
        placed = on_canvas(points, found[n].canvas or size, size)
        poses[n].append((own, Pose.from_stacked(placed)))
    return Scene(identify(poses), size, unstated.fps)


def _holding(pixels: Points) -> Size:
    """The smallest canvas with sides a multiple of 8 that holds all points [N, 130, 3]."""
    reach = pixels[..., :2].max(axis=(0, 1), initial=0)
    if reach.max() > MAX_SIDE:
        raise Malformed(f"it has points further out than {MAX_SIDE} px and no canvas size: give the size")
    return 8 * max(1, math.ceil(reach[0] / 8)), 8 * max(1, math.ceil(reach[1] / 8))
