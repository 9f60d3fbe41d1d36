"""Faces: expressions, gaze, blinks and speech as weights of the 52 face units (named as in ARKit)."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import Array, load_asset

Weights = dict[str, float]

UNITS = 52
GAIN = 1.15  # expressions are played a little large: they must read in small images
BLINK_SECONDS = 0.15  # from open to closed


def _both(**weights: float) -> Weights:
    """The same weight on Left and Right."""
    return {name + side: w for name, w in weights.items() for side in ("Left", "Right")}


EXPRESSIONS: dict[str, Weights] = {
    "neutral": {},
    "smile": _both(mouthSmile=0.9, cheekSquint=0.4, mouthDimple=0.3),
    "grin": _both(mouthSmile=1.0, mouthUpperUp=0.8, mouthLowerDown=0.5, cheekSquint=0.6) | {"jawOpen": 0.08},
    "laugh": _both(mouthSmile=1.0, mouthUpperUp=0.7, cheekSquint=1.0, eyeSquint=0.8, browOuterUp=0.4)
    | {"jawOpen": 0.55},
    "surprise": _both(browOuterUp=1.0, eyeWide=1.0) | {"jawOpen": 0.75, "browInnerUp": 1.0, "mouthFunnel": 0.5},
    "shock": _both(browOuterUp=1.0, eyeWide=1.0) | {"jawOpen": 1.0, "browInnerUp": 1.0},
    "angry": _both(browDown=1.0, noseSneer=0.8, mouthFrown=0.6, mouthPress=0.6, eyeSquint=0.5),
    "rage": _both(browDown=1.2, noseSneer=1.0, mouthUpperUp=0.9, mouthLowerDown=0.8, mouthStretch=0.6)
    | {"jawOpen": 0.45},
    "sad": _both(mouthFrown=1.0, eyeSquint=0.3, eyeLookDown=0.5, browDown=0.2)
    | {"browInnerUp": 1.2, "mouthShrugLower": 0.8},
    "disgust": _both(noseSneer=1.0, browDown=0.7, mouthUpperUp=0.9, mouthFrown=0.6, eyeSquint=0.7),
    "kiss": _both(eyeBlink=0.2, browOuterUp=0.3) | {"mouthPucker": 1.2, "mouthFunnel": 0.4},
    "oh": _both(eyeWide=0.4) | {"mouthFunnel": 1.0, "jawOpen": 0.5, "browInnerUp": 0.5},
    "wink": {
        "eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.8, "mouthSmileLeft": 0.9, "mouthSmileRight": 0.5, "mouthLeft": 0.2,
        "browDownLeft": 0.4, "browOuterUpRight": 0.6,
    },
    "tongue": _both(eyeSquint=0.5, mouthSmile=0.3, browOuterUp=0.5) | {"jawOpen": 0.4, "tongueOut": 1.0},
    "puff": _both(mouthPress=0.6) | {"cheekPuff": 1.0, "browInnerUp": 0.3},
    "open": _both(mouthLowerDown=0.4) | {"jawOpen": 0.45},
    "wide": _both(mouthStretch=0.8, mouthUpperUp=0.5, mouthLowerDown=0.5) | {"jawOpen": 0.18},
    "closed": _both(eyeBlink=1.0, mouthSmile=0.3),
    "sceptic": _both(mouthPress=0.3)
    | {
        "browDownLeft": 1.0, "browOuterUpRight": 1.0, "browInnerUp": 0.3, "mouthLeft": 0.6, "mouthPressLeft": 0.6,
        "eyeSquintLeft": 0.6,
    },
    "scream": _both(eyeBlink=0.9, browDown=0.9, noseSneer=0.7, mouthStretch=0.6) | {"jawOpen": 1.0},
}  # fmt: skip

VISEMES: tuple[Weights, ...] = (
    {"jawOpen": 0.05},
    _both(mouthLowerDown=0.4) | {"jawOpen": 0.5},  # a
    _both(mouthStretch=0.7, mouthUpperUp=0.4) | {"jawOpen": 0.2},  # e
    {"jawOpen": 0.35, "mouthFunnel": 0.9},  # o
    {"jawOpen": 0.12, "mouthPucker": 0.9},  # u
    _both(mouthPress=0.6),  # m, b, p
    _both(mouthSmile=0.5) | {"jawOpen": 0.3},  # i
)


def unit_index(name: str) -> int:
    return load_asset().unit_names.index(name)


def unit_weights(named: Weights) -> Array:
    """Weights [52] from names."""
    out = np.zeros(UNITS)
    for name, weight in named.items():
        out[unit_index(name)] = weight
    return out


def mirrored(weights: Array) -> Array:
    """Left and right exchanged, [..., 52]."""
    names = load_asset().unit_names
    swap = {"Left": "Right", "Right": "Left"}
    order = [
        names.index(n[: -len(s)] + swap[s])
        if (s := next((e for e in swap if n.endswith(e)), "")) and _paired(n, s)
        else i
        for i, n in enumerate(names)
    ]
    return weights[..., order]


def _paired(name: str, side: str) -> bool:
    other = name[: -len(side)] + {"Left": "Right", "Right": "Left"}[side]
    return other in load_asset().unit_names


def _gaze(rng: np.random.Generator) -> Weights:
    """Eyes somewhere near the camera."""
    x, y = rng.normal(0, 0.35, 2)
    across = {"eyeLookOutLeft": x, "eyeLookInRight": x} if x > 0 else {"eyeLookInLeft": -x, "eyeLookOutRight": -x}
    return across | (_both(eyeLookUp=y) if y > 0 else _both(eyeLookDown=-y))


def random_expression(rng: np.random.Generator) -> Array:
    """An expression [52] at random strength and side, with a gaze and a little play."""
    name = tuple(EXPRESSIONS)[rng.integers(len(EXPRESSIONS))]
    weights = unit_weights(EXPRESSIONS[name]) * GAIN * rng.uniform(0.7, 1.1)
    if rng.random() < (0.5 if name in ("wink", "sceptic") else 0.1):
        weights = mirrored(weights)
    weights += np.abs(rng.normal(0, 0.06, UNITS)) * (rng.random(UNITS) < 0.25)
    weights += unit_weights(_gaze(rng))
    return _capped_lids(weights)


def _lids() -> list[int]:
    return [unit_index("eyeBlinkLeft"), unit_index("eyeBlinkRight")]


def _capped_lids(weights: Array) -> Array:
    weights[..., _lids()] = np.minimum(weights[..., _lids()], 1.0)
    return weights


def blink_curve(rng: np.random.Generator, frames: int, fps: float) -> Array:
    """Closing of the lids [frames], 0..1: a blink every 1.5 to 4 s, the first within 1.5 s, its peak on a frame."""
    closed, now = np.zeros(frames), rng.uniform(0.3, 1.5)
    while round(now * fps) < frames:
        closed = np.maximum(closed, 1 - np.abs(np.arange(frames) - round(now * fps)) / fps / BLINK_SECONDS)
        now += rng.uniform(1.5, 4.0)
    return closed


def blink(weights: Array, closed: Array) -> Array:
    """Face-unit weights [frames, 52] with the lids closed at least as far as `closed` [frames]."""
    out = weights.copy()
    for lid in _lids():
        out[:, lid] = np.maximum(out[:, lid], closed)
    return out


def speech_curve(rng: np.random.Generator, frames: int, fps: float) -> Array:
    """A speaking mouth [frames, 52]: five to eight visemes a second, with pauses."""
    shapes = [unit_weights(viseme) for viseme in VISEMES]
    times, spoken = [0.0], [shapes[0]]
    while times[-1] < frames / fps + 1:
        times.append(times[-1] + (rng.uniform(0.12, 0.2) if rng.random() < 0.88 else rng.uniform(0.4, 0.8)))
        spoken.append(shapes[rng.integers(len(shapes))] * rng.uniform(0.5, 1.15))
    rows, now = np.stack(spoken), np.arange(frames) / fps
    out = np.zeros((frames, UNITS))
    for unit in np.flatnonzero(rows.any(0)):
        out[:, unit] = np.interp(now, times, rows[:, unit])
    return out


def speak(weights: Array, speech: Array) -> Array:
    """Let the mouth follow `speech` [frames, 52] and keep a third of its own expression."""
    mouth = np.array([n.startswith(("mouth", "jaw", "tongue")) for n in load_asset().unit_names])
    return np.where(mouth, 0.35 * weights, weights) + speech
