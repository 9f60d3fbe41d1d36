"""Hair and hats: a sheet over the scalp, grown strand by strand along the head and then down.

The sheet is a grid of azimuths around the head times steps along the strand; each azimuth has its own length,
and the edge is cut where the strands end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import RIGHT_EAR, Array, load_asset
from synthetic_people.colour import cloth_colour, to_linear
from synthetic_people.geometry import ball, grid_faces, smoothstep, tube, unit
from synthetic_people.identity import Identity
from synthetic_people.mesh import HAIR, HAT, Part, on_head
from synthetic_people.noise import material_noise
from synthetic_people.seeds import Stream, generator

STEP = 0.0125  # metres along a strand
Range = tuple[float, float]


class Style(NamedTuple):
    """A hair style or hat; lengths in metres."""

    men: float  # frequency
    women: float
    thickness: Range  # above the scalp
    length: Range | None  # from the crown down the sides; None: ends at the hairline
    words: str  # for captions; {} is the colour
    curl: float = 0.0  # 0 straight .. 1 woolly
    hat: bool = False


STYLES = {
    "bald": Style(0.08, 0, (0, 0), None, "a bald head"),
    "buzz": Style(0.13, 0.01, (0.003, 0.003), None, "buzz cut {} hair"),
    "short": Style(0.27, 0.06, (0.012, 0.024), None, "short {} hair"),
    "crop": Style(0.18, 0.06, (0.008, 0.014), None, "cropped {} hair"),
    "bob": Style(0.01, 0.14, (0.016, 0.016), (0.26, 0.32), "bob cut {} hair"),
    "long": Style(0.04, 0.2, (0.015, 0.015), (0.42, 0.62), "long {} hair"),
    "afro": Style(0.06, 0.06, (0.045, 0.085), None, "afro {} hair", 1.0),
    "bun": Style(0.02, 0.08, (0.008, 0.008), None, "{} hair in a bun"),
    "ponytail": Style(0.02, 0.1, (0.008, 0.008), None, "{} hair in a ponytail"),
    "curly": Style(0.06, 0.08, (0.024, 0.04), (0.28, 0.45), "curly {} hair", 0.8),
    "fringe": Style(0, 0.1, (0.016, 0.016), (0.28, 0.5), "{} hair with a fringe"),
    "beanie": Style(0.06, 0.05, (0.012, 0.02), None, "a {} beanie", hat=True),
    "cap": Style(0.07, 0.06, (0.012, 0.012), None, "a {} cap", hat=True),
}


@dataclass(frozen=True)
class Hairdo:
    """`shadow`: how much the scalp takes the hair's colour; `hat` linear RGB [3]."""

    style: str
    parts: tuple[Part, ...]
    shadow: float
    hat: Array


@dataclass(frozen=True)
class Scalp:
    """A person's scalp as the polar grid, A azimuths x P steps from crown to neck."""

    azimuth: Array  # [A] radians, 0 = forehead
    points: Array  # [A, P, 3]
    outward: Array  # [A, P, 3]
    arc: Array  # [A, P] metres from the crown
    height: Array  # [A, P] height on the template
    hairline: Array  # [A] metres from the crown to where hair ends


def _scalp(identity: Identity, rng: np.random.Generator) -> Scalp:
    asset, scale = load_asset(), identity.face_scale
    anchors = (identity.vertices[asset.hair_vertices] * asset.hair_weights[..., None]).sum(2)
    on_template = (asset.template[asset.hair_vertices] * asset.hair_weights[..., None]).sum(2)
    points = anchors + (asset.hair_points - on_template) * scale
    outward = unit(points - (points[:, 0].mean(0) - [0, 0, 0.09 * scale]))
    steps = np.linalg.norm(np.diff(points, axis=1), axis=2)
    arc = np.concatenate([np.zeros((len(points), 1)), np.cumsum(steps, 1)], 1)
    forehead = rng.uniform(-0.006, 0.012)
    line = np.interp(
        np.abs(asset.hair_azimuth),
        [0, 0.45, 0.8, 1.15, 1.45, 1.75, 2.2, np.pi],
        [0.772 - forehead, 0.768 - forehead, 0.745, 0.712, 0.675, 0.675, 0.635, 0.615],
    )
    height = asset.hair_points[..., 2]
    return Scalp(asset.hair_azimuth, points, outward, arc, height, _arc_at(arc, height, line))


def _arc_at(arc: Array, height: Array, line: Array) -> Array:
    """Arc length [A] at which each column sinks below `line` [A], between steps."""
    out = np.empty(len(arc))
    for i, level in enumerate(line):
        below = np.flatnonzero(height[i] < level)
        k = int(below[0]) if len(below) else len(arc[i]) - 1
        if k == 0 or height[i, k] >= level:
            out[i] = arc[i, k]
            continue
        t = (height[i, k - 1] - level) / (height[i, k - 1] - height[i, k])
        out[i] = arc[i, k - 1] + t * (arc[i, k] - arc[i, k - 1])
    return out


def _lengths(name: str, scalp: Scalp, male: bool, scale: float, rng: np.random.Generator) -> Array:
    """Strand lengths [A]."""
    style, side = STYLES[name], np.abs(scalp.azimuth)
    if style.hat:
        cap = name == "cap"
        rim = np.interp(side, [0, 1.0, 1.5, np.pi], [0.752, 0.735, 0.715 if cap else 0.690, 0.675 if cap else 0.650])
        return _arc_at(scalp.arc, scalp.height, rim)
    lengths = scalp.hairline.copy()
    if style.length and not (name == "curly" and male):
        total = rng.choice(style.length) if name == "fringe" else rng.uniform(*style.length)
        down = smoothstep(0.55, 1.0, side)
        lengths = scalp.hairline * (1 - down) + total * down
    if name == "fringe":
        lengths = np.where(side < 0.75, scalp.hairline + 0.045 * scale, lengths)
        lengths = 0.25 * np.roll(lengths, 1) + 0.5 * lengths + 0.25 * np.roll(lengths, -1)
    if name == "short" and rng.random() < 0.4:
        lengths = lengths + 0.02 * smoothstep(0.7, 0.5, side)
    return lengths


def _torso_profile(identity: Identity) -> tuple[Array, Array, Array]:
    """Heights [24] and the body's rearmost and foremost y there: hair lies on it."""
    asset = load_asset()
    template = asset.template[: asset.body_size]
    torso = (template[:, 2] > 0.25) & (template[:, 2] < 0.66) & (np.abs(template[:, 0]) < 0.16)
    points = identity.body[torso]
    heights = np.linspace(points[:, 2].min(), points[:, 2].max(), 24)
    slices = [points[np.abs(points[:, 2] - z) < 0.03, 1] for z in heights]
    return heights, np.array([s.max() for s in slices]), np.array([s.min() for s in slices])


def _along(scalp: Scalp, arc: Array, grid: Array) -> Array:
    """Interpolate a scalp grid [A, P, 3] at arc lengths [A, M]."""
    out = np.empty((*arc.shape, 3))
    for i, (at, known) in enumerate(zip(arc, scalp.arc)):
        for k in range(3):
            out[i, :, k] = np.interp(at, known, grid[i, :, k])
    return out


def _sheet(
    name: str, scalp: Scalp, lengths: Array, identity: Identity, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Strand points [A, M, 3] at arc lengths [M]."""
    style, side = STYLES[name], np.abs(scalp.azimuth)
    arc = np.arange(int(np.ceil(lengths.max() / STEP)) + 2) * STEP
    thickness = rng.uniform(*style.thickness)
    ear = identity.landmarks[RIGHT_EAR, 2]
    # where a strand leaves the head: beside the ear if it is longer than the hairline
    low = scalp.points[..., 2] < ear + 0.02
    leaves = np.where(low.any(1) & (lengths > scalp.hairline + 0.06), low.argmax(1), scalp.arc.shape[1] - 1)
    leave_arc = np.take_along_axis(scalp.arc, leaves[:, None], 1)  # [A, 1]
    on_head_arc = np.minimum(arc[None], leave_arc)
    points, outward = _along(scalp, on_head_arc, scalp.points), _along(scalp, on_head_arc, scalp.outward)

    lift = np.full(arc.shape, thickness)[None] * np.ones((len(side), 1))
    if not style.hat:
        rise = np.minimum(1, 0.45 + arc / 0.05)[None]
        taper = 1.0 if style.curl else np.clip((lengths[:, None] - arc) / 0.03, 0.25, 1)
        uneven = 1 + 0.25 * np.sin(3 * scalp.azimuth + rng.uniform(0, 6.28))[:, None]
        lift = lift * rise * taper * uneven
    if name == "short":
        lift = lift * (1 + 0.5 * smoothstep(1.2, 0, side))[:, None]
    hangs = arc[None] > leave_arc
    last = np.take_along_axis(lift, np.maximum((~hangs).sum(1, keepdims=True) - 1, 0), 1)
    points = points + outward * np.where(hangs, last, lift)[..., None]
    points = _hang(points, outward, np.where(hangs, arc[None] - leave_arc, 0), side, identity, rng)

    if style.length:
        wave = rng.uniform(0, 0.008) * np.sin(arc[None] * rng.uniform(25, 60) + 3 * np.sin(scalp.azimuth * 2)[:, None])
        level = unit(outward[:, -1] * [1, 1, 0] + [0, 0, 0.1])
        points = points + (wave * smoothstep(0.08, 0.2, arc)[None])[..., None] * level[:, None]
    if style.curl:
        points = points + _curls(points, thickness * (0.16 if name == "afro" else 0.15), rng)
    return points, arc


def _hang(
    points: Array, outward: Array, hang: Array, side: Array, identity: Identity, rng: np.random.Generator
) -> Array:
    """Let strands fall for `hang` [A, M] metres, over the back behind the ears and over the chest before them."""
    volume = rng.uniform(0.8, 1.3)
    flat = unit(outward * [1, 1, 0])
    out = points + flat * (0.012 * volume * (1 - np.exp(-hang / 0.04)))[..., None]
    out[..., 2] -= hang
    heights, back, front = _torso_profile(identity)
    behind = np.interp(out[..., 2], heights, back) + 0.018
    before = np.interp(out[..., 2], heights, front) - 0.018
    y, soon, later = out[..., 1], smoothstep(0.0, 0.1, hang), smoothstep(0.08, 0.18, hang)
    rear = np.maximum(y, behind * soon + y * (1 - soon))
    fore = np.where(hang > 0.1, np.minimum(y, before * later + y * (1 - later)), y)
    out[..., 1] = np.where(hang > 0, np.where((side > 1.5)[:, None], rear, fore), y)
    return out


def _curls(points: Array, depth: float, rng: np.random.Generator) -> Array:
    """Bumps [A, M, 3]."""
    import cv2

    noise, size = material_noise(), (points.shape[1], points.shape[0])
    bumps = cv2.resize(noise[0], size) * 0.5
    bumps += cv2.resize(np.roll(noise[1], int(rng.integers(256)), 0), size) * 0.5
    return unit(points - points.mean((0, 1))) * (bumps * depth)[..., None]


def _main_part(name: str, scalp: Scalp, points: Array, arc: Array, lengths: Array, identity: Identity) -> Part:
    """The sheet as a mesh that turns with the head, its long ends resting on the chest."""
    asset, hat = load_asset(), STYLES[name].hat
    cut = np.maximum(lengths[:, None] - arc[None], -0.03)
    if not hat and name != "fringe":
        cut[:, 0] = 1
    ear = identity.landmarks[RIGHT_EAR, 2]
    on_chest = np.clip((ear - 0.08 - points[..., 2]) / 0.22, 0, 1) * 0.75
    bones, weights = np.zeros((*cut.shape, 4), np.int32), np.zeros((*cut.shape, 4))
    bones[..., 0], bones[..., 1] = asset.bone("head"), asset.bone("spine01")
    weights[..., 0], weights[..., 1] = 1 - on_chest, on_chest
    uv = np.stack(np.broadcast_arrays(scalp.azimuth[:, None] / (2 * np.pi), arc[None]), -1)
    faces = grid_faces(np.arange(cut.size).reshape(cut.shape), closed=True)
    return Part(
        points.reshape(-1, 3), faces, HAT if hat else HAIR, bones.reshape(-1, 4), weights.reshape(-1, 4),
        uv=uv.reshape(-1, 2), cut=cut.ravel(),
    )  # fmt: skip


def _bun(scalp: Scalp, rng: np.random.Generator) -> Part:
    crown, back = scalp.points[:, 0].mean(0), scalp.points[0, int(scalp.points.shape[1] * 0.55)]
    low = rng.random() < 0.6
    centre = (crown + back) / 2 + np.array([0, 0.02, 0.02]) if low else crown + np.array([0, 0, 0.03])
    radii = np.array([0.042, 0.04, 0.036]) * rng.uniform(0.8, 1.2)
    vertices, faces, uv = ball(centre, radii, material_noise()[0, :16, :11] * 0.05)
    return on_head(vertices, faces, HAIR, uv)


def _ponytail(scalp: Scalp, rng: np.random.Generator) -> Part:
    n, length = 14, rng.uniform(0.18, 0.34)
    t = np.linspace(0, 1, n)
    root = scalp.points[0, int(scalp.points.shape[1] * 0.42)] + np.array([0, 0.012, 0])
    path = root + np.stack([0 * t, 0.05 * np.sin(t * 2.2) + 0.02, -length * t**1.3 + 0.03 * np.sin(t * 3.1)], 1)
    radius = 0.024 * np.sin(np.clip(t * 1.1 + 0.25, 0, 1) * np.pi).clip(0) ** 0.6 + 0.003
    vertices, faces = tube(path, radius, 12, np.array([1.0, 0, 0]))
    turn = np.linspace(0, 0.3, 12, endpoint=False)
    uv = np.stack(np.broadcast_arrays(turn[:, None], t[None] * length), -1).reshape(-1, 2)
    return on_head(vertices, faces, HAIR, uv)


def _peak(scalp: Scalp, points: Array, arc: Array, lengths: Array) -> Part:
    """The peak of a cap."""
    rim = np.array([[np.interp(x, arc, column[:, k]) for k in range(3)] for x, column in zip(lengths, points)])
    across, out = np.linspace(-1.05, 1.05, 15), np.linspace(0, 1, 6)
    edge = np.stack([np.interp(across, scalp.azimuth, rim[:, k]) for k in range(3)], 1)
    reach = np.stack([0 * across, -0.075 * np.cos(across * 1.3).clip(0) ** 0.7, -0.018 + 0 * across], 1)
    vertices = edge[:, None] + reach[:, None] * out[None, :, None]
    return on_head(vertices.reshape(-1, 3), grid_faces(np.arange(90).reshape(15, 6), closed=False), HAT)


def do_hair(identity: Identity) -> Hairdo:
    """The hair or hat of a person."""
    rng = generator(identity.seed, Stream.HAIR)
    weights = np.array([s.men if identity.male else s.women for s in STYLES.values()])
    name = tuple(STYLES)[rng.choice(len(STYLES), p=weights / weights.sum())]
    if name == "afro" and identity.tone < 3:
        name = "curly"
    hat_colour = to_linear(cloth_colour(rng).clip(0, 1))
    if name == "bald":
        return Hairdo(name, (), 0.25 if identity.male else 0.0, hat_colour)
    scalp = _scalp(identity, rng)
    lengths = _lengths(name, scalp, identity.male, identity.face_scale, rng)
    points, arc = _sheet(name, scalp, lengths, identity, rng)
    if not STYLES[name].hat:
        free = smoothstep(0.02, 0.1, lengths - scalp.hairline)  # only hanging ends are uneven
        lengths = lengths + (0.001 + rng.uniform(0.006, 0.016) * free) * rng.normal(0, 0.6, len(lengths))
    parts = [_main_part(name, scalp, points, arc, lengths, identity)]
    if name == "bun":
        parts.append(_bun(scalp, rng))
    if name == "ponytail":
        parts.append(_ponytail(scalp, rng))
    if name == "cap":
        parts.append(_peak(scalp, points, arc, lengths))
    return Hairdo(name, tuple(parts), 0.9, hat_colour)
