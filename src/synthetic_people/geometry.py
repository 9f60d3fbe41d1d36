"""Small vector helpers and mesh primitives shared by the parts of a person."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import Array


def unit(v: Array) -> Array:
    """Vectors [..., 3] at length 1."""
    v = np.asarray(v, float)
    return v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-12)


def smoothstep(start: float | Array, end: float | Array, x: Array | float) -> Array:
    """0 at `start`, 1 at `end`, smooth between; `start` may be the larger."""
    t = np.clip((np.asarray(x, float) - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def grid_faces(index: Array, closed: bool) -> Array:
    """Triangles [n, 3] of a grid of vertex numbers [rows, columns]; `closed` joins the last row to the first."""
    here, there = (index, np.roll(index, -1, 0)) if closed else (index[:-1], index[1:])
    upper = np.stack([here[:, :-1], here[:, 1:], there[:, :-1]], -1)
    lower = np.stack([there[:, :-1], here[:, 1:], there[:, 1:]], -1)
    return np.concatenate([upper.reshape(-1, 3), lower.reshape(-1, 3)])


def tube(path: Array, radius: Array | float, sides: int, up: Array, closed: bool = False) -> tuple[Array, Array]:
    """A pipe along `path` [n, 3]: vertices [sides * n, 3] and faces. `up` must not run along the path."""
    along = unit(np.roll(path, -1, 0) - np.roll(path, 1, 0)) if closed else unit(np.gradient(path, axis=0))
    a = unit(np.cross(along, up))
    b = np.cross(along, a)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None, None]
    reach = np.broadcast_to(np.asarray(radius, float), (len(path),))[None, :, None]
    rings = path + reach * (np.cos(turn) * a + np.sin(turn) * b)  # [sides, n, 3]
    index = np.arange(sides * len(path)).reshape(sides, len(path))
    if closed:
        index = np.concatenate([index, index[:, :1]], 1)
    return rings.reshape(-1, 3), grid_faces(index, closed=True)


def ball(centre: Array, radii: Array, bumps: Array) -> tuple[Array, Array, Array]:
    """A lumpy ellipsoid: vertices [176, 3], faces, uv [176, 2]. `bumps` [16, 11] scales the radius."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 17)[:-1], np.linspace(0.01, np.pi - 0.01, 11), indexing="ij")
    sphere = np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)], -1)
    vertices = centre + sphere * radii * (1 + bumps[..., None])
    uv = np.stack([u / (2 * np.pi), v * 0.1], -1)
    return vertices.reshape(-1, 3), grid_faces(np.arange(176).reshape(16, 11), closed=True), uv.reshape(-1, 2)


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted normals [n, 3]."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, k], 3), minlength=len(vertices)) for k in range(3)], -1
    )
    return unit(out)


def refine(faces: Array, chosen: Array) -> tuple[Array, Array]:
    """Split the `chosen` (bool [n]) triangles in four and their neighbours so that no crack opens.

    Returns the new faces and the pairs [m, 2] of old vertices whose middles are the m added vertices; these are
    numbered from faces.max() + 1 on.
    """
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], -1)  # [n, 3, 2]
    keys = edges[..., 0].astype(np.int64) << 32 | edges[..., 1]
    marked = np.unique(keys[chosen])
    first = int(faces.max()) + 1
    middle = np.where(np.isin(keys, marked), np.searchsorted(marked, keys) + first, -1)
    out = []
    for corner, mid in zip(faces.tolist(), middle.tolist()):
        out += _split(corner, mid)
    return np.array(out, faces.dtype), np.stack([marked >> 32, marked & 0xFFFFFFFF], -1).astype(np.int64)


def _split(corner: list[int], mid: list[int]) -> list[list[int]]:
    """One triangle with 0 to 3 halved edges (mid[k] is on edge k, k+1; -1 = whole)."""
    count = sum(m >= 0 for m in mid)
    if count == 0:
        return [corner]
    if count == 3:
        (a, b, c), (ab, bc, ca) = corner, mid
        return [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
    while mid[0] < 0 or mid[2] >= 0:  # turn until the halved edges come first
        corner, mid = corner[1:] + corner[:1], mid[1:] + mid[:1]
    (a, b, c), (ab, bc, _) = corner, mid
    if count == 1:
        return [[a, ab, c], [ab, b, c]]
    return [[a, ab, c], [ab, bc, c], [ab, b, bc]]
