"""Pose maps of many people at once, on any torch device: what `draw_pose` paints, to within one grey level.

`draw_pose` paints shape after shape. Here every shape lists the pixels of its bounding box, the coverage of all
pairs of shape and pixel is worked out in one pass, and the pairs of one pixel are blended in painting order:
a shape of coverage a_k shows with weight a_k * prod(1 - a_j) over the shapes j painted after it (Porter and Duff's
"over"). The table of shapes is made where the keypoints are, usually the host, so that its sizes are known without
waiting for the device; only the pixels are work for the device.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from magicpose.pose.drawing import draw
from magicpose.pose.drawing.raster import Colour
from magicpose.pose.keypoints import FACE, LEFT_HAND, N_POINTS, RIGHT_HAND, THRESHOLD

DISC, BONE, LIMB = 0, 1, 2


@dataclass(frozen=True)
class Recipe:
    """The shapes of one person in painting order; the same for everybody. S shapes."""

    kind: Tensor  # int64 [S]: DISC, BONE or LIMB
    start: Tensor  # int64 [S]: rows of the 130 points
    end: Tensor  # int64 [S]; a disc ends where it starts
    half_width: Tensor  # float32 [S], in px of a canvas with the sizes of `draw`
    colour: Tensor  # float32 [S, 3] in 0..255


@dataclass(frozen=True)
class Shapes:
    """Shapes of a batch that touch their canvas, N in all, frame after frame in painting order; lengths in pixels."""

    frame: Tensor  # int64 [N]
    kind: Tensor  # int64 [N]
    centre: Tensor  # float32 [N, 2]
    half: Tensor  # float32 [N, 2]: from the middle to the end
    width: Tensor  # float32 [N]: radius or half width
    colour: Tensor  # float32 [N, 3]
    corner: Tensor  # int64 [N, 2]: first column and row of the bounding box
    box: Tensor  # int64 [N, 2]: its columns and rows
    count: Tensor  # int64 [N]: its pixels

    def to(self, device: torch.device) -> Shapes:
        """The table on `device`, without waiting for it."""
        return Shapes(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def of(self, chosen: Tensor) -> Shapes:
        """Some of them, by a mask or by numbers."""
        return Shapes(*(getattr(self, field.name)[chosen] for field in fields(self)))


def recipe() -> Recipe:
    """Limbs, body joints, then bones and joints of the left and of the right hand, then the face."""
    rows: list[tuple[int, int, int, float, Colour]] = []
    for (i, j), colour in zip(draw.LIMBS, draw.LIMB_COLOURS, strict=False):
        rows.append((LIMB, i, j, draw.LIMB_HALF_WIDTH, colour))
    rows += [(DISC, i, i, draw.JOINT_RADIUS, colour) for i, colour in enumerate(draw.RAINBOW)]
    for hand in (LEFT_HAND.start, RIGHT_HAND.start):
        for (i, j), colour in zip(draw.HAND_BONES, draw.BONE_COLOURS, strict=True):
            rows.append((BONE, hand + i, hand + j, draw.BONE_HALF_WIDTH, colour))
        rows += [(DISC, hand + i, hand + i, draw.JOINT_RADIUS, draw.BLUE) for i in range(21)]
    rows += [(DISC, i, i, draw.FACE_RADIUS, draw.WHITE) for i in range(FACE.start, FACE.stop)]
    kind, start, end, width, colour = zip(*rows, strict=True)
    return Recipe(torch.tensor(kind), torch.tensor(start), torch.tensor(end), torch.tensor(width), torch.tensor(colour))


def shapes_of(points: Tensor, canvas_size: tuple[int, int], size: tuple[int, int]) -> Shapes:
    """What to paint for `points` [B, 130, 3] on a canvas of `canvas_size` = (width, height), on maps of `size`.

    Points that are absent, far away or not numbers are left out with every shape they end, as `draw_pose` does.
    """
    if points.ndim != 3 or points.shape[1:] != (N_POINTS, 3):
        raise ValueError(f"points must be [frames, {N_POINTS}, 3], not {list(points.shape)}")
    what = recipe()
    scale = min(size) / draw.NATIVE_SIDE
    near = (points[..., :2].abs() <= draw.FAR).all(-1)
    there = (points[..., 2] >= THRESHOLD) & near
    ratio = torch.tensor([size[0] / canvas_size[0], size[1] / canvas_size[1]], dtype=torch.float64)
    placed = torch.where(there[..., None], points[..., :2].double() * ratio, 0.0)
    frame, shape = (there[:, what.start] & there[:, what.end]).nonzero(as_tuple=True)
    first, last = placed[frame, what.start[shape]], placed[frame, what.end[shape]]
    half = (last - first) / 2
    kind, width = what.kind[shape], what.half_width[shape] * scale
    # A box holds its shape with a pixel to spare: bones and discs by their rim, limbs by their overhang.
    reach = half.abs() + width[:, None] + 2
    limits = torch.tensor(size)
    corner = torch.floor(first + half - reach).long().clamp(min=0).minimum(limits)
    box = (torch.ceil(first + half + reach).long().clamp(min=0).minimum(limits) - corner).clamp(min=0)
    count = box.prod(-1)
    centre = first + half
    table = Shapes(frame, kind, centre.float(), half.float(), width.float(), what.colour[shape], corner, box, count)
    return table.of(count > 0)


def draw_poses_on(
    points: Tensor,
    size: tuple[int, int],
    canvas_size: tuple[int, int] | None = None,
    device: torch.device | str = "cpu",
    frames_at_once: int = 64,
) -> Tensor:
    """The pose maps of `points` [B, 130, 3]: RGB uint8 [B, 3, height, width] on `device`.

    `size` = (width, height) of a map, `canvas_size` that of the canvas of the points (`size` by default). Hidden parts
    have score 0. The device never waits: what it needs to know beforehand comes from the host's `points`.
    """
    parts = []
    for some in torch.split(points.float().cpu(), frames_at_once):
        shapes = shapes_of(some, canvas_size or size, size)
        pairs = int(shapes.count.sum())
        parts.append(_painted(shapes.to(torch.device(device)), pairs, len(some), size))
    return torch.cat(parts) if parts else torch.zeros(0, 3, size[1], size[0], dtype=torch.uint8, device=device)


def _painted(shapes: Shapes, pairs: int, frames: int, size: tuple[int, int]) -> Tensor:
    """uint8 [frames, 3, height, width]; `pairs` is the sum of `shapes.count`."""
    device = shapes.count.device
    width, height = size
    owner = torch.repeat_interleave(shapes.count, output_size=pairs)
    within = torch.arange(pairs, device=device) - (shapes.count.cumsum(0) - shapes.count)[owner]
    columns = shapes.box[owner, 0]
    column = shapes.corner[owner, 0] + within % columns
    row = shapes.corner[owner, 1] + within // columns
    x, y = column + 0.5 - shapes.centre[owner, 0], row + 0.5 - shapes.centre[owner, 1]
    coverage = _coverage(shapes, owner, x, y, size)
    pixel = (shapes.frame[owner] * height + row) * width + column
    pixel, order = torch.sort(pixel, stable=True)  # painting order stays within a pixel
    owner, coverage = owner[order], coverage[order].double()
    shown = coverage * _left_by_later(pixel, coverage)
    canvas = torch.zeros(frames * height * width, 3, dtype=torch.float32, device=device)
    canvas.index_add_(0, pixel, (shapes.colour[owner] * shown[:, None]).float())
    return (canvas + 0.5).to(torch.uint8).view(frames, height, width, 3).permute(0, 3, 1, 2)


def _left_by_later(pixel: Tensor, coverage: Tensor) -> Tensor:
    """For sorted `pixel` [P]: the part of each pair that later pairs of its pixel leave visible, float64 [P]."""
    transparent = torch.log1p(-coverage.clamp(max=1 - 1e-9))
    running = transparent.cumsum(0)
    # The number of a pixel's last pair: where the next pixel begins, less one.
    last = torch.searchsorted(pixel, pixel, right=True) - 1
    return torch.exp(running[last] - running)


def _coverage(shapes: Shapes, owner: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """In 0..1, float32 [P], of each pair at (x, y) from the middle of its shape; see `raster`."""
    half, width = shapes.half[owner], shapes.width[owner]
    kind = shapes.kind[owner]
    dx, dy = half[:, 0], half[:, 1]
    disc_rim = 0.5 + (width * width - 1 / 12).clamp(min=0.25).sqrt()
    rim = torch.where(kind == DISC, disc_rim, width.clamp(min=0.5) + 0.5)
    along = ((x * dx + y * dy) / (dx * dx + dy * dy).clamp(min=1e-12)).clamp(-1, 1)
    distance = torch.hypot(x - along * dx, y - along * dy)  # a disc is a line without length
    opacity = torch.where(kind == DISC, 3 * width * width, 2 * width).clamp(max=1)
    line = (rim - distance).clamp(0, 1) * opacity
    return torch.where(
        kind == LIMB, _limb(x, y, dx, dy, width, draw.LIMB_OVERHANG * min(size) / draw.NATIVE_SIDE), line
    )


def _limb(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, width: Tensor, overhang: float) -> Tensor:
    """Coverage of an ellipse with the half axis (dx, dy) and half width `width`; see `raster.fill_limb`."""
    length = torch.hypot(dx, dy)
    cos = torch.where(length > 0, dx / length.clamp(min=1e-12), torch.ones_like(dx))
    sin = torch.where(length > 0, dy / length.clamp(min=1e-12), torch.zeros_like(dy))
    a, b = length + overhang, width
    across = a < b  # the limb points at us: its long axis lies across
    a, b = torch.where(across, b, a), torch.where(across, a, b)
    cos, sin = torch.where(across, -sin, cos), torch.where(across, cos, sin)
    opacity = (2 * a).clamp(max=1) * (2 * b).clamp(max=1)
    a, b = a.clamp(min=0.5), b.clamp(min=0.5)
    u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
    uu, vv = u * u, v * v
    f = uu + vv - 1
    g_squared = (uu * (4 / a**2) + vv * (4 / b**2)).clamp(min=1e-12)
    bend = (vv * (16 / b**4) + uu * (16 / a**4)) * f / g_squared
    distance = 2 * f / ((g_squared - bend).clamp(min=0).sqrt() + g_squared.sqrt())
    tip = 2 * b * (1 - uu).clamp(min=0).sqrt()
    return (0.5 - torch.maximum(distance, 0.5 - tip)).clamp(0, 1) * opacity
