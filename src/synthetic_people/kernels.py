"""The loops: face units, skinning, projection, normals, rasterisers, compositing. All arrays are contiguous.

Screen coordinates are samples: x right, y down, the centre of the first sample at (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba

from synthetic_people.asset import Array
from synthetic_people.mesh import HAIR, Surface

njit = numba.njit(cache=True, fastmath=True, nogil=True)


class Camera(NamedTuple):
    """Looks along +y from (x, -distance, z); `focal` and the centre cx, cy in samples."""

    x: float
    z: float
    distance: float
    focal: float
    cx: float
    cy: float


class ShadowMap(NamedTuple):
    """Depths seen from the light, parallel rays.

    `depth` float32 [n, n]; `axes` float32 [4, 3]: across, up, towards the light, origin; `scale` texels per metre.
    """

    depth: Array
    axes: Array
    scale: float


@njit
def blend_units(
    weights: Array, start: Array, vertices: Array, offsets: Array, gain: float, touched: Array, out: Array
) -> None:
    """out [base, 3] = sum of the face units' offsets; `touched` lists the vertices any unit moves."""
    for i in touched:
        out[i, 0] = 0.0
        out[i, 1] = 0.0
        out[i, 2] = 0.0
    for unit in range(weights.shape[0]):
        w = weights[unit] * gain
        if w != 0.0:
            for entry in range(start[unit], start[unit + 1]):
                i = vertices[entry]
                out[i, 0] += w * offsets[entry, 0]
                out[i, 1] += w * offsets[entry, 1]
                out[i, 2] += w * offsets[entry, 2]


@njit
def skin_vertices(
    vertices: Array, follows: Array, offsets: Array, bones: Array, weights: Array, world: Array, out: Array
) -> None:
    """Linear blend skinning: world [J, 3, 4] moves vertices [V, 3] (plus face-unit offsets) to out [V, 3]."""
    for i in range(vertices.shape[0]):
        x = vertices[i, 0]
        y = vertices[i, 1]
        z = vertices[i, 2]
        base = follows[i]
        if base >= 0:
            x += offsets[base, 0]
            y += offsets[base, 1]
            z += offsets[base, 2]
        a = 0.0
        b = 0.0
        c = 0.0
        for k in range(4):
            w = weights[i, k]
            if w > 0:
                j = bones[i, k]
                a += w * (world[j, 0, 0] * x + world[j, 0, 1] * y + world[j, 0, 2] * z + world[j, 0, 3])
                b += w * (world[j, 1, 0] * x + world[j, 1, 1] * y + world[j, 1, 2] * z + world[j, 1, 3])
                c += w * (world[j, 2, 0] * x + world[j, 2, 1] * y + world[j, 2, 2] * z + world[j, 2, 3])
        out[i, 0] = a
        out[i, 1] = b
        out[i, 2] = c


@njit
def project(points: Array, camera: Camera, out: Array) -> None:
    """out [n, 3]: x, y in samples and the distance along the view."""
    for i in range(points.shape[0]):
        depth = points[i, 1] + camera.distance
        out[i, 0] = camera.cx + camera.focal * (points[i, 0] - camera.x) / depth
        out[i, 1] = camera.cy - camera.focal * (points[i, 2] - camera.z) / depth
        out[i, 2] = depth


@njit
def normals(points: Array, faces: Array, out: Array) -> None:
    """Area-weighted vertex normals, out [n, 3]."""
    out[:] = 0.0
    for t in range(faces.shape[0]):
        a = faces[t, 0]
        b = faces[t, 1]
        c = faces[t, 2]
        ux = points[b, 0] - points[a, 0]
        uy = points[b, 1] - points[a, 1]
        uz = points[b, 2] - points[a, 2]
        vx = points[c, 0] - points[a, 0]
        vy = points[c, 1] - points[a, 1]
        vz = points[c, 2] - points[a, 2]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        for k in (a, b, c):
            out[k, 0] += nx
            out[k, 1] += ny
            out[k, 2] += nz
    for i in range(out.shape[0]):
        length = math.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2) + 1e-12
        out[i, 0] /= length
        out[i, 1] /= length
        out[i, 2] /= length


@njit
def span(a: float, b: float, c: float, size: int) -> tuple[int, int]:
    """First and last of `size` samples whose centres lie between the smallest and the largest of three coordinates."""
    return max(0, math.ceil(min(a, b, c) - 0.5)), min(size - 1, math.floor(max(a, b, c) - 0.5))


@njit
def doubled_area(ax: float, ay: float, bx: float, by: float, cx: float, cy: float) -> float:
    """Twice the signed area of a triangle; with one corner moved to a sample, the share of that corner's weight."""
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@njit
def rasterise(
    points: Array, surface: Surface, strands: Array, ragged: float, depth: Array, triangle: Array, barycentric: Array
) -> None:
    """Nearest triangle per sample: depth [H, W], triangle [H, W] (-1 = none), weights of corners 1, 2 [H, W, 2].

    Samples where the interpolated `surface.cut` is negative are left out; hair ends are `ragged` metres longer or
    shorter, strand by strand (`strands` [n] in -1..1 around the head).
    """
    # arrays out of the tuple once: every access through it would count references
    faces, cut, uv = surface.faces, surface.cut, surface.uv
    one_sided, material = surface.one_sided, surface.material
    height, width = depth.shape
    depth[:] = 1e9
    triangle[:] = -1
    for t in range(faces.shape[0]):
        a = faces[t, 0]
        b = faces[t, 1]
        c = faces[t, 2]
        ax = points[a, 0]
        ay = points[a, 1]
        bx = points[b, 0]
        by = points[b, 1]
        cx = points[c, 0]
        cy = points[c, 1]
        area = doubled_area(ax, ay, bx, by, cx, cy)
        if area == 0.0 or (one_sided[t] == 1 and area > 0):  # y runs down: front faces turn negative
            continue
        x0, x1 = span(ax, bx, cx, width)
        y0, y1 = span(ay, by, cy, height)
        if x0 > x1 or y0 > y1:
            continue
        az = points[a, 2]
        bz = points[b, 2]
        cz = points[c, 2]
        if az <= 0.01 or bz <= 0.01 or cz <= 0.01:
            continue
        ca = cut[a]
        cb = cut[b]
        cc = cut[c]
        fray = ragged if material[t] == HAIR else 0.0
        if ca < -fray and cb < -fray and cc < -fray:
            continue
        edge = ca < fray or cb < fray or cc < fray
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                w1 = doubled_area(ax, ay, px, py, cx, cy) * inverse
                if w1 < 0:
                    continue
                w2 = doubled_area(ax, ay, bx, by, px, py) * inverse
                if w2 < 0:
                    continue
                w0 = 1.0 - w1 - w2
                if w0 < 0:
                    continue
                z = w0 * az + w1 * bz + w2 * cz
                if z >= depth[y, x]:
                    continue
                if edge:
                    left = w0 * ca + w1 * cb + w2 * cc
                    if fray > 0.0:
                        around = w0 * uv[a, 0] + w1 * uv[b, 0] + w2 * uv[c, 0]
                        left += fray * strands[int((around + 2.0) * 400) % strands.shape[0]]
                    if left < 0:
                        continue
                depth[y, x] = z
                triangle[y, x] = t
                barycentric[y, x, 0] = w1
                barycentric[y, x, 1] = w2


@njit
def to_light(points: Array, axes: Array, scale: float, size: int, out: Array) -> None:
    """out [V, 3]: texel x, y and the distance from the light (up to a constant) of points [V, 3]."""
    for i in range(points.shape[0]):
        dx = points[i, 0] - axes[3, 0]
        dy = points[i, 1] - axes[3, 1]
        dz = points[i, 2] - axes[3, 2]
        out[i, 0] = (dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]) * scale + size * 0.5
        out[i, 1] = (dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]) * scale + size * 0.5
        out[i, 2] = -(dx * axes[2, 0] + dy * axes[2, 1] + dz * axes[2, 2])


@njit
def rasterise_depth(points: Array, faces: Array, depth: Array) -> None:
    """Smallest third coordinate of any triangle at each texel centre: depth [n, n]; points [V, 3] in texels."""
    n = depth.shape[0]
    depth[:] = 1e9
    for t in range(faces.shape[0]):
        a = faces[t, 0]
        b = faces[t, 1]
        c = faces[t, 2]
        ax = points[a, 0]
        ay = points[a, 1]
        bx = points[b, 0]
        by = points[b, 1]
        cx = points[c, 0]
        cy = points[c, 1]
        area = doubled_area(ax, ay, bx, by, cx, cy)
        if area == 0.0:
            continue
        inverse = 1.0 / area
        x0, x1 = span(ax, bx, cx, n)
        y0, y1 = span(ay, by, cy, n)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                w1 = doubled_area(ax, ay, x + 0.5, y + 0.5, cx, cy) * inverse
                if w1 < 0:
                    continue
                w2 = doubled_area(ax, ay, bx, by, x + 0.5, y + 0.5) * inverse
                if w2 < 0 or w1 + w2 > 1:
                    continue
                z = (1 - w1 - w2) * points[a, 2] + w1 * points[b, 2] + w2 * points[c, 2]
                if z < depth[y, x]:
                    depth[y, x] = z


@njit
def compose(person: Array, background: Array, gamma: Array, out: Array) -> None:
    """Premultiplied linear person [H, W, 4] over the background [H, W, 3], tone mapped, to uint8 [H, W, 3]."""
    height, width, _ = person.shape
    last = gamma.shape[0] - 1
    for y in range(height):
        for x in range(width):
            rest = 1 - person[y, x, 3]
            for k in range(3):
                value = person[y, x, k] + background[y, x, k] * rest
                value = value / (1 + 0.12 * value) * 1.08
                out[y, x, k] = gamma[min(max(int(value * last), 0), last)]
