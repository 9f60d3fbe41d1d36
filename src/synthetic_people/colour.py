"""Colours of skin, hair and cloth. Palettes are sRGB in 0..1; the renderer works in linear light."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import ArrayLike

from synthetic_people.asset import Array

_TONES = (
    (252, 226, 205), (244, 205, 175), (232, 184, 144), (214, 160, 115), (186, 128, 84), (150, 98, 62), (112, 70, 44),
    (78, 47, 31), (54, 32, 22),
)  # fmt: skip
SKIN_TONES = np.array(_TONES) / 255.0  # light to dark
HAIR_COLOURS = {
    "black": (0.045, 0.04, 0.04), "dark brown": (0.10, 0.065, 0.045), "brown": (0.24, 0.14, 0.08),
    "chestnut": (0.32, 0.17, 0.09), "auburn": (0.42, 0.16, 0.07), "red": (0.60, 0.25, 0.09),
    "blond": (0.72, 0.55, 0.30), "ash blond": (0.58, 0.48, 0.36), "grey": (0.55, 0.54, 0.53),
    "white": (0.85, 0.84, 0.82), "blue": (0.12, 0.22, 0.6), "pink": (0.85, 0.35, 0.55), "green": (0.1, 0.45, 0.3),
    "purple": (0.4, 0.15, 0.5),
}  # fmt: skip
IRISES = ((0.28, 0.16, 0.08), (0.18, 0.10, 0.06), (0.30, 0.42, 0.55), (0.32, 0.42, 0.28), (0.42, 0.32, 0.15))
LIPSTICKS = ((0.70, 0.10, 0.16), (0.78, 0.30, 0.36), (0.55, 0.12, 0.25), (0.72, 0.22, 0.16), (0.45, 0.08, 0.14))

# hue up to which a saturated colour bears the name
_HUE_NAMES = (
    (0.04, "red"), (0.10, "orange"), (0.18, "yellow"), (0.45, "green"), (0.53, "teal"), (0.70, "blue"),
    (0.80, "purple"), (0.95, "pink"), (1.01, "red"),
)  # fmt: skip
COLOUR_NAMES = (
    "black", "white", "grey", "brown", "beige", "navy", "red", "orange", "yellow", "green", "teal", "blue", "purple",
    "pink",
)  # fmt: skip


def to_linear(srgb: ArrayLike) -> Array:
    """sRGB 0..1 to linear light."""
    c = np.asarray(srgb, float)
    return np.where(c <= 0.04045, c / 12.92, ((c.clip(0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: ArrayLike) -> Array:
    """Linear light to sRGB, clipped to 0..1."""
    c = np.clip(np.asarray(linear, float), 0, 1)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)


def hsv(hue: float, saturation: float, value: float) -> Array:
    """sRGB [3] of a hue 0..1."""
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def cloth_colour(rng: np.random.Generator) -> Array:
    """An sRGB colour [3] people wear: greys, navy, khaki, or anything."""
    kind = rng.random()
    if kind < 0.22:
        return np.full(3, rng.choice([0.04, 0.08, 0.15, 0.5, 0.8, 0.93])) + rng.normal(0, 0.01, 3)
    if kind < 0.34:
        return np.array([0.08, 0.12, 0.28]) * rng.uniform(0.6, 1.6)
    if kind < 0.42:
        return np.array([0.62, 0.5, 0.36]) * rng.uniform(0.6, 1.3)
    return hsv(rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.25, 0.95))


def colour_name(srgb: ArrayLike) -> str:
    """The word, one of COLOUR_NAMES, for an sRGB colour."""
    r, g, b = (float(x) for x in np.clip(np.asarray(srgb, float), 0, 1))
    hue, saturation, value = colorsys.rgb_to_hsv(r, g, b)
    if value < 0.16:
        return "black"
    if saturation < 0.14:
        return "white" if value > 0.75 else "grey"
    name = next(word for limit, word in _HUE_NAMES if hue < limit)
    if name in ("orange", "yellow") and value < 0.55:
        return "brown"
    if name in ("orange", "yellow") and saturation < 0.5:
        return "beige"
    if name == "red" and saturation < 0.65 and value > 0.6:
        return "pink"
    return "navy" if name == "blue" and value < 0.35 else name
