"""The shader: soft key light and sky, shadows, ambient occlusion; materials come from `materials`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.kernels import Camera, ShadowMap, njit
from synthetic_people.materials import (
    ANSWER,
    CUT,
    GLOSS,
    NX,
    OCCLUSION,
    SAMPLE,
    SPECULAR,
    TRAITS,
    TX,
    VX,
    WRAP,
    Look,
    U,
    X,
    material_of,
    texel,
)  # fmt: skip
from synthetic_people.mesh import EYE, MOUTH, SKIN, TEETH, Surface

NO_LAMPS = np.zeros((0, 2, 3), np.float32)
OPEN = np.ones((1, 1, 1), np.float32)


class Light(NamedTuple):
    """A key light from `direction` (unit [3], towards the light) and a sky; linear RGB float32 [3] each."""

    direction: Array
    key: Array
    sky: Array
    ground: Array
    rim: float
    lamps: Array = NO_LAMPS  # float32 [n, 2, 3]: direction to and colour of lights that cast no shadow
    shade: float = 0.85  # share of the key light that a shadow takes away
    gobo: Array = OPEN  # float32 [n, n, 1]: what passes a blind or foliage before the key light; one texel: all
    gobo_period: float = 1.0  # metres


class Buffers(NamedTuple):
    """What the rasteriser found: see `kernels.rasterise`."""

    points: Array
    normals: Array
    depth: Array
    triangle: Array
    barycentric: Array


# where ambient occlusion looks, in steps
AROUND = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [2, 2], [-2, 2], [2, -2], [-2, -2]])


@njit
def occlusion(depth: Array, y: int, x: int, reach: int) -> float:
    """Screen-space ambient occlusion 0..1: how many of eight neighbours stand 6 to 250 mm before the sample."""
    height, width = depth.shape
    here = depth[y, x]
    total = 0.0
    for q in range(8):
        xx = x + AROUND[q, 0] * reach
        yy = y + AROUND[q, 1] * reach
        if 0 <= yy < height and 0 <= xx < width:
            gap = here - depth[yy, xx]
            if 0.006 < gap < 0.25:
                total += min(1.0, gap / 0.05) * (1 - gap / 0.25)
    return min(1.0, total / 5.0)


@njit
def in_shadow(depth: Array, axes: Array, texels_per_metre: float, p: Array, m: int) -> float:
    """Share of the key light that is blocked; sampled off the surface along the normal against acne."""
    n = depth.shape[0]
    off = 1.3 / texels_per_metre
    qx = p[X] + p[NX] * off - axes[3, 0]
    qy = p[X + 1] + p[NX + 1] * off - axes[3, 1]
    qz = p[X + 2] + p[NX + 2] * off - axes[3, 2]
    sx = (qx * axes[0, 0] + qy * axes[0, 1] + qz * axes[0, 2]) * texels_per_metre + n * 0.5 - 0.5
    sy = (qx * axes[1, 0] + qy * axes[1, 1] + qz * axes[1, 2]) * texels_per_metre + n * 0.5 - 0.5
    bias = 1.2 / texels_per_metre
    if m in (EYE, TEETH):
        bias = 0.03
    elif m == SKIN:
        bias = max(bias, 0.022)
    limit = -(qx * axes[2, 0] + qy * axes[2, 1] + qz * axes[2, 2]) - bias
    x0 = math.floor(sx)
    y0 = math.floor(sy)
    fx = sx - x0
    fy = sy - y0
    blocked = 0.0
    for q in range(4):
        ix = x0 + (q & 1)
        iy = y0 + (q >> 1)
        if 0 <= ix < n and 0 <= iy < n and depth[iy, ix] < limit:
            blocked += (fx if q & 1 else 1 - fx) * (fy if q >> 1 else 1 - fy)
    return blocked


@njit
def passes(gobo: Array, period: float, axes: Array, p: Array) -> float:
    """Share of the key light that its blind or foliage lets through to the sample."""
    if gobo.shape[0] == 1:
        return 1.0
    dx = p[X] - axes[3, 0]
    dy = p[X + 1] - axes[3, 1]
    dz = p[X + 2] - axes[3, 2]
    across = dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]
    up = dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]
    return texel(gobo, across / period, up / period, 0)


@njit
def view_and_normal(camera: Camera, m: int, p: Array) -> None:
    """Fill the direction to the viewer; make the normal unit and, on thin things, face the viewer."""
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
def light_sample(
    m: int,
    p: Array,
    c: Array,
    s: Array,
    direction: Array,
    key: Array,
    sky: Array,
    ground: Array,
    rim: float,
    lamps: Array,
    lit: float,
    out: Array,
) -> None:
    """out [4]: the sample, `lit` 0..1 by the key light, and 1: wrapped diffuse, sky and ground, specular, rim."""
    facing = p[NX] * direction[0] + p[NX + 1] * direction[1] + p[NX + 2] * direction[2]
    hx = direction[0] + p[VX]
    hy = direction[1] + p[VX + 1]
    hz = direction[2] + p[VX + 2]
    half = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
    highlight = max(0.0, (p[NX] * hx + p[NX + 1] * hy + p[NX + 2] * hz) / half)
    specular = 0.0
    if s[SPECULAR] > 0:
        specular = s[SPECULAR] * highlight ** s[GLOSS] * lit * (2.2 if m == EYE else 1.0)
    towards = max(0.0, p[NX] * p[VX] + p[NX + 1] * p[VX + 1] + p[NX + 2] * p[VX + 2])
    edge = (1 - towards) ** 3 * rim * 0.25
    up = 0.5 + 0.5 * p[NX + 2]
    ao = s[OCCLUSION]
    deep = 0.5 + 0.5 * ao if m == TEETH else ao
    for k in range(3):
        wrap = s[WRAP + k]
        diffuse = max(0.0, (facing + wrap) / (1 + wrap)) * lit
        ambient = ao * (sky[k] * up + ground[k] * (1 - up))
        value = c[k] * (key[k] * diffuse + ambient) + specular * key[k] + edge * (c[k] + 0.1)
        if m in (SKIN, TEETH, MOUTH):  # blood: occlusion reddens
            floor = 0.35 if k == 0 else 0.3
            value *= floor + (1 - floor) * deep
        out[k] = value
    for lamp in range(lamps.shape[0]):
        facing = p[NX] * lamps[lamp, 0, 0] + p[NX + 1] * lamps[lamp, 0, 1] + p[NX + 2] * lamps[lamp, 0, 2]
        for k in range(3):
            out[k] += c[k] * lamps[lamp, 1, k] * max(0.0, (facing + s[WRAP + k]) / (1 + s[WRAP + k])) * ao
    for k in range(3):
        out[k] = min(out[k], 1.4)
    out[3] = 1.0


@njit
def same_material(triangle: Array, material: Array, y0: int, x0: int, samples: int) -> bool:
    """Whether all samples of the pixel that starts at y0, x0 show one material."""
    first = triangle[y0, x0]
    if first < 0:
        return False
    for y in range(y0, y0 + samples):
        for x in range(x0, x0 + samples):
            if triangle[y, x] < 0 or material[triangle[y, x]] != material[first]:
                return False
    return True


@njit
def shade(
    surface: Surface,
    look: Look,
    noise: Array,
    wrinkle: Array,
    light: Light,
    shadow: ShadowMap,
    camera: Camera,
    buffers: Buffers,
    out: Array,
) -> None:
    """out float32 [H, W, 4]: premultiplied linear colour and coverage, averaged over the samples of a pixel.

    Pixels of one material shade only the samples on their diagonal. `noise` [4, n, n] and `wrinkle` [n, n, 2] are
    the shared textures of `noise.py`.
    """
    # arrays out of their tuples once: every access through a tuple would count references
    points, normals, depth, triangle, barycentric = buffers
    faces, material, template, uv = surface.faces, surface.material, surface.template, surface.uv
    cut, traits = surface.cut, surface.traits
    colours, top, bottom, face, front_print, eyes = (
        look.colours, look.cloth[0], look.cloth[1], look.face, look.front_print, look.eyes,
    )  # fmt: skip
    style = look.style
    direction, key, sky, ground = light.direction, light.key, light.sky, light.ground
    lamps, gobo, overlay = light.lamps, light.gobo, look.overlay
    shadow_depth, axes = shadow.depth, shadow.axes
    height, width = triangle.shape
    samples = height // out.shape[0]
    reach = max(3, height // 42)
    out[:] = 0.0
    p = np.zeros(SAMPLE)
    c = np.zeros(3)
    s = np.zeros(ANSWER)
    lit = np.zeros(4)
    for block in range((height // samples) * (width // samples)):
        row = block // (width // samples)
        column = block % (width // samples)
        plain = same_material(triangle, material, row * samples, column * samples, samples)
        weight = 1.0 / samples if plain else 1.0 / (samples * samples)
        for q in range(samples * samples):
            if plain and q // samples != q % samples:
                continue
            y = row * samples + q // samples
            x = column * samples + q % samples
            t = triangle[y, x]
            if t < 0:
                continue
            m = material[t]
            i = faces[t, 0]
            j = faces[t, 1]
            h = faces[t, 2]
            w1 = barycentric[y, x, 0]
            w2 = barycentric[y, x, 1]
            w0 = 1 - w1 - w2
            for k in range(3):
                p[X + k] = w0 * points[i, k] + w1 * points[j, k] + w2 * points[h, k]
                p[NX + k] = w0 * normals[i, k] + w1 * normals[j, k] + w2 * normals[h, k]
                p[TX + k] = w0 * template[i, k] + w1 * template[j, k] + w2 * template[h, k]
            for k in range(2):
                p[U + k] = w0 * uv[i, k] + w1 * uv[j, k] + w2 * uv[h, k]
            p[CUT] = w0 * cut[i] + w1 * cut[j] + w2 * cut[h]
            if m == SKIN:
                for k in range(5):
                    p[TRAITS + k] = w0 * traits[i, k] + w1 * traits[j, k] + w2 * traits[h, k]
            view_and_normal(camera, m, p)
            material_of(
                m, p, colours, style, top, bottom, face, front_print, eyes, overlay, noise, wrinkle, direction, c, s
            )
            s[OCCLUSION] *= 1 - 0.5 * occlusion(depth, y, x, reach)
            open_share = 1 - light.shade * in_shadow(shadow_depth, axes, shadow.scale, p, m)
            open_share *= passes(gobo, light.gobo_period, axes, p)
            light_sample(m, p, c, s, direction, key, sky, ground, light.rim, lamps, open_share, lit)
            for k in range(4):
                out[row, column, k] += lit[k] * weight
