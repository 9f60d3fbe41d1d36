"""Keypoints as the pictures the pose ControlNet reads, and as overlays for people.

A map is what the original's OpenCV drawing gives (paper Sec. 4.3): body limbs as rainbow ellipses at 0.6 of
full colour, joints as discs in full colour over them, then hands (rainbow bones, blue joints), then the face
(white discs). Sizes are in pixels of a canvas whose shorter side is 604 px, the size the released weights'
training videos have, and scale with the shorter side: a map at 256 or 768 px is the one at 512, resized.
"""

from __future__ import annotations

import colorsys
from collections.abc import Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.drawing.raster import Canvas, Colour, Point, blank, fill_bone, fill_discs, fill_limb, to_uint8
from magicpose.pose.keypoints import Points, Pose, PoseTrack

Part = Literal["body", "hands", "face"]
ALL_PARTS: tuple[Part, ...] = ("body", "hands", "face")
THRESHOLD = 0.3  # points with a lower score are absent
MAX_SIDE = 16384

_FAR = 1e6  # px
_NATIVE_SIDE = 604  # px: the shorter side at which the sizes below hold

# Areas measured from OpenCV's hard-edged primitives: a disc of radius r has the area of a true disc of radius
# r, an ellipse of half-width 4 that of one 0.6 larger all round, a line of thickness 2 is 3 pixels wide.
_JOINT_RADIUS = 4.0
_FACE_RADIUS = 3.0
_LIMB_OVERHANG = 0.6
_LIMB_HALF_WIDTH = 4.0 + _LIMB_OVERHANG
_BONE_HALF_WIDTH = 1.5

# Pairs of rows of `Pose.body`, in the order they are painted.
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
HAND_BONES = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))

_RAINBOW: tuple[Colour, ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_LIMB_COLOURS: tuple[Colour, ...] = tuple((0.6 * r, 0.6 * g, 0.6 * b) for r, g, b in _RAINBOW)
_BONE_COLOURS: tuple[Colour, ...] = tuple(
    (255 * r, 255 * g, 255 * b) for r, g, b in (colorsys.hsv_to_rgb(i / 20, 1, 1) for i in range(20))
)
_BLUE: Colour = (0, 0, 255)
_WHITE: Colour = (255, 255, 255)

Placed = list[Point | None]  # points in pixels of the canvas, None where absent


def draw_pose(
    pose: Pose,
    size: tuple[int, int],
    canvas_size: tuple[int, int] | None = None,
    *,
    parts: Collection[Part] = ALL_PARTS,
    threshold: float = THRESHOLD,
) -> NDArray[np.uint8]:
    """The pose map of one person: RGB uint8 [height, width, 3], black where nothing is drawn.

    `size` = (width, height) of the map; `canvas_size` that of the canvas the coordinates refer to, `size` by
    default. Each axis is scaled on its own, just as resizing the frame to `size` would. Points with a score
    below `threshold` are absent, with every limb they end; what lies outside the map is cut off at its edge.

    Raises UserError for an impossible size or an unknown part.
    """
    _check_size(size)
    check_parts(parts)
    canvas = blank(size)
    scale = min(size) / _NATIVE_SIDE

    def placed(points: Points) -> Placed:
        return place(points, canvas_size or size, size, threshold)

    if "body" in parts:
        _paint_body(canvas, placed(pose.body), scale)
    if "hands" in parts:
        _paint_hand(canvas, placed(pose.left_hand), scale)
        _paint_hand(canvas, placed(pose.right_hand), scale)
    if "face" in parts:
        _paint_dots(canvas, placed(pose.face), _FACE_RADIUS * scale, _WHITE)
    return to_uint8(canvas)


def draw_poses(
    track: PoseTrack,
    size: tuple[int, int] | None = None,
    *,
    parts: Collection[Part] = ALL_PARTS,
    threshold: float = THRESHOLD,
) -> NDArray[np.uint8]:
    """The pose maps of a clip: RGB uint8 [frames, height, width, 3]; `size` is the track's own by default."""
    size = size or track.size
    _check_size(size)
    check_parts(parts)
    maps = np.empty((len(track), size[1], size[0], 3), np.uint8)
    for index, pose in enumerate(track):
        maps[index] = draw_pose(pose, size, track.size, parts=parts, threshold=threshold)
    return maps


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or not all(1 <= side <= MAX_SIDE for side in size):
        raise UserError(f"a pose map of size {size} cannot be drawn: give (width, height) in 1..{MAX_SIDE} pixels")


def check_parts(parts: Collection[Part]) -> None:
    """Raise UserError if `parts` names something that is none."""
    if unknown := set(parts) - set(ALL_PARTS):
        raise UserError(f"unknown parts {sorted(unknown)}: choose among {', '.join(ALL_PARTS)}")


def place(points: Points, source: tuple[int, int], target: tuple[int, int], threshold: float) -> Placed:
    """`points` [N, 3] on a canvas of size `source` in pixels of one of size `target`; None for what is absent.

    So far away that a point must be a mistake (10^6 px), or not a number, is absent too.
    """
    near = (np.abs(points[:, :2]) <= _FAR).all(axis=1)
    there = (points[:, 2] >= threshold) & (points[:, 2] > 0) & near
    scaled = points[:, :2].astype(np.float64) * (target[0] / source[0], target[1] / source[1])
    return [(x, y) if seen else None for (x, y), seen in zip(scaled.tolist(), there.tolist())]


def _paint_body(canvas: Canvas, body: Placed, scale: float) -> None:
    for (i, j), colour in zip(LIMBS, _LIMB_COLOURS):
        start, end = body[i], body[j]
        if start and end:
            fill_limb(canvas, start, end, _LIMB_HALF_WIDTH * scale, _LIMB_OVERHANG * scale, colour)
    joints = [(point, colour) for point, colour in zip(body, _RAINBOW) if point]
    fill_discs(canvas, [point for point, _ in joints], _JOINT_RADIUS * scale, [colour for _, colour in joints])


def _paint_hand(canvas: Canvas, hand: Placed, scale: float) -> None:
    for (i, j), colour in zip(HAND_BONES, _BONE_COLOURS):
        start, end = hand[i], hand[j]
        if start and end:
            fill_bone(canvas, start, end, _BONE_HALF_WIDTH * scale, colour)
    _paint_dots(canvas, hand, _JOINT_RADIUS * scale, _BLUE)


def _paint_dots(canvas: Canvas, points: Placed, radius: float, colour: Colour) -> None:
    there = [point for point in points if point]
    fill_discs(canvas, there, radius, [colour] * len(there))
