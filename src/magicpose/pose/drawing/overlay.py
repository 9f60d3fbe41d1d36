"""Keypoints over the photo they belong to, for people to judge: orange is the person's right, blue their left."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.drawing.draw import ALL_PARTS, HAND_BONES, LIMBS, THRESHOLD, Part, Placed, check_parts, place
from magicpose.pose.drawing.raster import Colour, Point, fill_bone, fill_discs, to_uint8
from magicpose.pose.keypoints import BODY_NAMES, Pose

_SIDES: tuple[tuple[str, Colour], ...] = (("right_", (255, 140, 30)), ("left_", (60, 160, 255)))
_MIDDLE: Colour = (250, 235, 90)
_FACE: Colour = (255, 255, 255)
_OUTLINE: Colour = (15, 15, 15)

# Half-widths in pixels of a frame whose shorter side is 512 px.
_WIDTHS: dict[Part, float] = {"body": 2.2, "hands": 1.0, "face": 0.7}
_OUTLINE_WIDTH = 0.9


def _chain(first: int, last: int, closed: bool = False) -> tuple[tuple[int, int], ...]:
    lines = tuple((i, i + 1) for i in range(first, last))
    return (*lines, (last, first)) if closed else lines


# A line from a point to itself is a dot: a joint shows without its neighbours.
_BODY_LINES = (*LIMBS, *((joint, joint) for joint in range(len(BODY_NAMES))))

# The iBUG contours: jaw, brows, nose, eyes, outer and inner lips; then the pupils.
_FACE_LINES = (
    *_chain(0, 16), *_chain(17, 21), *_chain(22, 26), *_chain(27, 30), *_chain(31, 35),
    *_chain(36, 41, True), *_chain(42, 47, True), *_chain(48, 59, True), *_chain(60, 67, True), (68, 68), (69, 69),
)  # fmt: skip

Stroke = tuple[Point, Point, float, Colour]  # from, to, half-width, colour


def draw_overlay(
    frame: NDArray[np.uint8],
    pose: Pose,
    canvas_size: tuple[int, int] | None = None,
    *,
    parts: Collection[Part] = ALL_PARTS,
    threshold: float = THRESHOLD,
) -> NDArray[np.uint8]:
    """A copy of `frame` (RGB uint8 [H, W, 3]) with the person's lines on it; call it once per person.

    `canvas_size` = (width, height) is the canvas the coordinates refer to, the frame's own by default.
    Raises UserError for a frame of another shape or type, or an unknown part.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise UserError(f"an overlay needs an RGB uint8 frame [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    check_parts(parts)
    size = (frame.shape[1], frame.shape[0])
    strokes = _strokes(pose, canvas_size or size, size, parts, threshold)
    scale = min(size) / 512
    canvas = frame.astype(np.float32)
    for start, end, half_width, _ in strokes:  # a dark rim under everything keeps lines readable on any photo
        fill_bone(canvas, start, end, (half_width + _OUTLINE_WIDTH) * scale, _OUTLINE)
    for start, end, half_width, colour in strokes:
        fill_bone(canvas, start, end, half_width * scale, colour)
        fill_discs(canvas, (start, end), 1.5 * half_width * scale, (colour, colour))
    return to_uint8(canvas)


def _strokes(
    pose: Pose, source: tuple[int, int], target: tuple[int, int], parts: Collection[Part], threshold: float
) -> list[Stroke]:
    side = dict(_SIDES)
    colours = [next((c for prefix, c in _SIDES if name.startswith(prefix)), _MIDDLE) for name in BODY_NAMES]
    groups: tuple[tuple[Part, Placed, tuple[tuple[int, int], ...], list[Colour]], ...] = (
        ("body", place(pose.body, source, target, threshold), _BODY_LINES, [colours[end] for _, end in _BODY_LINES]),
        ("hands", place(pose.right_hand, source, target, threshold), HAND_BONES, [side["right_"]] * 20),
        ("hands", place(pose.left_hand, source, target, threshold), HAND_BONES, [side["left_"]] * 20),
        ("face", place(pose.face, source, target, threshold), _FACE_LINES, [_FACE] * len(_FACE_LINES)),
    )
    strokes: list[Stroke] = []
    for part, points, lines, line_colours in groups:
        for (i, j), colour in zip(lines, line_colours):
            start, end = points[i], points[j]
            if part in parts and start and end:
                strokes.append((start, end, _WIDTHS[part], colour))
    return strokes
