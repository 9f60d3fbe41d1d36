"""Make-up of a face: one frontal RGBA texture in template coordinates."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import Array, load_asset
from synthetic_people.beard import EDGE_X, EDGE_Z, STUBBLE
from synthetic_people.colour import hsv, to_linear
from synthetic_people.geometry import smoothstep
from synthetic_people.identity import Identity
from synthetic_people.noise import material_noise
from synthetic_people.seeds import Stream, generator

WIDTH, HEIGHT = 180, 260  # texels; x from -0.09 to 0.09 m, z from 0.80 (top) to 0.54 m
_BROWS = ((22, 23, 24, 25, 26), (21, 20, 19, 18, 17))  # iBUG, inner end first
SIDES = (1, -1)
EVERYWHERE = (slice(None), slice(None))


class _Paint:
    """Layers of linear colour over a transparent ground."""

    def __init__(self) -> None:
        self.rgba = np.zeros((HEIGHT, WIDTH, 4))
        x, z = np.linspace(-0.09, 0.09, WIDTH), np.linspace(0.80, 0.54, HEIGHT)
        self.x, self.z = (np.ascontiguousarray(g) for g in np.meshgrid(x, z))

    def over(self, colour: Array, alpha: Array, box: tuple[slice, slice] = EVERYWHERE) -> None:
        """Lay `colour` over the texels of `box`, `alpha` of the same shape."""
        alpha, ground = np.clip(alpha, 0, 1), self.rgba[box]
        below = ground[..., 3] * (1 - alpha)
        total = alpha + below
        mixed = colour * alpha[..., None] + ground[..., :3] * below[..., None]
        ground[..., :3] = mixed / np.maximum(total, 1e-6)[..., None]
        ground[..., 3] = total

    def spot(self, colour: Array, strength: float, x: float, z: float, width: float, height: float) -> None:
        """A soft spot; beyond three widths it is nothing."""
        box = self.box(x - 3 * width, x + 3 * width, z - 3 * height, z + 3 * height)
        near = ((self.x[box] - x) / width) ** 2 + ((self.z[box] - z) / height) ** 2
        self.over(colour, strength * np.exp(-near), box)

    def box(self, x0: float, x1: float, z0: float, z1: float) -> tuple[slice, slice]:
        """The texels of a rectangle in metres."""
        top, bottom = ((0.80 - np.array([z1, z0])) / 0.26 * HEIGHT).clip(0, HEIGHT).astype(int)
        left, right = ((np.array([x0, x1]) + 0.09) / 0.18 * WIDTH).clip(0, WIDTH).astype(int)
        return slice(top, bottom + 1), slice(left, right + 1)


def _complexion(paint: _Paint, identity: Identity, rng: np.random.Generator, grain: Array) -> None:
    skin = identity.skin
    blush = rng.uniform(0.05, 0.3) * (0.6 if identity.male else 1.2)
    for side in SIDES:
        paint.spot(skin * np.array([1.05, 0.55, 0.5]), blush, side * 0.042, 0.66, 0.018, 0.014)
        paint.spot(skin * np.array([0.62, 0.5, 0.5]), 0.35, side * 0.03, 0.682, 0.014, 0.005)  # under the eye
    paint.spot(skin * np.array([1.03, 0.72, 0.66]), 0.25, 0, 0.659, 0.014, 0.014)  # nose
    if identity.old:
        _age_lines(paint, skin)
    if rng.random() < 0.15 and identity.tone < 3:
        import cv2

        dots = cv2.resize(material_noise()[1, :90, :60], (WIDTH, HEIGHT)) > 1.3
        where = np.exp(-(((np.abs(paint.x) - 0.03) / 0.03) ** 2) - ((paint.z - 0.668) / 0.02) ** 2)
        paint.over(skin * np.array([0.55, 0.4, 0.33]), 0.6 * dots * where)


def _age_lines(paint: _Paint, skin: Array) -> None:
    for side in SIDES:
        path = np.linspace(0.020, 0.034, 20)
        box = paint.box(*((0.012, 0.042) if side > 0 else (-0.042, -0.012)), 0.62, 0.665)
        x, z = paint.x[box], paint.z[box]
        reach = np.min([np.hypot(x - side * q, z - (0.655 - (q - 0.020) * 1.9)) for q in path], 0)
        paint.over(skin * 0.45, 0.55 * np.exp(-((reach / 0.0022) ** 2)), box)
    for height in (0.742, 0.755):
        line = np.exp(-(((paint.z - height - 0.002 * np.cos(paint.x * 25)) / 0.0018) ** 2))
        paint.over(skin * 0.5, 0.3 * line * (np.abs(paint.x) < 0.04))


def _stubble(paint: _Paint, identity: Identity, beard: str, grain: Array) -> None:
    x = np.abs(paint.x)
    strength = 0.08 if identity.old and beard == "none" else STUBBLE[beard]
    below_edge = smoothstep(-0.004, 0.006, np.interp(x, EDGE_X, EDGE_Z) - paint.z)
    off_mouth = smoothstep(0.9, 1.05, np.hypot(x / 0.026, (paint.z - 0.629) / 0.013))
    colour = identity.brows * 0.6 + identity.skin * 0.15
    paint.over(colour, strength * below_edge * off_mouth * np.clip(0.8 + 0.3 * grain, 0, 1.3))


def _lids(paint: _Paint, identity: Identity, rng: np.random.Generator) -> None:
    shaded, shadow = rng.random() > 0.55 and not identity.male, to_linear(hsv(rng.random(), 0.5, 0.5))
    for side in SIDES:
        if shaded:
            paint.spot(shadow, 0.6, side * 0.031, 0.7055, 0.017, 0.006)
        paint.spot(identity.skin * 0.55, 0.35, side * 0.030, 0.7085, 0.015, 0.0025)  # crease


def _brows(paint: _Paint, identity: Identity, rng: np.random.Generator, grain: Array) -> None:
    asset = load_asset()
    landmarks = asset.landmarks(asset.template)
    thickness = rng.uniform(0.0026, 0.0052) * (1.25 if identity.male else 0.9)
    arch, length, strength = rng.normal(0, 0.0016), rng.uniform(0.88, 1.05), 0.92 if identity.tone < 6 else 0.8
    for points in _BROWS:
        curve = landmarks[list(points)][:, [0, 2]].copy()
        curve[:, 1] += np.array([0, 0.3, 1, 0.7, 0]) * arch - 0.001
        fine = np.stack([np.interp(np.linspace(0, 4, 40), range(5), curve[:, k]) for k in range(2)], 1)
        fine[:, 0] = fine[0, 0] + (fine[:, 0] - fine[0, 0]) * length
        margin = 3 * thickness
        (x0, z0), (x1, z1) = fine.min(0) - margin, fine.max(0) + margin
        box = paint.box(x0, x1, z0, z1)
        reach = np.hypot(paint.x[box][..., None] - fine[:, 0], paint.z[box][..., None] - fine[:, 1])
        nearest = reach.argmin(-1)
        along, distance = nearest / 39, np.take_along_axis(reach, nearest[..., None], -1)[..., 0]
        width = thickness * (1 - 0.65 * along**1.5) * (1 + 0.12 * grain[box])
        hair = smoothstep(width + 0.0011, width - 0.0011, distance) * (0.8 + 0.2 * smoothstep(0, 0.1, along))
        paint.over(identity.brows, strength * hair, box)


def paint_face(identity: Identity, beard: str) -> Array:
    """Linear RGBA float32 [260, 180, 4]."""
    import cv2

    rng, paint = generator(identity.seed, Stream.FACE), _Paint()
    grain = cv2.resize(material_noise()[1], (WIDTH, HEIGHT))
    _complexion(paint, identity, rng, grain)
    if identity.male:
        _stubble(paint, identity, beard, grain)
    _lids(paint, identity, rng)
    _brows(paint, identity, rng, grain)
    return paint.rgba.astype(np.float32)
