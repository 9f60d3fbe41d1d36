"""Procedural materials: skin, eyes, cloth, hair.

One function per material fills `c` (linear albedo [3]) and `s` (SPECULAR .. OCCLUSION) for a sample `p`; there is
no texture atlas, the pattern of every part is a function of where the sample lies on the template.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.kernels import njit
from synthetic_people.mesh import (
    BEARD,
    BOTTOM,
    EARS,
    EYE,
    FRAME,
    HAIR,
    HAT,
    INSIDE,
    LASH,
    LIDS,
    LIPS,
    MOUTH,
    SCALP,
    SHOE,
    SKIN,
    SKIRT,
    TEETH,
    TOP,
)

# the sample p: world position, normal, template position, cloth coordinates, distance to the edge, view, traits
X, NX, TX, U, V, CUT, VX, TRAITS = 0, 3, 6, 9, 10, 11, 12, 15
SAMPLE = 20
# the surface answer s: specular strength and sharpness, wrap of the light per channel, ambient occlusion
SPECULAR, GLOSS, WRAP, OCCLUSION = 0, 1, 2, 5
ANSWER = 6


# layers of the noise stack
MOTTLE, GRAIN, BLOTCH, STRAND = range(4)
# rows of Look.colours
SKIN_COLOUR, LIP_COLOUR, IRIS_COLOUR, HAIR_COLOUR, BROW_COLOUR, TRIM_COLOUR, INNER_COLOUR = range(7)
SHOE_COLOUR, SOLE_COLOUR, HAT_COLOUR, FRAME_COLOUR, RAGLAN_COLOUR = range(7, 12)


class Style(NamedTuple):
    """The numbers and switches of a person's look; scalars only, so that kernels may pass it around freely."""

    top_period: float  # metres
    bottom_period: float
    curl: float
    wrinkles: float
    wrinkle_phase: float
    has_raglan: bool
    open_front: bool
    denim: bool
    hoodie: bool
    textured: bool = False  # whether `Look.overlay` counts


class Look(NamedTuple):
    """Colours and textures of a person, linear light, float32."""

    colours: Array  # [12, 3]
    cloth: Array  # [2, n, n, 3]: top, bottom
    face: Array  # [260, 180, 4]
    front_print: Array  # [64, 64, 4]
    eyes: Array  # [2, 3]: centres on the template, left first
    style: Style
    overlay: Array = np.ones((3, 1, 1, 3), np.float32)  # [3, n, n, 3]: factors for skin, hair, and hats and shoes


@njit
def around(u: float, n: int) -> tuple[int, int, float]:
    """The two of n texels on either side of u (period 1), and the share of the second; without slow divisions."""
    x = (u - math.floor(u)) * n - 0.5
    first = math.floor(x)
    share = x - first
    second = first + 1
    if first < 0:
        first = n - 1
    if second >= n:
        second = 0
    return first, second, share


@njit
def texel(texture: Array, u: float, v: float, k: int) -> float:
    """Channel k of a repeating texture [n, m, channels] at u, v (1 = one period), bilinear."""
    a, b, fx = around(u, texture.shape[1])
    c, d, fy = around(v, texture.shape[0])
    top = texture[c, a, k] * (1 - fx) + texture[c, b, k] * fx
    return top * (1 - fy) + (texture[d, a, k] * (1 - fx) + texture[d, b, k] * fx) * fy


@njit
def lay_texture(texture: Array, u: float, v: float, alpha: float, out: Array) -> None:
    """Mix the first three channels of a repeating texture at u, v into out [3]."""
    a, b, fx = around(u, texture.shape[1])
    c, d, fy = around(v, texture.shape[0])
    for k in range(3):
        top = texture[c, a, k] * (1 - fx) + texture[c, b, k] * fx
        value = top * (1 - fy) + (texture[d, a, k] * (1 - fx) + texture[d, b, k] * fx) * fy
        out[k] = out[k] * (1 - alpha) + value * alpha


@njit
def height_at(stack: Array, layer: int, u: float, v: float) -> float:
    """A bilinear sample of one layer of a stack [layers, n, n]."""
    n = stack.shape[1]
    a, b, fx = around(u, n)
    c, d, fy = around(v, n)
    top = stack[layer, c, a] * (1 - fx) + stack[layer, c, b] * fx
    return top * (1 - fy) + (stack[layer, d, a] * (1 - fx) + stack[layer, d, b] * fx) * fy


@njit
def ramp(start: float, end: float, x: float) -> float:
    """Smooth step from 0 at `start` to 1 at `end`."""
    t = min(1.0, max(0.0, (x - start) / (end - start)))
    return t * t * (3 - 2 * t)


@njit
def tint(c: Array, colours: Array, row: int, amount: float) -> None:
    for k in range(3):
        c[k] = c[k] * (1 - amount) + colours[row, k] * amount


@njit
def paint(c: Array, colours: Array, row: int) -> None:
    for k in range(3):
        c[k] = colours[row, k]


@njit
def scale(c: Array, amount: float) -> None:
    for k in range(3):
        c[k] *= amount


@njit
def answer(s: Array, specular: float, gloss: float, red: float, green: float, blue: float) -> None:
    s[SPECULAR] = specular
    s[GLOSS] = gloss
    s[WRAP] = red
    s[WRAP + 1] = green
    s[WRAP + 2] = blue


@njit
def shade_skin(p: Array, colours: Array, face: Array, noise: Array, c: Array, s: Array) -> None:
    x = p[TX]
    y = p[TX + 1]
    z = p[TX + 2]
    mottle = 0.06 * height_at(noise, MOTTLE, x * 2.2 + y, z * 2.2) + 0.03 * height_at(noise, GRAIN, x * 5, z * 5)
    for k in range(3):
        c[k] = colours[SKIN_COLOUR, k] * (1 + mottle)
    if z > 0.54 and y < -0.045 and abs(x) < 0.09:
        u = (x + 0.09) / 0.18
        v = (0.80 - z) / 0.26
        alpha = texel(face, u, v, 3)
        if alpha > 0.003:
            lay_texture(face, u, v, alpha, c)
    ears = p[TRAITS + EARS]
    if ears > 0.01:
        c[0] *= 1 + 0.05 * ears
        c[1] *= 1 - 0.16 * ears
        c[2] *= 1 - 0.16 * ears
    lids = p[TRAITS + LIDS]
    if lids > 0.01:
        c[0] *= 1 - 0.22 * lids
        c[1] *= 1 - 0.34 * lids
        c[2] *= 1 - 0.32 * lids
    lips = ramp(0.3, 0.85, p[TRAITS + LIPS])
    for k in range(3):
        c[k] = c[k] * (1 - lips) + colours[LIP_COLOUR, k] * (1 + 0.5 * mottle) * lips
    inside = p[TRAITS + INSIDE]
    if inside > 0.02:
        inside = ramp(0.2, 0.8, inside)
        c[0] = c[0] * (1 - inside) + 0.10 * inside
        c[1] = c[1] * (1 - inside) + 0.018 * inside
        c[2] = c[2] * (1 - inside) + 0.018 * inside
        s[OCCLUSION] *= 1 - 0.55 * inside
    scalp = p[TRAITS + SCALP]
    if scalp > 0.01:
        scalp *= 0.75 + 0.3 * height_at(noise, GRAIN, x * 4, z * 4 + y * 4)
        tint(c, colours, HAIR_COLOUR, min(1.0, max(0.0, scalp)))
    answer(s, 0.05 + 0.10 * lips, 18 + 20 * lips, 0.34, 0.17, 0.12)


@njit
def shade_eye(p: Array, colours: Array, eyes: Array, c: Array, s: Array) -> None:
    side = 0 if p[TX] > 0 else 1
    dx = p[TX] - eyes[side, 0]
    dy = p[TX + 1] - eyes[side, 1]
    dz = p[TX + 2] - eyes[side, 2]
    length = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
    angle = math.acos(max(-1.0, min(1.0, -dy / length)))
    iris = ramp(0.44, 0.40, angle)
    pupil = ramp(0.20, 0.16, angle)
    ring = ramp(0.34, 0.42, angle)
    spokes = (1.3 - 0.9 * ring) * (1 + 0.25 * math.sin(math.atan2(dz, dx) * 17))
    for k in range(3):
        white = (0.80, 0.77, 0.74)[k] * (1 - 0.35 * ramp(0.5, 1.0, angle))
        coloured = colours[IRIS_COLOUR, k] * spokes * (1 - pupil) + 0.006 * pupil
        c[k] = white * (1 - iris) + coloured * iris
    answer(s, 0.55, 180.0, 0.3, 0.3, 0.3)


@njit
def shade_top(
    p: Array, colours: Array, style: Style, texture: Array, front_print: Array, noise: Array, c: Array
) -> None:
    x = p[TX]
    z = p[TX + 2]
    front = p[TX + 1] < -0.02
    lay_texture(texture, p[U] / style.top_period, p[V] / style.top_period, 1.0, c)
    if style.has_raglan and abs(x) > 0.135 + (0.40 - z) * 0.18 and 0.0 < z < 0.6:
        paint(c, colours, RAGLAN_COLOUR)
    if front and abs(x) < 0.095 and 0.20 < z < 0.39:
        u = (x + 0.095) / 0.19
        v = (0.39 - z) / 0.19
        alpha = texel(front_print, u, v, 3)
        if alpha > 0:
            lay_texture(front_print, u, v, alpha, c)
    if style.open_front and p[TX + 1] < 0 and abs(x) < 0.052 + 0.02 * height_at(noise, BLOTCH, 0.1, z):
        paint(c, colours, INNER_COLOUR)
        if abs(abs(x) - 0.05) < 0.006:
            scale(c, 0.55)
    if p[CUT] < 0.016:  # trim, with seams
        paint(c, colours, TRIM_COLOUR)
        if p[CUT] < 0.0025 or p[CUT] > 0.0135:
            scale(c, 0.6)
    if style.hoodie and front and 0.02 < z < 0.13 and abs(x) < 0.11:  # the pocket's outline
        side = abs(x) - (0.11 - (z - 0.02) * 0.35)
        if abs(z - 0.128) < 0.003 or abs(side) < 0.003:
            scale(c, 0.6)


@njit
def shade_bottom(p: Array, style: Style, texture: Array, noise: Array, belted: bool, c: Array) -> None:
    x = p[TX]
    z = p[TX + 2]
    lay_texture(texture, p[U] / style.bottom_period, p[V] / style.bottom_period, 1.0, c)
    if style.denim:
        grain = height_at(noise, GRAIN, p[U] * 9, p[V] * 9) * 0.07
        grain += 0.125 * height_at(noise, MOTTLE, p[U] * 1.2, p[V] * 1.2)
        thigh = (abs(x) - 0.11) / 0.035
        worn = 0.35 * math.exp(-thigh * thigh) * (1.0 if p[TX + 1] < 0 else 0.4)
        scale(c, (1 + grain) * (1 + worn))
        if abs(abs(x) - 0.19) < 0.003 and z < 0:
            scale(c, 0.6)
    if p[CUT] < 0.014:
        scale(c, 0.7)
    if belted and abs(z - 0.083) < 0.003:
        scale(c, 0.55)


@njit
def fold_normal(p: Array, wrinkle: Array, phase: float, amount: float) -> None:
    """Tilt the normal by the slopes of the cloth's folds."""
    u = p[U] * 2.6 + phase
    v = p[V] * 2.0 + phase * 3
    across = texel(wrinkle, u, v, 0) * amount
    down = texel(wrinkle, u, v, 1) * amount
    tx = -p[NX + 1]
    ty = p[NX]
    length = math.sqrt(tx * tx + ty * ty) + 1e-6
    p[NX] -= across * tx / length
    p[NX + 1] -= across * ty / length
    p[NX + 2] -= down
    length = math.sqrt(p[NX] ** 2 + p[NX + 1] ** 2 + p[NX + 2] ** 2)
    for k in range(3):
        p[NX + k] /= length


@njit
def shade_shoe(p: Array, colours: Array, c: Array, s: Array) -> None:
    x = p[TX]
    y = p[TX + 1]
    sole = p[TX + 2] < -0.797
    paint(c, colours, SOLE_COLOUR if sole else SHOE_COLOUR)
    if not sole and -0.19 < y < -0.10 and abs(abs(x) - 0.18) < 0.025 and math.sin(y * 420) > 0.2:
        paint(c, colours, SOLE_COLOUR)  # laces
    if p[CUT] < 0.012:
        scale(c, 0.7)
    answer(s, 0.08, 20.0, 0.05, 0.05, 0.05)


@njit
def shade_hair(
    p: Array, colours: Array, curl: float, noise: Array, direction: Array, beard: bool, c: Array, s: Array
) -> None:
    row = BROW_COLOUR if beard else HAIR_COLOUR
    wide = 1.2 if beard else 1.3
    strand = height_at(noise, STRAND, p[U] * wide + 0.02 * math.sin(p[V] * 30), p[V] * (0.8 + 3 * curl))
    fine = height_at(noise, GRAIN, p[U] * 3, p[V] * 6)
    brightness = 0.3 * colours[HAIR_COLOUR, 0] + 0.6 * colours[HAIR_COLOUR, 1] + 0.1 * colours[HAIR_COLOUR, 2]
    shine = 1 + (0.33 - 0.22 * min(1.0, brightness * 3)) * strand + 0.14 * fine * (1 + curl)
    shine = max(0.25, shine)
    # Kajiya-Kay: the highlight depends on the angle to the strand, which runs down the surface
    nz = p[NX + 2]
    tx = -p[NX] * nz
    ty = -p[NX + 1] * nz
    tz = -1 + nz * nz
    length = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
    hx = direction[0] + p[VX]
    hy = direction[1] + p[VX + 1]
    hz = direction[2] + p[VX + 2]
    half = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
    along = (tx * hx + ty * hy + tz * hz) / length / half + 0.12 * strand
    facing = p[NX] * direction[0] + p[NX + 1] * direction[1] + nz * direction[2]
    gloss = 0.16 * max(0.0, 1 - along * along) ** 20 * (1 - 0.75 * curl) * max(0.0, facing + 0.3)
    if beard:
        gloss *= 0.4
    for k in range(3):
        c[k] = colours[row, k] * shine + gloss * (0.35 + 0.65 * min(1.0, colours[HAIR_COLOUR, k] * 3))
    if p[CUT] < 0.9:
        s[OCCLUSION] *= 0.72 + 0.28 * ramp(-0.03, 0.05, p[CUT])
    answer(s, 0.0, 20.0, 0.25, 0.25, 0.25)


@njit
def shade_hat(p: Array, colours: Array, noise: Array, c: Array) -> None:
    knit = 1 + 0.12 * math.sin(p[U] * 2 * math.pi * 46) + 0.05 * height_at(noise, GRAIN, p[U] * 4, p[V] * 8)
    for k in range(3):
        c[k] = colours[HAT_COLOUR, k] * knit
    if -0.1 < p[CUT] < 0.03:
        scale(c, 0.85)


@njit
def vary(m: int, p: Array, overlay: Array, c: Array) -> None:
    """Multiply c by the person's own texture of skin, hair, or hats and shoes."""
    if m == SKIN:
        layer, u, v = 0, p[TX] * 2.6 + p[TX + 1] * 1.7, p[TX + 2] * 2.6 + p[TX + 1]
    elif m in (HAIR, BEARD):
        layer, u, v = 1, p[U], p[V] / 0.64
    elif m in (HAT, SHOE):
        layer, u, v = 2, p[U] * 3, p[V] * 5
    else:
        return
    left, right, fx = around(u, overlay.shape[2])
    above, below, fy = around(v, overlay.shape[1])
    for k in range(3):
        top = overlay[layer, above, left, k] * (1 - fx) + overlay[layer, above, right, k] * fx
        bottom = overlay[layer, below, left, k] * (1 - fx) + overlay[layer, below, right, k] * fx
        c[k] = min(0.95, c[k] * (top * (1 - fy) + bottom * fy))


@njit
def material_of(
    m: int,
    p: Array,
    colours: Array,
    style: Style,
    top: Array,
    bottom: Array,
    face: Array,
    front_print: Array,
    eyes: Array,
    overlay: Array,
    noise: Array,
    wrinkle: Array,
    direction: Array,
    c: Array,
    s: Array,
) -> None:
    """Fill c and s for a sample of material m; may bend the normal in p. `direction` [3] points to the light."""
    answer(s, 0.0, 20.0, 0.05, 0.05, 0.05)
    s[OCCLUSION] = 1.0
    if m == SKIN:
        shade_skin(p, colours, face, noise, c, s)
    elif m == EYE:
        shade_eye(p, colours, eyes, c, s)
    elif m == TEETH:
        gap = 1 - 0.25 * ramp(0.85, 1.0, 0.5 + 0.5 * math.cos(p[TX] * 2 * math.pi / 0.0062))
        c[0] = 0.92 * gap
        c[1] = 0.88 * gap
        c[2] = 0.80 * gap
        answer(s, 0.2, 60.0, 0.7, 0.7, 0.7)
    elif m == MOUTH:
        c[0] = 0.42
        c[1] = 0.13
        c[2] = 0.13
        answer(s, 0.15, 30.0, 0.2, 0.2, 0.2)
    elif m == LASH:
        for k in range(3):
            c[k] = 0.012
    elif m in (TOP, BOTTOM, SKIRT):
        if m == TOP:
            shade_top(p, colours, style, top, front_print, noise, c)
        else:
            shade_bottom(p, style, bottom, noise, m == BOTTOM and p[TX + 2] > 0.07, c)
        fold_normal(p, wrinkle, style.wrinkle_phase, 1.7 * style.wrinkles * (0.6 if m == SKIRT else 1.1))
        answer(s, 0.025, 8.0, 0.12, 0.12, 0.12)
    elif m == SHOE:
        shade_shoe(p, colours, c, s)
    elif m in (HAIR, BEARD):
        shade_hair(p, colours, style.curl, noise, direction, m == BEARD, c, s)
    elif m == HAT:
        shade_hat(p, colours, noise, c)
    elif m == FRAME:
        paint(c, colours, FRAME_COLOUR)
        answer(s, 0.4, 40.0, 0.05, 0.05, 0.05)
    if style.textured:
        vary(m, p, overlay, c)
