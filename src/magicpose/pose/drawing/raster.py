"""Antialiased discs, bones and limbs on a float canvas: numpy only, each within its own bounding box.

A canvas is float32 [H, W, 3] in 0..255; pixel (row, column) covers the unit square whose centre is
(x, y) = (column + 0.5, row + 0.5). Coverage falls from 1 to 0 over one pixel at the outline, placed so that
the painted area is the shape's own. What is thinner than a pixel is painted one pixel wide and fainter by the
same factor, so a drawing at 128 px is the one at 512 px, shrunk. Nothing is painted outside the canvas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Colour = tuple[float, float, float]  # red, green, blue in 0..255
Point = tuple[float, float]  # x, y in pixels of the canvas


def blank(size: tuple[int, int]) -> Canvas:
    """A black canvas of `size` = (width, height)."""
    return np.zeros((size[1], size[0], 3), np.float32)


def to_uint8(canvas: Canvas) -> NDArray[np.uint8]:
    """Rounded to [H, W, 3] uint8."""
    return (canvas + np.float32(0.5)).astype(np.uint8)


def _span(centre: float, reach: float, limit: int) -> slice:
    """The pixels of 0..limit that `reach` around `centre` touches; empty when there are none."""
    start = max(math.floor(min(centre - reach, limit)), 0)
    return slice(start, max(math.ceil(max(min(centre + reach, limit), 0)), start))


def _window(canvas: Canvas, centre: Point, reach: Point) -> tuple[Canvas, NDArray[np.float32], NDArray[np.float32]]:
    """The view of `canvas` within `reach` of `centre`, with x [1, w] and y [h, 1] relative to the centre."""
    rows = _span(centre[1], reach[1], canvas.shape[0])
    columns = _span(centre[0], reach[0], canvas.shape[1])
    x = (np.arange(columns.start, columns.stop) + (0.5 - centre[0])).astype(np.float32)
    y = (np.arange(rows.start, rows.stop) + (0.5 - centre[1])).astype(np.float32)
    return canvas[rows, columns], x[None, :], y[:, None]


def _blend(view: Canvas, distance: NDArray[np.float32], rim: float, colour: Colour, opacity: float) -> None:
    """Paint where `distance` [h, w], which is used up, is below `rim`; fully from one pixel inside of it."""
    coverage = np.subtract(rim, distance, out=distance)
    np.maximum(coverage, 0.0, out=coverage)
    np.minimum(coverage, 1.0, out=coverage)
    if opacity < 1.0:
        coverage *= np.float32(opacity)
    view += coverage[:, :, None] * (np.array(colour, np.float32) - view)


def fill_discs(canvas: Canvas, centres: Sequence[Point], radius: float, colours: Sequence[Colour]) -> None:
    """Discs of `radius` pixels, painted in turn; their coverage is worked out for all at once."""
    if not centres:
        return
    # clip(rim - distance, 0, 1) has area pi (rim^2 - rim + 1/3): pi radius^2 with this rim.
    rim = 0.5 + math.sqrt(max(radius * radius - 1 / 12, 0.25))
    opacity = min(1.0, 3 * radius * radius)
    side = math.ceil(2 * rim) + 1
    xy = np.array(centres, np.float64)
    corners = np.floor(xy - rim)
    apart = (corners - xy)[:, :, None] + (np.arange(side) + 0.5)  # [n, (x, y), side]
    apart *= apart
    distance = np.sqrt(apart[:, 1, :, None] + apart[:, 0, None, :])
    coverage = (np.clip(rim - distance, 0, 1) * opacity).astype(np.float32)[..., None]  # [n, side, side, 1]
    paints = np.array(colours, np.float32)
    for (left, top), patch, paint in zip(corners.astype(int).tolist(), coverage, paints):
        view = canvas[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
        height, width = view.shape[:2]
        if view.size:
            row, column = max(-top, 0), max(-left, 0)
            view += patch[row : row + height, column : column + width] * (paint - view)


def fill_bone(canvas: Canvas, start: Point, end: Point, half_width: float, colour: Colour) -> None:
    """A straight line with round ends, `half_width` pixels to either side."""
    rim = max(half_width, 0.5) + 0.5
    dx, dy = (end[0] - start[0]) / 2, (end[1] - start[1]) / 2
    view, x, y = _window(canvas, (start[0] + dx, start[1] + dy), (abs(dx) + rim, abs(dy) + rim))
    if not view.size:
        return
    # The nearest point of the segment is t (dx, dy) from its middle, t in -1..1.
    t = (x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12)
    np.maximum(t, -1.0, out=t)
    np.minimum(t, 1.0, out=t)
    off_x, off_y = x - t * dx, y - t * dy
    _blend(view, np.sqrt(off_x * off_x + off_y * off_y), rim, colour, min(1.0, 2 * half_width))


def fill_limb(canvas: Canvas, start: Point, end: Point, half_width: float, overhang: float, colour: Colour) -> None:
    """An ellipse along start-end: semi-axes half the length plus `overhang`, and `half_width`, in pixels."""
    dx, dy = (end[0] - start[0]) / 2, (end[1] - start[1]) / 2
    half_length = math.hypot(dx, dy)
    cos, sin = (dx / half_length, dy / half_length) if half_length > 0 else (1.0, 0.0)
    a, b = half_length + overhang, half_width
    if a < b:  # the limb points at us: its long axis lies across
        a, b, cos, sin = b, a, -sin, cos
    opacity = min(1.0, 2 * a) * min(1.0, 2 * b)
    a, b = max(a, 0.5), max(b, 0.5)
    reach = (math.hypot(a * cos, b * sin) + 1, math.hypot(a * sin, b * cos) + 1)
    view, x, y = _window(canvas, (start[0] + dx, start[1] + dy), reach)
    if not view.size:
        return
    u, v = x * (cos / a) + y * (sin / a), y * (cos / b) - x * (sin / b)
    u *= u
    v *= v
    # Distance to the outline F = u^2 + v^2 - 1 = 0 along the gradient g of F, on which F is a quadratic.
    f = u + v
    f -= 1
    g_squared = u * (4 / a**2) + v * (4 / b**2)
    np.maximum(g_squared, 1e-12, out=g_squared)
    v *= 16 / b**4
    v += u * (16 / a**4)
    v *= f
    v /= g_squared
    root = np.sqrt(np.maximum(g_squared - v, 0, out=v), out=v)
    root += np.sqrt(g_squared, out=g_squared)
    f *= 2
    f /= root
    # Towards its tips the ellipse is thinner than a pixel: at most the part of a pixel it can cover.
    tip = np.sqrt(np.maximum(1 - u, 0, out=u), out=u)
    tip *= 2 * b
    _blend(view, np.maximum(f, 0.5 - tip, out=f), 0.5, colour, opacity)
