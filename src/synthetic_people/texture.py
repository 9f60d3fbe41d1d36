"""Random textures for the wild style: clouds with the spectrum of photographs, cells, leaves, scribbles, bands.

All repeat without a seam. Colours are sRGB in 0..1; nothing is read from a file, so a seed needs no photographs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.colour import cloth_colour, hsv, to_linear
from synthetic_people.patterns import TEXTURE, Cloth, weave

KIND = "motif"  # the row of `PATTERNS` that names these cloths


def cloud(rng: np.random.Generator, n: int, slope: float = 1.0) -> Array:
    """Noise float32 [n, n] of unit deviation; its amplitude falls as 1 / frequency ** slope, in photographs about 1."""
    fx, fy = np.fft.rfftfreq(n), np.fft.fftfreq(n)[:, None]
    reach = np.hypot(fx, fy)
    reach[0, 0] = 1
    spectrum = rng.standard_normal((2, *reach.shape), np.float32)
    spectrum = (spectrum[0] + 1j * spectrum[1]) * reach**-(slope)
    spectrum[0, 0] = 0
    out = np.fft.irfft2(spectrum, (n, n))
    return (out / (out.std() + 1e-9)).astype(np.float32)


def any_colour(rng: np.random.Generator) -> Array:
    """An sRGB colour [3]: half the time one that people wear, else any of the whole range."""
    return cloth_colour(rng).clip(0, 1) if rng.random() < 0.5 else hsv(rng.random(), rng.random() ** 0.7, rng.random())


def colour_cloud(rng: np.random.Generator, n: int) -> Array:
    """Clouds around a colour: mostly of brightness, a little of hue."""
    slope, contrast = rng.uniform(0.7, 1.6), rng.uniform(0.05, 0.3)
    light, tint = cloud(rng, n, slope)[..., None], cloud(rng, n, slope + 0.3)[..., None]
    return any_colour(rng) + contrast * (light * rng.uniform(0.6, 1, 3) + 0.5 * tint * rng.normal(0, 1, 3))


def cells(rng: np.random.Generator, n: int) -> Array:
    """Voronoi cells of three to five colours, with or without dark seams: stones, patches, crackle."""
    count = int(rng.integers(6, 40))
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    centres = rng.random((count, 2))
    first, second = np.full((n, n), 9, np.float32), np.full((n, n), 9, np.float32)
    nearest = np.zeros((n, n), int)
    for k, (cx, cy) in enumerate(centres):
        reach = np.abs((x - cx + 0.5) % 1 - 0.5) ** 2 + np.abs((y - cy + 0.5) % 1 - 0.5) ** 2
        closer = reach < first
        second = np.where(closer, first, np.minimum(second, reach))
        nearest[closer] = k
        first = np.minimum(first, reach)
    palette = np.stack([any_colour(rng) for _ in range(rng.integers(2, 6))])
    out = palette[rng.integers(len(palette), size=count)][nearest]
    if rng.random() < 0.6:
        seam = (np.sqrt(second) - np.sqrt(first)) < rng.uniform(0.008, 0.04)
        out[seam] = any_colour(rng)
    return out


def bands(rng: np.random.Generator, n: int) -> Array:
    """Irregular stripes of several colours, wavy or straight, along either axis or slanted."""
    count, slant = int(rng.integers(3, 14)), int(rng.integers(-1, 2))
    palette = np.stack([any_colour(rng) for _ in range(count)])
    edges = np.sort(rng.random(count))
    y, x = np.mgrid[0:n, 0:n] / n
    if rng.random() < 0.5:
        x, y = y, x
    wave = cloud(rng, n, 2.0) * rng.uniform(0, 0.06) if rng.random() < 0.5 else 0.0
    return palette[np.searchsorted(edges, (y + slant * x + wave) % 1) % count]


def shapes(rng: np.random.Generator, n: int) -> Array:
    """Discs, boxes and blades of many sizes one over the other, as in a heap of leaves or a print."""
    import cv2

    out = np.full((n, n, 3), any_colour(rng), np.float32)
    palette = [any_colour(rng) for _ in range(rng.integers(3, 9))]
    kind = rng.integers(3)
    for _ in range(rng.integers(15, 70)):
        reach = 0.3 * rng.pareto(2.0) * 0.12 + 0.02
        axes = (max(1, int(n * min(reach, 0.3))), max(1, int(n * min(reach, 0.3) * rng.uniform(0.25, 1))))
        cx, cy, angle = (*rng.integers(n, size=2), float(rng.uniform(0, 180)))
        colour = palette[rng.integers(len(palette))]
        for dx in (0, -n if cx > n / 2 else n):
            for dy in (0, -n if cy > n / 2 else n):
                centre = (int(cx + dx), int(cy + dy))
                if kind == 0:
                    cv2.ellipse(out, centre, axes, angle, 0, 360, colour.tolist(), -1)
                else:
                    box = cv2.boxPoints((centre, (2 * axes[0], 2 * axes[1]), angle * (kind == 2)))
                    cv2.fillConvexPoly(out, box.astype(np.int32), colour.tolist())
    return out


def scribble(rng: np.random.Generator, n: int) -> Array:
    """Pen strokes over a plain or clouded ground."""
    import cv2

    out = np.ascontiguousarray(colour_cloud(rng, n), np.float32)
    for _ in range(rng.integers(4, 16)):
        steps = rng.normal(0, n * rng.uniform(0.03, 0.12), (20, 2)).cumsum(0)
        points = (rng.integers(n, size=2) + steps).astype(np.int32)
        thick, colour = int(rng.integers(1, 5)), any_colour(rng).tolist()
        for dx in (0, n):
            cv2.polylines(out, [points % (2 * n) - dx], False, colour, thick)
    return out


def mottled(rng: np.random.Generator, n: int) -> Array:
    """Two or three colours that meet along the contours of a cloud: camouflage, cow, marble, batik."""
    field = cloud(rng, n, rng.uniform(1.2, 2.2))
    levels = np.sort(rng.uniform(-1, 1, rng.integers(1, 4)))
    palette = np.stack([any_colour(rng) for _ in range(len(levels) + 1)])
    return palette[np.searchsorted(levels, field)]


def woven(rng: np.random.Generator, n: int) -> Array:
    """One of the regular patterns of the full style, its lines bent."""
    from synthetic_people.colour import to_srgb

    cloth = to_srgb(weave(rng).texture)
    if rng.random() < 0.4:
        return cloth
    y, x = np.mgrid[0:n, 0:n]
    dx, dy = (cloud(rng, n, 2.0) * rng.uniform(1, 5) for _ in range(2))
    return cloth[(y + dy).astype(int) % n, (x + dx).astype(int) % n]


class TextureKind(NamedTuple):
    paint: Callable[[np.random.Generator, int], Array]
    share: float  # frequency


TEXTURES = {
    "cloud": TextureKind(colour_cloud, 0.22),
    "cells": TextureKind(cells, 0.12),
    "bands": TextureKind(bands, 0.12),
    "shapes": TextureKind(shapes, 0.16),
    "scribble": TextureKind(scribble, 0.08),
    "mottled": TextureKind(mottled, 0.12),
    "woven": TextureKind(woven, 0.18),
}
_SHARES = np.array([row.share for row in TEXTURES.values()])


def random_texture(rng: np.random.Generator) -> Array:
    """A texture of a random kind, sRGB float [128, 128, 3], over which the grain of a material lies."""
    kind = tuple(TEXTURES)[rng.choice(len(TEXTURES), p=_SHARES / _SHARES.sum())]
    out = TEXTURES[kind].paint(rng, TEXTURE)
    grain = cloud(rng, TEXTURE, rng.uniform(0.2, 1)) * rng.uniform(0, 0.1)
    return np.clip(out * (1 + grain[..., None]), 0.01, 1)


def random_cloth(rng: np.random.Generator) -> Cloth:
    """A cloth for the wild wardrobe: any texture at any scale from fine weave to one motif over the whole chest."""
    texture = random_texture(rng)
    period = float(np.exp(rng.uniform(np.log(0.06), np.log(0.7))))
    return Cloth(to_linear(texture).astype(np.float32), period, texture.mean((0, 1)), KIND)
