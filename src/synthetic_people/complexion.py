"""Skin, hair and faces of the wild style: any tone, blemishes, paint, and proportions beyond the sampled adults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthetic_people.asset import CHIN, LEFT_PUPIL, NOSE_TIP, RIGHT_PUPIL, Array, load_asset
from synthetic_people.colour import HAIR_COLOURS, SKIN_TONES, colour_name, hsv, to_linear
from synthetic_people.face import HEIGHT, WIDTH
from synthetic_people.geometry import smoothstep
from synthetic_people.identity import DYES, Identity
from synthetic_people.patterns import TEXTURE
from synthetic_people.seeds import Stream, generator
from synthetic_people.texture import any_colour, cloud, random_texture

MOUTH = slice(48, 68)  # iBUG numbers


def recolour(identity: Identity) -> Identity:
    """`identity` with another skin, hair, iris and lips: most plausible, some tinted, some of no human colour."""
    rng = generator(identity.seed, Stream.COMPLEXION)
    skin = _skin(rng)
    natural = np.array([HAIR_COLOURS[name] for name in HAIR_COLOURS if name not in DYES])
    natural = natural[rng.integers(len(natural))] * rng.uniform(0.6, 1.4, 3)
    hair = any_colour(rng) if rng.random() < 0.35 else natural.clip(0.02, 0.95)
    brows = to_linear(any_colour(rng)) * 0.4 if rng.random() < 0.15 else to_linear(hair) * rng.uniform(0.15, 0.6)
    if rng.random() < 0.5:  # brows that are seen
        brows = np.minimum(brows, skin * rng.uniform(0.1, 0.4))
    lips = to_linear(any_colour(rng)) if rng.random() < 0.25 else skin * rng.uniform([0.8, 0.4, 0.4], [1.15, 0.8, 0.8])
    return replace(
        identity, skin=skin, hair=to_linear(hair), hair_name=colour_name(hair), brows=brows, lips=lips,
        iris=to_linear(hsv(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.7))),
    )  # fmt: skip


def _skin(rng: np.random.Generator) -> Array:
    """Linear RGB [3]. Four of five lie near the palette, most others are tinted, one in 14 is any colour."""
    at, kind = rng.uniform(0, len(SKIN_TONES) - 1.001), rng.random()
    tone = SKIN_TONES[int(at)] * (1 - at % 1) + SKIN_TONES[int(at) + 1] * (at % 1)
    spread = 0.05 if kind < 0.8 else 0.16
    tone = tone * np.exp(rng.normal(0, spread, 3))
    if kind > 0.93:
        tone = hsv(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.3, 0.9))
    return to_linear(np.clip(tone, 0.12, 0.98))


def reshape(identity: Identity) -> Identity:
    """`identity` with another head: width, depth, jaw, nose, eyes and mouth; keypoints follow the vertices."""
    rng, asset = generator(identity.seed, Stream.PROPORTIONS), load_asset()
    vertices, marks = identity.vertices.copy(), identity.landmarks
    shifts = np.zeros_like(vertices)
    eye, apart, rise = np.full(3, rng.uniform(0.87, 1.16)), rng.uniform(-0.003, 0.004), rng.normal(0, 0.002)
    for pupil in (RIGHT_PUPIL, LEFT_PUPIL):  # both alike
        away = np.array([np.sign(marks[pupil, 0]) * apart, 0, rise])
        shifts += _swell(vertices, marks[pupil], 0.020, eye, away)
    nose = np.exp(rng.normal(0, [0.2, 0.18, 0.12]))
    shifts += _swell(vertices, marks[NOSE_TIP], 0.016, nose, np.array([0, 0, rng.normal(0, 0.002)]))
    mouth = np.exp(rng.normal(0, [0.13, 0.05, 0.13]))
    middle = marks[MOUTH].mean(0)
    shifts += _swell(vertices, middle, 0.020, mouth, np.array([0, 0, rng.normal(0, 0.002)]))
    jaw = smoothstep(marks[NOSE_TIP, 2], marks[CHIN, 2], vertices[:, 2]) * _on_head(identity)
    shifts[:, 0] += vertices[:, 0] * rng.normal(0, 0.07) * jaw
    shifts[:, 2] += rng.normal(0, 0.005) * jaw
    vertices += shifts
    head, neck = asset.bone("head"), asset.bone("neck03")
    grown = (asset.weights * ((asset.weight_bones == head) + 0.5 * (asset.weight_bones == neck))).sum(1)[:, None]
    pivot, factor = identity.joints[neck], np.exp(rng.normal(0, [0.06, 0.05, 0.05]))
    vertices = pivot + (vertices - pivot) * (1 + (factor - 1) * grown)
    joints = identity.joints.copy()
    joints[head] = pivot + (joints[head] - pivot) * factor
    return replace(identity, vertices=vertices, joints=joints)


def _on_head(identity: Identity) -> Array:
    """Share [V] of the skull in what moves a vertex."""
    asset = load_asset()
    return (asset.weights * (asset.weight_bones == asset.bone("head"))).sum(1)


def _swell(points: Array, centre: Array, reach: float, factor: Array, move: Array) -> Array:
    """Shifts [V, 3] that scale the neighbourhood (`reach` metres) of `centre` by `factor` [3] and move it."""
    spoke = points - centre
    far = (spoke * spoke).sum(1) / reach**2
    out, near = np.zeros_like(points), far < 16
    out[near] = np.exp(-far[near, None] / 2) * (spoke[near] * (factor - 1) + move)
    return out


def blemish(identity: Identity, face: Array) -> Array:
    """Linear RGBA float32 like `face`: patches, spots and now and then paint, under the brows and lids of `face`."""
    import cv2

    rng = generator(identity.seed, Stream.BLEMISHES)
    w, h = WIDTH // 2, HEIGHT // 2
    x, z = np.meshgrid(np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32))
    under = np.ones((h, w, 3), np.float32) * identity.skin.astype(np.float32)
    for slope, strength in ((1.8, rng.uniform(0.05, 0.35)), (1.0, rng.uniform(0, 0.25))):
        field = cv2.resize(cloud(rng, 128, slope), (w, h))
        _lay(under, identity.skin * np.exp(rng.normal(0, 0.3, 3)), strength * field.clip(0, 1.5))
    for _ in range(rng.poisson(5)):
        near = np.hypot(x - rng.uniform(-0.6, 0.6), (z - rng.uniform(-0.7, 0.7)) * 1.44) / rng.uniform(0.012, 0.035)
        _lay(under, identity.skin * rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.9) * np.exp(-(near**2)))
    if rng.random() < 0.12:
        shape = smoothstep(-0.1, 0.1, cv2.resize(cloud(rng, 128, 2.0), (w, h)))
        _lay(under, cv2.resize(to_linear(random_texture(rng)), (w, h)), rng.uniform(0.3, 0.8) * shape)
    inside = smoothstep(1.0, 0.75, np.abs(x)) * smoothstep(1.0, 0.8, np.abs(z))
    ground = cv2.resize(np.dstack([under, inside]).astype(np.float32), (WIDTH, HEIGHT))
    total = face[..., 3] + ground[..., 3] * (1 - face[..., 3])
    share = (face[..., 3] / np.maximum(total, 1e-6))[..., None]
    return np.dstack([face[..., :3] * share + ground[..., :3] * (1 - share), total]).astype(np.float32)


def _lay(ground: Array, colour: Array, alpha: Array) -> None:
    """Mix `colour` into `ground` [h, w, 3] where `alpha` [h, w] is 1."""
    ground += alpha[..., None].clip(0, 1) * (colour - ground)


def overlay(identity: Identity) -> Array:
    """float32 [3, 128, 128, 3]: what multiplies the colours of skin, hair, and of hats and shoes, texel by texel."""
    rng, n = generator(identity.seed, Stream.OVERLAY), TEXTURE
    skin = 1 + rng.uniform(0.02, 0.14) * cloud(rng, n, 1.3)[..., None] * rng.uniform(0.5, 1.2, 3)
    if rng.random() < 0.12:  # tattoos
        skin = skin * np.where(cloud(rng, n, 1.8) > rng.uniform(0.6, 1.6), rng.uniform(0.25, 0.6), 1)[..., None]
    along = np.linspace(0, 1, n)[:, None, None]
    streaks = cloud(rng, n, 0.6)[:1, :, None] * rng.uniform(0, 0.5)
    tips = np.exp(rng.normal(0, 0.8, 3)) if rng.random() < 0.35 else np.ones(3)
    fade = smoothstep(rng.uniform(0, 0.4), rng.uniform(0.5, 0.9), along)
    hair = (1 + streaks) * (1 + (tips - 1) * fade) * np.ones((n, n, 1))
    other = random_texture(rng) * 1.5 if rng.random() < 0.6 else np.ones((n, n, 3))
    return np.stack([skin, hair, other]).clip(0.1, 3).astype(np.float32)
