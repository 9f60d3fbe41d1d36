"""Key poses: where arms, legs, hands, spine and head go, as data; and random poses from them.

Limbs are given as directions, for the left side: x outwards, y backwards, z up, in the frame of the chest (arms) or
of the pelvis' heading (legs). The right side is their mirror image. `rig` turns them into bone rotations that fit
anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.geometry import unit

Direction = tuple[float, float, float]
FREE: Direction = (0.0, 0.0, 0.0)  # no wish for the palm


class Arm(NamedTuple):
    upper: Direction
    lower: Direction
    palm: Direction  # normal of the palm
    hands: tuple[str, ...]
    weight: float  # frequency where the whole body is seen
    near: float  # and in closer framings


ARMS = {
    "hang": Arm((0.16, 0.02, -1), (0.10, -0.22, -1), (-1, 0, 0), ("relax", "relax", "open", "fist"), 1.6, 1),
    "hang out": Arm((0.42, 0.02, -0.9), (0.40, -0.25, -0.85), FREE, ("relax", "open"), 0.8, 1),
    "hip": Arm((0.72, 0.22, -0.72), (-0.62, -0.42, -0.5), FREE, ("fist", "relax"), 1.2, 1),
    "wave": Arm((0.80, -0.15, -0.5), (0.35, -0.35, 1), (0, -1, 0), ("open", "open", "relax", "peace"), 1, 1),
    "up": Arm((0.42, -0.12, 1), (0.12, -0.12, 1), (0, -1, 0), ("open", "fist", "point", "rock"), 1, 0.1),
    "up wide": Arm((0.75, -0.05, 0.8), (0.65, -0.1, 0.9), (0, -1, 0), ("open", "fist", "peace"), 0.8, 0.1),
    "spread": Arm((1, -0.05, 0.05), (1, -0.15, 0.05), (0, -0.3, -1), ("open", "relax", "point"), 0.7, 0.1),
    "low out": Arm((0.75, 0, -0.6), (0.85, -0.2, -0.35), (0, -1, 0), ("open", "relax"), 0.9, 0.1),
    "flex": Arm((0.95, -0.1, 0.1), (-0.15, -0.15, 1), (-0.6, 0, 0), ("fist",), 0.6, 0.1),
    "goal": Arm((1, -0.1, 0), (0.15, -0.2, 1), (0, -1, 0), ("open", "point", "fist"), 0.8, 1),
    "forward": Arm((0.25, -1, -0.25), (0.05, -1, 0.0), (0, 0, -1), ("open", "point", "fist", "thumb"), 0.7, 0.1),
    "thumb": Arm((0.35, -0.35, -0.9), (-0.1, -1, 0.30), (-1, 0, 0), ("thumb", "point", "ok"), 0.9, 1),
    "chest": Arm((0.42, -0.25, -0.85), (-0.75, -0.6, 0.3), (0.2, 1, 0), ("open", "fist", "relax"), 0.9, 1),
    "chin": Arm((0.30, -0.62, -0.7), (-0.32, -0.25, 1), (0, 0.6, -0.3), ("fist", "point", "relax"), 0.9, 1),
    "sign": Arm((0.55, -0.55, -0.55), (-0.05, -0.1, 1), (0, -1, 0), ("peace", "ok", "open", "love", "rock"), 1.3, 2),
    "head": Arm((0.85, -0.15, 0.55), (-0.75, 0.05, 0.45), FREE, ("open", "relax"), 0.5, 1),
    "salute": Arm((0.95, -0.35, 0.2), (-0.75, -0.25, 0.55), (0, -0.6, -1), ("open",), 0.5, 1),
    "heart": Arm((0.50, -0.4, 0.75), (-0.62, -0.1, 0.75), (0, -0.3, -1), ("claw", "relax"), 0.6, 1),
    "pray": Arm((0.35, -0.45, -0.85), (-0.48, -0.75, 0.5), (-1, 0, 0), ("open",), 0.7, 1),
    "point up": Arm((0.6, -0.3, 0.2), (0.15, -0.25, 1), (0, -1, 0), ("point",), 0.8, 1),
    "point aside": Arm((0.95, -0.2, 0.15), (0.95, -0.3, 0.2), (0, -0.4, -1), ("point", "thumb"), 0.6, 0.1),
    "crossed": Arm((0.35, -0.4, -0.85), (-0.95, -0.35, 0.12), (0.2, 1, -0.2), ("relax", "fist"), 0.6, 1),
    "punch up": Arm((0.5, -0.2, 0.9), (0.0, -0.1, 1), (-1, 0, 0), ("fist",), 0.5, 0.1),
    "shrug": Arm((0.45, -0.05, -0.85), (0.75, -0.65, 0.15), (0, -0.3, 1), ("open", "relax"), 0.7, 1),
    "stop": Arm((0.35, -0.75, -0.25), (0.1, -0.75, 0.65), (0, -1, 0.1), ("open",), 0.6, 1),
    "run": Arm((0.3, 0.6, -0.8), (0.1, -0.85, -0.3), (-1, 0, 0), ("fist",), 0.6, 0.1),
    "cup": Arm((0.45, -0.5, -0.6), (-0.15, -0.35, 1), (-0.5, 0.2, 0), ("open", "claw"), 0.7, 1),
}
TALKING_ARMS = ("hang", "hang", "hang out", "hip", "chest", "pray", "shrug", "cup", "stop", "thumb")

# directions of thigh and shin
LEGS: dict[str, tuple[Direction, Direction]] = {
    "stand": ((0.06, 0, -1), (0.04, 0.02, -1)),
    "wide": ((0.25, 0, -1), (0.17, 0.03, -1)),
    "knee": ((0.12, -0.55, -0.9), (0.05, 0.3, -1)),
    "lift": ((0.18, -0.95, -0.25), (0.05, 0.25, -1)),
    "step": ((0.08, -0.3, -1), (0.06, 0.08, -1)),
    "back": ((0.06, 0.22, -1), (0.04, 0.55, -0.9)),
    "lunge": ((0.45, -0.35, -0.8), (0.12, 0.15, -1)),
    "kick": ((0.25, -0.8, -0.45), (0.2, -0.75, -0.5)),
    "squat": ((0.42, -0.62, -0.6), (0.05, 0.35, -1)),
}

# curl of thumb, index, middle, ring and little finger (0 straight .. 1 bent), spread
HANDS: dict[str, tuple[float, float, float, float, float, float]] = {
    "open": (0.05, 0.02, 0.02, 0.02, 0.04, 0.9),
    "relax": (0.3, 0.22, 0.30, 0.36, 0.42, 0.2),
    "fist": (0.85, 1, 1, 1, 1, 0),
    "point": (0.8, 0.0, 1, 1, 1, 0),
    "peace": (0.85, 0, 0, 1, 1, 1.4),
    "thumb": (-0.25, 1, 1, 1, 1, 0),
    "rock": (0.8, 0, 1, 1, 0, 0.6),
    "love": (-0.1, 0, 1, 1, 0, 0.7),
    "ok": (0.55, 0.62, 0.1, 0.05, 0.02, 0.8),
    "claw": (0.35, 0.5, 0.5, 0.5, 0.5, 0.8),
    "three": (0.85, 0, 0, 0, 1, 0.8),
    "four": (0.9, 0, 0, 0, 0, 0.7),
}

# where a limb passes on its way between opposite directions: out and forwards
DETOUR = {"upper": (0.8, -0.6, 0.0), "lower": (0.5, -0.85, 0.1), "thigh": (0.2, -0.9, -0.4), "shin": (0.2, -0.5, -0.8)}


@dataclass(frozen=True)
class Poses:
    """N poses; the sides are left, right. Angles in radians, turns as rotation vectors."""

    upper: Array  # [N, 2, 3] direction of the upper arms
    lower: Array  # [N, 2, 3] of the forearms
    palm: Array  # [N, 2, 3] wished normal of the palm, shorter = weaker wish
    roll: Array  # [N, 2] of the forearm where there is no wish
    wrist: Array  # [N, 2, 2] bend, sideways
    hand: Array  # [N, 2, 6] five curls, spread
    thigh: Array  # [N, 2, 3]
    shin: Array  # [N, 2, 3]
    yaw: Array  # [N] heading of the body
    pelvis: Array  # [N, 3] turn
    spine: Array  # [N, 3] turn from pelvis to chest
    head: Array  # [N, 3] turn from chest to head
    shift: Array  # [N] metres to the person's left

    def __len__(self) -> int:
        return len(self.yaw)

    def between(self, first: Array, second: Array, weight: Array) -> Poses:
        """For each entry the blend of two of the poses; weight 0 is the first."""
        blended = {}
        for entry in fields(self):
            values = getattr(self, entry.name)
            w = weight.reshape(-1, *[1] * (values.ndim - 1))
            mixed = values[first] * (1 - w) + values[second] * w
            if entry.name in DETOUR:  # opposite directions cancel: go round instead of flipping
                short = 1 - np.linalg.norm(mixed, axis=-1, keepdims=True)
                mixed = unit(mixed + short.clip(0) * np.array(DETOUR[entry.name]))
            blended[entry.name] = mixed
        return Poses(**blended)


def stack_poses(rows: list[dict[str, Array]]) -> Poses:
    """Poses from single ones, each a dict of the fields without the first axis."""
    return Poses(**{entry.name: np.stack([row[entry.name] for row in rows]) for entry in fields(Poses)})


def random_hand(rng: np.random.Generator, name: str | None = None) -> Array:
    """[6]: a hand shape, loosely kept."""
    *curls, spread = HANDS[name or tuple(HANDS)[rng.integers(len(HANDS))]]
    loose = np.clip(np.array(curls) + rng.normal(0, 0.06, 5), -0.3, 1.02)
    return np.append(loose, spread * rng.uniform(0.5, 1.2))


def random_arm(rng: np.random.Generator, name: str) -> dict[str, Array]:
    """One arm loosely in key pose `name`."""
    key = ARMS[name]
    palm = np.zeros(3) if key.palm == FREE else unit(unit(np.array(key.palm)) + rng.normal(0, 0.15, 3))
    return {
        "upper": unit(unit(np.array(key.upper)) + rng.normal(0, 0.12, 3)),
        "lower": unit(unit(np.array(key.lower)) + rng.normal(0, 0.12, 3)),
        "palm": palm,
        "roll": np.array(rng.normal(0, 0.25)),
        "wrist": rng.normal(0, 0.15, 2),
        "hand": random_hand(rng, key.hands[rng.integers(len(key.hands))] if rng.random() < 0.8 else None),
    }


def random_leg(rng: np.random.Generator, name: str) -> dict[str, Array]:
    thigh, shin = LEGS[name]
    return {
        "thigh": unit(unit(np.array(thigh)) + rng.normal(0, 0.05, 3)),
        "shin": unit(unit(np.array(shin)) + rng.normal(0, 0.05, 3)),
    }


def _leg_names(rng: np.random.Generator, free: bool) -> tuple[str, str]:
    if not free or rng.random() < 0.6:
        left = right = ("stand", "wide", "stand", "stand")[rng.integers(4)]
    else:
        left = tuple(LEGS)[rng.integers(len(LEGS))]
        right = "squat" if left == "squat" else ("stand", "wide", "step")[rng.integers(3)]
    return (left, right) if rng.random() < 0.5 else (right, left)


def _arm_name(rng: np.random.Generator, near: bool) -> str:
    weights = np.array([arm.near if near else arm.weight for arm in ARMS.values()])
    return tuple(ARMS)[rng.choice(len(ARMS), p=weights / weights.sum())]


def random_pose(rng: np.random.Generator, near: bool, talking: bool = False) -> dict[str, Array]:
    """A key pose, fields of `Poses` without the first axis. `near`: legs still, arms in the picture."""
    if talking:
        names = [TALKING_ARMS[i] for i in rng.integers(len(TALKING_ARMS), size=2)]
    else:
        names = [_arm_name(rng, near), _arm_name(rng, near)]
    if rng.random() < 0.3:
        names[1] = names[0]
    sides = [random_arm(rng, arm) | random_leg(rng, leg) for arm, leg in zip(names, _leg_names(rng, free=not near))]
    limbs = {name: np.stack([side[name] for side in sides]) for name in sides[0]}
    turned = rng.normal(0, 0.35) if rng.random() < 0.8 else rng.uniform(-1.3, 1.3)
    return limbs | {
        "yaw": np.array(turned),
        "pelvis": rng.normal(0, 0.07, 3),
        "spine": rng.normal(0, 1, 3) * [0.10, 0.10, 0.18],
        "head": np.clip(rng.normal(0, 1, 3) * [0.14, 0.13, 0.32], -0.6, 0.6),
        "shift": np.array(rng.normal(0, 0.06)),
    }
