"""Square, turned regions of a frame: cut out for a network, and its answer brought back to the frame.

All coordinates are continuous pixels of the frame, x right and y down, the first pixel's centre at (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]  # [H, W, 3], RGB
Floats = NDArray[np.float32]

UP, RIGHT, DOWN = math.pi / 2, 0.0, -math.pi / 2  # for `turn_to`


@dataclass(frozen=True)
class Roi:
    """A square of side `size` around (x, y); its own upright is turned clockwise by `angle` radians."""

    x: float
    y: float
    size: float
    angle: float = 0.0

    def to_frame(self, points: Floats) -> Floats:
        """Points [..., 2] of the square, where (0, 0) is its upper left and (1, 1) its lower right corner."""
        u, v = (points[..., 0] - 0.5) * self.size, (points[..., 1] - 0.5) * self.size
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.stack([self.x + cos * u - sin * v, self.y + sin * u + cos * v], -1).astype(np.float32)

    def from_frame(self, points: Floats) -> Floats:
        """The inverse of `to_frame`."""
        dx, dy = points[..., 0] - self.x, points[..., 1] - self.y
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return (np.stack([cos * dx + sin * dy, cos * dy - sin * dx], -1) / self.size + 0.5).astype(np.float32)

    def scaled(self, factor: float, shift_down: float = 0.0) -> Roi:
        """Grown about its centre, after a move along its own downward axis by `shift_down` of its side."""
        step = shift_down * self.size
        return replace(
            self,
            x=self.x - math.sin(self.angle) * step,
            y=self.y + math.cos(self.angle) * step,
            size=self.size * factor,
        )


def whole(frame: Frame) -> Roi:
    """The smallest square that holds the frame, centred on it (what letterboxing does)."""
    height, width = frame.shape[:2]
    return Roi(width / 2, height / 2, max(width, height))


def turn_to(start: Floats, end: Floats, target: float) -> float:
    """The angle that turns a square so that `start` -> `end` points along `target` in it.

    `target` counts anticlockwise from the x axis: 0 is to the right, pi / 2 upwards.
    """
    angle = target - math.atan2(-(float(end[1]) - float(start[1])), float(end[0]) - float(start[0]))
    return math.remainder(angle, 2 * math.pi)


def around(points: Floats, angle: float) -> Roi:
    """The square about the upright bounding box of `points` [N, 2], with the box's longer side."""
    low, high = points.min(0), points.max(0)
    (x, y), size = (low + high) / 2, float((high - low).max())
    return Roi(float(x), float(y), max(size, 1.0), angle)


def distance(a: Floats, b: Floats) -> float:
    """Between two points, of whose rows only x and y count."""
    return math.hypot(float(a[0] - b[0]), float(a[1] - b[1]))


def circle(centre: Floats, edge: Floats, target: float) -> Roi:
    """The square about the circle through `edge`, turned so that centre -> edge points along `target` in it."""
    return Roi(float(centre[0]), float(centre[1]), max(1.0, 2 * distance(centre, edge)), turn_to(centre, edge, target))


def crop(frame: Frame, roi: Roi, size_px: int, replicate_border: bool = True) -> Image.Image:
    """The region as a picture of `size_px` squared, averaged over blocks first where it is made much smaller.

    Beyond the frame its border pixels repeat, or the canvas is black.
    """
    height, width = frame.shape[:2]
    step = max(1, int(roi.size / size_px))  # averaging blocks of this many pixels prevents aliasing
    corners = roi.to_frame(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32))
    low = np.floor(corners.min(0)).astype(int) - step
    high = np.ceil(corners.max(0)).astype(int) + step
    left, top = (int(np.clip(a, 0, b - 1)) for a, b in zip(low, (width, height)))
    right, bottom = (int(np.clip(a, b + 1, c)) for a, b, c in zip(high, (left, top), (width, height)))
    part = Image.fromarray(frame[top:bottom, left:right])
    if step > 1:
        part = part.reduce(step)
    if replicate_border:
        before = [max(0, -(-(edge - value) // step)) for edge, value in zip((left, top), low)]
        after = [max(0, -(-(value - edge) // step)) for edge, value in zip((right, bottom), high)]
        if any(before) or any(after):
            padding = ((before[1], after[1]), (before[0], after[0]), (0, 0))
            part = Image.fromarray(np.pad(np.asarray(part), padding, mode="edge"))
            left, top = left - before[0] * step, top - before[1] * step
    scale, cos, sin = roi.size / size_px / step, math.cos(roi.angle), math.sin(roi.angle)
    corner_x, corner_y = roi.to_frame(np.zeros(2, np.float32))
    # PIL wants, for each pixel of the result, where to look in `part`.
    matrix = (
        scale * cos, -scale * sin, (float(corner_x) - left) / step,
        scale * sin, scale * cos, (float(corner_y) - top) / step,
    )  # fmt: skip
    return part.transform((size_px, size_px), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
