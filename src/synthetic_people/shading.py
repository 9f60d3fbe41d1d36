"""The shader: soft key light and sky, shadows, ambient occlusion; materials come from `materials`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.kernels import njit
from synthetic_people.materials import (
    ANSWER, CUT, GLOSS, NX, OCCLUSION, SAMPLE, SPECULAR, TRAITS, TX, VX, WRAP, U, X, material_of,
)  # fmt: skip
from synthetic_people.mesh import EYE, MOUTH, SKIN, TEETH


class Light(NamedTuple):
    """A key light from `direction` (unit [3], towards the light) and a sky; linear RGB float32 [3] each."""

    direction: Array
    key: Array
    sky: Array
    ground: Array
    rim: float


class Buffers(NamedTuple):
    """What the rasteriser found: see `kernels.rasterise`."""

    points: Array
    normals: Array
    depth: Array
    triangle: Array
    barycentric: Array


@njit
def occlusion(depth, y, x, reach):  # type: ignore[no-untyped-def]
    """Screen-space ambient occlusion 0..1: how many of eight neighbours stand 6 to 250 mm before the sample."""
    height, width = depth.shape
    here = depth[y, x]
    total = 0.0
    for q in range(8):
        xx = x + (1, 0, -1, 0, 2, -2, 2, -2)[q] * reach
        yy = y + (0, 1, 0, -1, 2, 2, -2, -2)[q] * reach
        if 0 <= yy < height and 0 <= xx < width:
            gap = here - depth[yy, xx]
            if 0.006 < gap < 0.25:
                total += min(1.0, gap / 0.05) * (1 - gap / 0.25)
    return min(1.0, total / 5.0)


@njit
def in_shadow(shadow, p, m):  # type: ignore[no-untyped-def]
    """Share of the key light that is blocked; sampled off the surface along the normal against acne."""
    n = shadow.depth.shape[0]
    off = 1.3 / shadow.scale
    qx = p[X] + p[NX] * off - shadow.origin[0]
    qy = p[X + 1] + p[NX + 1] * off - shadow.origin[1]
    qz = p[X + 2] + p[NX + 2] * off - shadow.origin[2]
    sx = (qx * shadow.u[0] + qy * shadow.u[1] + qz * shadow.u[2]) * shadow.scale + n * 0.5 - 0.5
    sy = (qx * shadow.v[0] + qy * shadow.v[1] + qz * shadow.v[2]) * shadow.scale + n * 0.5 - 0.5
    bias = 1.2 / shadow.scale
    if m == EYE or m == TEETH:
        bias = 0.03
    elif m == SKIN:
        bias = max(bias, 0.022)
    limit = -(qx * shadow.l[0] + qy * shadow.l[1] + qz * shadow.l[2]) - bias
    x0 = int(math.floor(sx))
    y0 = int(math.floor(sy))
    fx = sx - x0
    fy = sy - y0
    blocked = 0.0
    for q in range(4):
        ix = x0 + (q & 1)
        iy = y0 + (q >> 1)
        if 0 <= ix < n and 0 <= iy < n and shadow.depth[iy, ix] < limit:
            blocked += (fx if q & 1 else 1 - fx) * (fy if q >> 1 else 1 - fy)
    return blocked


@njit
def gather(surface, buffers, camera, t, y, x, p):  # type: ignore[no-untyped-def]
    """Interpolate everything the materials need into p; the normal is made to face the viewer where thin."""
    a = surface.faces[t, 0]
    b = surface.faces[t, 1]
    c = surface.faces[t, 2]
    w1 = buffers.barycentric[y, x, 0]
    w2 = buffers.barycentric[y, x, 1]
    w0 = 1 - w1 - w2
    m = surface.material[t]
    for k in range(3):
        p[X + k] = w0 * buffers.points[a, k] + w1 * buffers.points[b, k] + w2 * buffers.points[c, k]
        p[NX + k] = w0 * buffers.normals[a, k] + w1 * buffers.normals[b, k] + w2 * buffers.normals[c, k]
        p[TX + k] = w0 * surface.template[a, k] + w1 * surface.template[b, k] + w2 * surface.template[c, k]
    for k in range(2):
        p[U + k] = w0 * surface.uv[a, k] + w1 * surface.uv[b, k] + w2 * surface.uv[c, k]
    p[CUT] = w0 * surface.cut[a] + w1 * surface.cut[b] + w2 * surface.cut[c]
    if m == SKIN:
        for k in range(5):
            p[TRAITS + k] = w0 * surface.traits[a, k] + w1 * surface.traits[b, k] + w2 * surface.traits[c, k]
    vx = camera.x - p[X]
    vy = -camera.distance - p[X + 1]
    vz = camera.z - p[X + 2]
    view = math.sqrt(vx * vx + vy * vy + vz * vz)
    p[VX] = vx / view
    p[VX + 1] = vy / view
    p[VX + 2] = vz / view
    length = math.sqrt(p[NX] ** 2 + p[NX + 1] ** 2 + p[NX + 2] ** 2) + 1e-9
    towards = p[NX] * p[VX] + p[NX + 1] * p[VX + 1] + p[NX + 2] * p[VX + 2]
    if towards < 0 and m != SKIN and m != MOUTH:
        length = -length
    for k in range(3):
        p[NX + k] /= length


@njit
def light_sample(m, p, c, s, light, blocked, out, weight):  # type: ignore[no-untyped-def]
    """Add the lit sample to the pixel `out` [4]: wrapped diffuse, sky and ground, specular, rim."""
    lit = 1 - 0.85 * blocked
    direction = light.direction
    facing = p[NX] * direction[0] + p[NX + 1] * direction[1] + p[NX + 2] * direction[2]
    hx = direction[0] + p[VX]
    hy = direction[1] + p[VX + 1]
    hz = direction[2] + p[VX + 2]
    half = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
    highlight = max(0.0, (p[NX] * hx + p[NX + 1] * hy + p[NX + 2] * hz) / half)
    specular = s[SPECULAR] * highlight ** s[GLOSS] * lit * (2.2 if m == EYE else 1.0)
    towards = max(0.0, p[NX] * p[VX] + p[NX + 1] * p[VX + 1] + p[NX + 2] * p[VX + 2])
    rim = (1 - towards) ** 3 * light.rim * 0.25
    up = 0.5 + 0.5 * p[NX + 2]
    ao = s[OCCLUSION]
    deep = 0.5 + 0.5 * ao if m == TEETH else ao
    for k in range(3):
        wrap = s[WRAP + k]
        diffuse = max(0.0, (facing + wrap) / (1 + wrap)) * lit
        ambient = ao * (light.sky[k] * up + light.ground[k] * (1 - up))
        value = c[k] * (light.key[k] * diffuse + ambient) + specular * light.key[k] + rim * (c[k] + 0.1)
        if m == SKIN or m == TEETH or m == MOUTH:  # blood: occlusion reddens
            floor = 0.35 if k == 0 else 0.3
            value *= floor + (1 - floor) * deep
        out[k] += min(value, 1.4) * weight
    out[3] += weight


@njit
def shade(surface, look, noise, light, shadow, camera, buffers, out):  # type: ignore[no-untyped-def]
    """out float32 [H, W, 4]: premultiplied linear colour and coverage, averaged over the samples of a pixel."""
    height, width = buffers.triangle.shape
    samples = height // out.shape[0]
    weight = 1.0 / (samples * samples)
    reach = max(3, height // 42)
    out[:] = 0.0
    p = np.zeros(SAMPLE)
    c = np.zeros(3)
    s = np.zeros(ANSWER)
    for y in range(height):
        for x in range(width):
            t = buffers.triangle[y, x]
            if t < 0:
                continue
            m = surface.material[t]
            gather(surface, buffers, camera, t, y, x, p)
            material_of(m, p, look, noise, light, c, s)
            s[OCCLUSION] *= 1 - 0.5 * occlusion(buffers.depth, y, x, reach)
            light_sample(m, p, c, s, light, in_shadow(shadow, p, m), out[y // samples, x // samples], weight)
