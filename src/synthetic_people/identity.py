"""Who somebody is: body shape, age, and the colours of skin, hair, eyes and lips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthetic_people.asset import (
    AFRICAN,
    AGE,
    ASIAN,
    CAUCASIAN,
    CHIN,
    GENDER,
    NOSE_BRIDGE,
    Array,
    BodyAsset,
    load_asset,
)
from synthetic_people.colour import HAIR_COLOURS, IRISES, LIPSTICKS, SKIN_TONES, to_linear
from synthetic_people.seeds import Stream, generator

HEAD_SCALE = 1.08  # a slightly larger head: expressions read better in small images
DYES = ("blue", "pink", "green", "purple")

# hair colours and their frequencies: by age and complexion
_OLD = (("grey", 0.34), ("white", 0.33), ("ash blond", 0.33))
_DYED = tuple((name, 0.25) for name in DYES)
_DARK = (("black", 0.55), ("dark brown", 0.3), ("brown", 0.11), ("auburn", 0.04))
_ANY = (
    ("black", 0.1), ("dark brown", 0.17), ("brown", 0.2), ("chestnut", 0.14), ("auburn", 0.08), ("red", 0.07),
    ("blond", 0.18), ("ash blond", 0.06),
)  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """A person without clothes and hair. Colours are linear RGB [3]; lengths metres."""

    seed: int
    vertices: Array  # float64 [V, 3], rest pose
    joints: Array  # float64 [J, 3]: where each bone starts
    tails: Array  # float64 [J, 3]: and ends
    male: bool
    old: bool
    tone: float  # skin tone, 0 light .. 8 dark
    skin: Array
    hair: Array
    hair_name: str
    brows: Array
    iris: Array
    lips: Array
    lipstick: bool

    @cached_property
    def body(self) -> Array:
        """The skin's vertices [body, 3]."""
        return self.vertices[: load_asset().body_size]

    @cached_property
    def landmarks(self) -> Array:
        """Face landmarks [72, 3] of the neutral face."""
        return load_asset().landmarks(self.vertices)

    @cached_property
    def face_scale(self) -> float:
        """Length of the face, bridge of the nose to chin, relative to the template's."""
        template = load_asset().landmarks(load_asset().template)
        length = [np.linalg.norm(p[CHIN] - p[NOSE_BRIDGE]) for p in (self.landmarks, template)]
        return float(length[0] / length[1])


def _shape(rng: np.random.Generator, asset: BodyAsset) -> tuple[Array, Array, Array, Array]:
    """Vertices, joints, tails and traits of a mix of two sampled adults of one sex (at most 25 % of the second).

    Mixing rows keeps within the plausible; the components are far from Gaussian.
    """
    first, second = rng.integers(len(asset.scores), size=2)
    share = rng.uniform(0, 0.25)
    if (asset.traits[first, GENDER] < 0.5) != (asset.traits[second, GENDER] < 0.5):
        share = 0.0
    score = asset.scores[first] * (1 - share) + asset.scores[second] * share
    points = asset.mean + np.tensordot(score.astype(np.float32), asset.components, 1)
    v, j = len(asset.template), len(asset.bones)
    vertices, joints, tails = (points[a:b].astype(float) for a, b in ((0, v), (v, v + j), (v + j, v + 2 * j)))
    head, neck = asset.bone("head"), asset.bone("neck03")
    grown = (asset.weights * ((asset.weight_bones == head) + 0.5 * (asset.weight_bones == neck))).sum(1)[:, None]
    pivot = joints[neck].copy()
    vertices = pivot + (vertices - pivot) * (1 + (HEAD_SCALE - 1) * grown)
    joints[head] = pivot + (joints[head] - pivot) * HEAD_SCALE
    return vertices, joints, tails, asset.traits[first]


def _pick(rng: np.random.Generator, table: tuple[tuple[str, float], ...]) -> str:
    names, weights = zip(*table)
    return str(names[rng.choice(len(names), p=np.array(weights) / sum(weights))])


def make_identity(seed: int) -> Identity:
    """The identity of a seed."""
    asset = load_asset()
    vertices, joints, tails, traits = _shape(generator(seed, Stream.BODY), asset)
    rng = generator(seed, Stream.COLOURS)
    male, old = bool(traits[GENDER] < 0.5), bool(traits[AGE] > 0.8)

    expected = 0.82 * traits[AFRICAN] + 0.36 * traits[ASIAN] + 0.12 * traits[CAUCASIAN]
    tone = 8 * float(np.clip(expected + rng.normal(0, 0.08), 0, 1))
    k = min(int(tone), 7)
    skin = SKIN_TONES[k] * (1 - (tone - k)) + SKIN_TONES[k + 1] * (tone - k)
    skin = to_linear(np.clip(skin * (1 + rng.normal(0, 0.02, 3)), 0, 1))

    if old and rng.random() < 0.75:
        hair_name = _pick(rng, _OLD)
    elif rng.random() < 0.07:
        hair_name = _pick(rng, _DYED)
    else:
        hair_name = _pick(rng, _DARK if tone > 3.5 or traits[ASIAN] > 0.5 else _ANY)
    hair = to_linear(np.clip(np.array(HAIR_COLOURS[hair_name]) * rng.uniform(0.85, 1.2), 0, 1))
    brows = to_linear(HAIR_COLOURS["dark brown"]) if hair_name in (*DYES, "white") else hair * 0.7

    iris_weights = (0.4, 0.55, 0.01, 0.02, 0.02) if tone > 3.5 else (0.35, 0.3, 0.15, 0.1, 0.1)
    iris = to_linear(IRISES[rng.choice(5, p=iris_weights)])
    lipstick = not male and rng.random() < 0.55
    if lipstick:
        lips = to_linear(LIPSTICKS[rng.integers(5)]) * rng.uniform(0.8, 1.2)
    else:
        lips = skin * np.array([0.95, 0.55, 0.55]) * (1.05 if tone < 4 else 0.95)
    return Identity(seed, vertices, joints, tails, male, old, tone, skin, hair, hair_name, brows, iris, lips, lipstick)
