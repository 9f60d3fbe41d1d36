"""Motion blur of the person: every pixel gathers what passes it while the shutter is open."""

from __future__ import annotations

import math

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.kernels import Camera, njit

TILE = 8  # pixels
STILL = 0.6  # pixels of movement below which nothing is done


@njit
def flow(
    moves: Array, points: Array, faces: Array, triangle: Array, camera: Camera, samples: int, tiles: Array, out: Array
) -> None:
    """out [H, W, 2]: movement of what each pixel shows, pixels per exposure; tiles [H/8, W/8, 2]: the longest in each.

    `moves` [V, 3] are the movements of `points` [V, 3] in metres; a pixel takes that of a corner of its triangle.
    """
    out[:] = 0.0
    tiles[:] = 0.0
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            t = triangle[y * samples + samples // 2, x * samples + samples // 2]
            if t < 0:
                continue
            i = faces[t, 0]
            depth = points[i, 1] + camera.distance
            gain = camera.focal / depth / samples
            dx = gain * (moves[i, 0] - (points[i, 0] - camera.x) / depth * moves[i, 1])
            dy = -gain * (moves[i, 2] - (points[i, 2] - camera.z) / depth * moves[i, 1])
            out[y, x, 0] = dx
            out[y, x, 1] = dy
            ty = y // TILE
            tx = x // TILE
            if dx * dx + dy * dy > tiles[ty, tx, 0] ** 2 + tiles[ty, tx, 1] ** 2:
                tiles[ty, tx, 0] = dx
                tiles[ty, tx, 1] = dy


@njit
def fastest_near(tiles: Array, out: Array) -> None:
    """out [h, w, 2]: the longest movement in each of tiles [h, w, 2] and its eight neighbours."""
    out[:] = 0.0
    height, width, _ = tiles.shape
    for ty in range(height):
        for tx in range(width):
            for y in range(max(0, ty - 1), min(height, ty + 2)):
                for x in range(max(0, tx - 1), min(width, tx + 2)):
                    longest = out[ty, tx, 0] ** 2 + out[ty, tx, 1] ** 2
                    if tiles[y, x, 0] ** 2 + tiles[y, x, 1] ** 2 > longest:
                        out[ty, tx, 0] = tiles[y, x, 0]
                        out[ty, tx, 1] = tiles[y, x, 1]


@njit
def smear(pixels: Array, moves: Array, tiles: Array, limit: float, out: Array) -> None:
    """out [H, W, 4]: `pixels` averaged along the tile's movement, at most `limit` pixels long.

    A tap counts where what it shows, or what the pixel itself shows, moves far enough to get from one to the other;
    else the pixel's own value stands in (after McGuire et al. 2012). Symmetric about the middle of the exposure.
    """
    height, width, _ = pixels.shape
    for y in range(height):
        for x in range(width):
            dx = tiles[y // TILE, x // TILE, 0]
            dy = tiles[y // TILE, x // TILE, 1]
            length = math.sqrt(dx * dx + dy * dy)
            for k in range(4):
                out[y, x, k] = pixels[y, x, k]
            if length < STILL:
                continue
            shown = min(length, limit)
            taps = int(shown * 0.6) + 1
            own = math.sqrt(moves[y, x, 0] ** 2 + moves[y, x, 1] ** 2)
            for k in range(4):
                out[y, x, k] = 0.0
            for tap in range(-taps, taps + 1):
                along = tap / (2.0 * taps) * shown / length
                sx = min(width - 1, max(0, int(x + along * dx + 0.5)))
                sy = min(height - 1, max(0, int(y + along * dy + 0.5)))
                far = abs(along) * length
                there = math.sqrt(moves[sy, sx, 0] ** 2 + moves[sy, sx, 1] ** 2)
                if max(own, there) * 0.5 + 0.5 < far:
                    sx = x
                    sy = y
                for k in range(4):
                    out[y, x, k] += pixels[sy, sx, k] / (2 * taps + 1)


class Smear:
    """Buffers for pictures of `size` pixels and `vertices` vertices."""

    def __init__(self, size: int, vertices: int) -> None:
        tiles = (size + TILE - 1) // TILE
        self.moves = np.empty((vertices, 3), np.float32)
        self._flow = np.empty((size, size, 2), np.float32)
        self._tiles, self._near = (np.empty((tiles, tiles, 2), np.float32) for _ in range(2))
        self._limit = size / 8

    def run(
        self, points: Array, faces: Array, triangle: Array, camera: Camera, samples: int, pixels: Array, out: Array
    ) -> None:
        """Fill out [size, size, 4] with `pixels` smeared by `moves`, the vertices' movement per exposure in metres."""
        flow(self.moves, points, faces, triangle, camera, samples, self._tiles, self._flow)
        fastest_near(self._tiles, self._near)
        smear(pixels, self._flow, self._near, self._limit, out)
