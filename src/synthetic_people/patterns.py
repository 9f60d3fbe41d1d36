"""Cloth: tileable patterns and front prints, each a row in a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.colour import cloth_colour, to_linear
from synthetic_people.geometry import smoothstep
from synthetic_people.noise import tileable_noise

TEXTURE, PRINT = 128, 64  # texels per side


@dataclass
class Canvas:
    """A pattern being painted: sRGB `image` [n, n, 3], texel coordinates x, y in 0..1, three colours."""

    rng: np.random.Generator
    image: Array
    x: Array
    y: Array
    second: Array
    third: Array

    def mix(self, amount: Array, colour: Array) -> None:
        """Paint `colour` where `amount` [n, n] is 1."""
        self.image = self.image * (1 - amount[..., None]) + colour * amount[..., None]


def _solid(c: Canvas) -> float:
    return 0.1


def _across(c: Canvas) -> float:
    c.mix((c.y < c.rng.uniform(0.25, 0.55)).astype(float), c.second)
    if c.rng.random() < 0.3:
        c.mix(((c.y > 0.7) & (c.y < 0.8)).astype(float), c.third)
    return float(c.rng.uniform(0.03, 0.11))


def _wide_across(c: Canvas) -> float:
    c.mix((c.y < c.rng.uniform(0.4, 0.6)).astype(float), c.second)
    return float(c.rng.uniform(0.09, 0.18))


def _down(c: Canvas) -> float:
    c.mix((c.x < c.rng.uniform(0.12, 0.5)).astype(float), c.second)
    return float(c.rng.uniform(0.025, 0.08))


def _wide_down(c: Canvas) -> float:
    c.mix((c.x < c.rng.uniform(0.35, 0.5)).astype(float), c.second)
    return float(c.rng.uniform(0.08, 0.13))


def _diagonal(c: Canvas) -> float:
    c.mix((((c.x + c.y) % 1) < 0.4).astype(float), c.second)
    return float(c.rng.uniform(0.05, 0.12))


def _check(c: Canvas) -> float:
    c.mix(((c.x < 0.5) ^ (c.y < 0.5)).astype(float), c.second)
    return float(c.rng.uniform(0.05, 0.12))


def _big_check(c: Canvas) -> float:
    _check(c)
    return float(c.rng.uniform(0.12, 0.22))


def _plaid(c: Canvas) -> float:
    for axis in (c.x, c.y):
        c.mix(0.5 * (axis < 0.45), c.second)
        c.mix(0.6 * ((axis > 0.62) & (axis < 0.7)), c.third)
    return float(c.rng.uniform(0.07, 0.14))


def _dots(c: Canvas) -> float:
    radius = c.rng.uniform(0.16, 0.3)
    for centre in (0.25, 0.75):
        c.mix(smoothstep(radius + 0.03, radius - 0.03, np.hypot(c.x - centre, c.y - centre)), c.second)
    return float(c.rng.uniform(0.06, 0.14))


def _camouflage(c: Canvas) -> float:
    ground = c.image[0, 0]
    for colour, octaves in ((c.second, (3, 6)), (c.third, (4, 8)), (ground * 0.5, (5, 10))):
        c.mix(smoothstep(0.25, 0.45, tileable_noise(TEXTURE, octaves, c.rng)), colour)
    return 0.35


def _floral(c: Canvas) -> float:
    petals = (c.second, c.third, np.clip(c.second + 0.3, 0, 1))
    for _ in range(14):
        cx, cy = c.rng.random(2)
        radius, turn = c.rng.uniform(0.05, 0.11), c.rng.random() * 6
        dx, dy = (c.x - cx + 0.5) % 1 - 0.5, (c.y - cy + 0.5) % 1 - 0.5
        reach = np.hypot(dx, dy)
        flower = reach * (1 + 0.3 * np.cos(5 * np.arctan2(dy, dx) + turn))
        c.mix(smoothstep(radius + 0.02, radius - 0.01, flower), petals[c.rng.integers(3)])
        c.mix(smoothstep(0.025, 0.01, reach), np.array([0.9, 0.8, 0.2]))
    return float(c.rng.uniform(0.16, 0.28))


def _zigzag(c: Canvas) -> float:
    wave = 0.25 * np.abs(((c.x * 2) % 1) * 2 - 1)
    c.mix((((c.y + wave) % 0.5) < 0.22).astype(float), c.second)
    return float(c.rng.uniform(0.1, 0.18))


def _melange(c: Canvas) -> float:
    grain = 1 + 0.25 * tileable_noise(TEXTURE, (32, 64), c.rng)
    c.image = c.image * grain[..., None].clip(0.5, 1.5)
    return 0.1


class PatternKind(NamedTuple):
    """`paint` returns the period in metres; `word` stands in captions."""

    paint: Callable[[Canvas], float]
    word: str
    full: float  # frequency in the full wardrobe
    plain: float  # and in the plain one


PATTERNS = {
    "solid": PatternKind(_solid, "", 0.26, 0.62),
    "across": PatternKind(_across, "striped", 0.14, 0),
    "wide across": PatternKind(_wide_across, "striped", 0.03, 0.18),
    "down": PatternKind(_down, "striped", 0.07, 0),
    "wide down": PatternKind(_wide_down, "striped", 0.02, 0.08),
    "diagonal": PatternKind(_diagonal, "striped", 0.03, 0),
    "check": PatternKind(_check, "checked", 0.06, 0),
    "big check": PatternKind(_big_check, "checked", 0.02, 0.12),
    "plaid": PatternKind(_plaid, "plaid", 0.1, 0),
    "dots": PatternKind(_dots, "dotted", 0.08, 0),
    "camouflage": PatternKind(_camouflage, "camouflage", 0.06, 0),
    "floral": PatternKind(_floral, "floral", 0.08, 0),
    "zigzag": PatternKind(_zigzag, "zigzag", 0.05, 0),
    "melange": PatternKind(_melange, "", 0.05, 0),
    "motif": PatternKind(_solid, "patterned", 0, 0),  # the wild style's textures, painted in `texture.py`
}


class Cloth(NamedTuple):
    """A pattern: linear `texture` float32 [128, 128, 3] that repeats every `period` metres, base colour in sRGB."""

    texture: Array
    period: float
    colour: Array
    kind: str


def weave(rng: np.random.Generator, kind: str | None = None, plain: bool = False) -> Cloth:
    """A cloth of the given or a random pattern."""
    if kind is None:
        weights = np.array([row.plain if plain else row.full for row in PATTERNS.values()])
        kind = tuple(PATTERNS)[rng.choice(len(PATTERNS), p=weights / weights.sum())]
    first, second, third = cloth_colour(rng), cloth_colour(rng), cloth_colour(rng)
    while np.abs(first - second).sum() < 0.6:
        second = cloth_colour(rng)
    y, x = np.mgrid[0:TEXTURE, 0:TEXTURE] / TEXTURE
    canvas = Canvas(rng, np.broadcast_to(first, (TEXTURE, TEXTURE, 3)).copy(), x, y, second, third)
    period = PATTERNS[kind].paint(canvas)
    return Cloth(to_linear(canvas.image.clip(0, 1)).astype(np.float32), period, first, kind)


def denim(rng: np.random.Generator) -> Cloth:
    """Blue jeans; the shader adds grain and fading."""
    colour = np.array([0.13, 0.2, 0.36]) * rng.uniform(0.7, 1.9)
    texture = np.broadcast_to(to_linear(colour), (TEXTURE, TEXTURE, 3)).astype(np.float32)
    return Cloth(texture, 0.1, colour, "solid")


def _print_mask(shape: int, x: Array, y: Array) -> Array:
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    return (
        r < 0.8,
        r < 0.5 + 0.35 * np.cos(5 * (angle + np.pi / 2)),
        ((x / 0.8) ** 2 + (-y * 1.1 + 0.25 - np.abs(x) * 0.75) ** 2) < 0.55,
        np.abs(y) < 0.35,
        (np.abs(x) + np.abs(y)) < 0.85,
        (r < 0.85) & (r > 0.5),
        r < 0,
    )[shape]


LETTERS = "ABCDEFGHJKLMNPRSTUVXYZ0123456789"


def front_print(rng: np.random.Generator) -> Array:
    """Linear RGBA float32 [64, 64, 4]: a shape, letters, or both."""
    import cv2

    n = PRINT
    out = np.zeros((n, n, 4))
    y, x = np.mgrid[0:n, 0:n] / (n - 1) * 2 - 1
    shape, ink, text_ink = int(rng.integers(7)), cloth_colour(rng), cloth_colour(rng)
    out[_print_mask(shape, x, y)] = [*ink, 1]
    if shape in (0, 3, 6):
        text = "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=rng.integers(1, 4)))
        scale = (2.0, 1.25, 0.85)[len(text) - 1]
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 4)
        stencil = np.zeros((n, n), np.uint8)
        cv2.putText(stencil, text, ((n - w) // 2, (n + h) // 2), cv2.FONT_HERSHEY_DUPLEX, scale, 255, 4, cv2.LINE_AA)
        alpha = stencil[..., None] / 255.0
        out[..., :3] = out[..., :3] * (1 - alpha) + text_ink * alpha
        out[..., 3:] = np.maximum(out[..., 3:], alpha)
    out[..., :3] = to_linear(out[..., :3].clip(0, 1))
    return out.astype(np.float32)
