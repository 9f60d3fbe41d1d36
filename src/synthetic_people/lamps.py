"""Light of the wild style: a key from anywhere, coloured gels, more lamps, shadows of blinds and leaves."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.colour import hsv, to_linear
from synthetic_people.geometry import smoothstep
from synthetic_people.seeds import Stream, generator
from synthetic_people.shading import NO_LAMPS, OPEN, Light
from synthetic_people.texture import cloud

TEXELS = 128
ALBEDO = 0.3  # what a light meter takes a person for, whoever it is


def _towards(rng: np.random.Generator, reach: float) -> Array:
    """Unit [3]: a direction within `reach` radians to either side of the camera's."""
    azimuth, elevation = rng.uniform(-reach, reach), rng.uniform(-0.15, 1.25)
    level = np.cos(elevation)
    return np.array([np.sin(azimuth) * level, -np.cos(azimuth) * level, np.sin(elevation)])


def _colour(rng: np.random.Generator, gel: float) -> Array:
    """Linear RGB [3] of brightness 1: candle to blue sky, with probability `gel` any hue."""
    if rng.random() < gel:
        colour = to_linear(hsv(rng.random(), rng.uniform(0.2, 0.75), 1.0))
    else:
        warm = rng.normal(0, 0.16)
        colour = np.exp([warm, 0.15 * warm * rng.normal(), -warm])
    return colour / (colour @ [0.3, 0.6, 0.1])


def _gobo(rng: np.random.Generator) -> Array:
    """float32 [128, 128, 1]: bars of a blind, or leaves."""
    if rng.random() < 0.5:
        y = np.linspace(0, rng.integers(3, 9), TEXELS, endpoint=False)[:, None] % 1
        light = smoothstep(0.0, 0.08, y) * smoothstep(rng.uniform(0.4, 0.8) + 0.08, 0.4, y) * np.ones((1, TEXELS))
    else:
        light = smoothstep(-0.25, 0.25, cloud(rng, TEXELS, rng.uniform(1.3, 2.0)) + rng.uniform(-0.3, 0.6))
    dark = rng.uniform(0, 0.4)
    return np.ascontiguousarray((dark + (1 - dark) * light)[..., None], np.float32)


def on_person(light: Light) -> Array:
    """Linear RGB [3]: what somebody of `ALBEDO` sends back to the camera."""
    return ALBEDO * (0.6 * light.key + light.sky + 0.5 * light.lamps[:, 1].sum(0))


def wild_light(seed: int) -> Light:
    """The light of a seed. The exposure makes up for its strength; what counts is how its parts compare."""
    rng = generator(seed, Stream.LAMPS)
    frontal = rng.random() < 0.8
    direction, key = _towards(rng, 1.3 if frontal else 2.7), rng.uniform(0.6, 1.6) * _colour(rng, 0.06)
    sky = rng.choice([0.15, 0.25, 0.4, 0.7]) * rng.uniform(0.7, 1.3) * _colour(rng, 0.05)
    ground = sky * rng.uniform(0.2, 1.1) * np.exp(rng.normal(0, 0.15, 3))
    lamps = [
        np.stack([_towards(rng, 2.9), rng.uniform(0.1, 0.7) * _colour(rng, 0.2)])
        for _ in range(rng.choice(3, p=(0.4, 0.35, 0.25)))
    ]
    gobo, period = (_gobo(rng) if rng.random() < 0.22 else OPEN), rng.uniform(0.25, 1.2)
    rows = np.stack([direction, key, sky, ground]).astype(np.float32)
    return Light(
        rows[0], rows[1], rows[2], rows[3], float(rng.choice([0, 0.5, 1.0, 2.0])),
        np.stack(lamps).astype(np.float32) if lamps else NO_LAMPS, float(rng.uniform(0.5, 1.0)), gobo, float(period),
    )  # fmt: skip
