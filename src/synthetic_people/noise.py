"""Tileable value noise for cloth, skin, hair and walls."""

from __future__ import annotations

from functools import cache

import numpy as np

from synthetic_people.asset import Array


def tileable_noise(
    n: int,
    octaves: tuple[int, ...],
    rng: np.random.Generator,
    persistence: float = 0.55,
    stretch: tuple[float, float] = (1, 1),
) -> Array:
    """Noise [n, n] of unit deviation that wraps around; each octave has so many cells (times `stretch`) per side."""
    out, amplitude = np.zeros((n, n)), 1.0
    for octave in octaves:
        rows, columns = max(1, int(octave * stretch[0])), max(1, int(octave * stretch[1]))
        cells = np.pad(rng.random((rows, columns)), ((0, 1), (0, 1)), "wrap")
        y, x = np.linspace(0, rows, n, endpoint=False), np.linspace(0, columns, n, endpoint=False)
        iy, ix = y.astype(int), x.astype(int)
        fy, fx = y - iy, x - ix
        fy, fx = (fy * fy * (3 - 2 * fy))[:, None], fx * fx * (3 - 2 * fx)
        top = cells[iy][:, ix] * (1 - fx) + cells[iy][:, ix + 1] * fx
        bottom = cells[iy + 1][:, ix] * (1 - fx) + cells[iy + 1][:, ix + 1] * fx
        out += amplitude * (top * (1 - fy) + bottom * fy - 0.5)
        amplitude *= persistence
    return out / (out.std() + 1e-9)


@cache
def material_noise() -> Array:
    """float32 [4, 256, 256]: mottle, fine grain, soft blotches, hair strands. The same for everybody."""
    rng = np.random.default_rng(7)
    return np.stack(
        [
            tileable_noise(256, (8, 16, 32, 64), rng),
            tileable_noise(256, (64, 128), rng),
            tileable_noise(256, (4, 8, 16), rng, 0.6, (1.0, 2.5)),
            tileable_noise(256, (2, 4), rng, 0.6, (1, 24)),
        ]
    ).astype(np.float32)


@cache
def wrinkle_slopes() -> Array:
    """float32 [256, 256, 2]: slopes (across, down) of a field of folds, for cloth normals."""
    rng, height = np.random.default_rng(3), np.zeros((256, 256))
    for k in range(3):
        ridge = tileable_noise(256, (3 * 2**k,), rng, stretch=(1.5, 1))
        height += (1 - np.abs(ridge) * 1.1) / 1.7**k
    padded = np.pad(height, 1, "wrap")
    down, across = np.gradient(padded, axis=0), np.gradient(padded, axis=1)
    return np.stack([across[1:-1, 1:-1], down[1:-1, 1:-1]], -1).astype(np.float32)


@cache
def strand_ends() -> Array:
    """float32 [1024]: how much longer or shorter each strand is than its neighbours, -1..1."""
    rng = np.random.default_rng(5)
    raw = rng.normal(0, 1, 1024)
    return np.clip(0.5 * raw + 0.25 * (np.roll(raw, 1) + np.roll(raw, -1)), -1, 1).astype(np.float32)
