"""What a person does in a clip: key poses eased into each other, a beat, blinks and speech."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from synthetic_people import expression
from synthetic_people.asset import Array
from synthetic_people.pose import Poses, random_pose, stack_poses
from synthetic_people.seeds import Stream, generator

Framing = Literal["full", "knee", "half", "bust", "head", "face"]

# how much free movement is left when the camera comes closer
CALM: dict[Framing, float] = {"full": 1.0, "knee": 1.0, "half": 0.8, "bust": 0.6, "head": 0.4, "face": 0.25}


class Manner(NamedTuple):
    """How somebody moves."""

    share: float  # frequency
    hold: tuple[float, float]  # seconds from one key pose to the next
    swing: float  # share of the key poses' turns of trunk and body
    beat: float  # strength of bounce and sway
    speaks: float  # probability


MANNERS = {
    "dance": Manner(0.45, (0.4, 0.9), 1.0, 1.0, 0.0),
    "gesture": Manner(0.3, (0.6, 1.3), 0.7, 0.35, 0.6),
    "talk": Manner(0.25, (0.8, 1.8), 0.5, 0.2, 1.0),
}


@dataclass(frozen=True)
class Motion:
    """`poses` of N frames and the face-unit weights [N, 52] beside them."""

    manner: str
    poses: Poses
    face: Array


def _key_pose(rng: np.random.Generator, manner: str, framing: Framing) -> dict[str, Array]:
    calm, swing = CALM[framing], MANNERS[manner].swing
    close = framing not in ("full", "knee")
    pose = random_pose(rng, near=close or manner != "dance", talking=manner == "talk")
    limit = 0.6 if close else 1.1
    pose["yaw"] = np.clip(pose["yaw"] * (0.4 + 0.6 * swing), -limit, limit)
    for name in ("shift", "spine", "pelvis"):
        pose[name] = pose[name] * calm * swing
    pose["head"] = pose["head"] * (0.5 + 0.5 * calm)
    return pose


def _ease(t: Array) -> Array:
    return t * t * (3 - 2 * t)


def _sway(poses: Poses, time: Array, strength: float, nod: float, rng: np.random.Generator) -> Poses:
    """Bounce and sway on a beat [N seconds], and the small nods of somebody who speaks."""
    s = np.pi * rng.uniform(1.6, 2.4) * time + rng.uniform(0, 2 * np.pi)
    zero, sin = np.zeros_like(s), np.sin(s)
    spine = strength * np.stack([0.03 * np.sin(2 * s), 0.06 * sin, 0.05 * sin], -1)
    pelvis = strength * np.stack([zero, 0.05 * np.sin(s + 1), 0.05 * sin], -1)
    head = np.stack([0.05 * nod * np.sin(1.7 * s), zero, 0.03 * np.sin(0.9 * s)], -1)
    return replace(
        poses,
        spine=poses.spine + spine,
        pelvis=poses.pelvis + pelvis,
        head=poses.head + head,
        shift=poses.shift + 0.03 * strength * sin,
    )


def make_motion(seed: int, frames: int, fps: float, framing: Framing) -> Motion:
    """The motion of a seed, sampled at `fps`; longer clips begin like shorter ones."""
    rng, rng_pose, rng_face = (generator(seed, s) for s in (Stream.MOTION, Stream.POSE, Stream.EXPRESSION))
    manner = tuple(MANNERS)[rng.choice(len(MANNERS), p=[row.share for row in MANNERS.values()])]
    row = MANNERS[manner]
    speaks = rng.random() < row.speaks
    time = np.arange(frames) / fps
    starts, keys, faces = [0.0], [_key_pose(rng_pose, manner, framing)], [expression.random_expression(rng_face)]
    while starts[-1] <= time[-1]:
        starts.append(starts[-1] + rng_pose.uniform(*row.hold))
        keys.append(_key_pose(rng_pose, manner, framing))
        faces.append(expression.random_expression(rng_face))
    edges = np.array(starts)
    before = np.searchsorted(edges, time, side="right") - 1
    weight = _ease((time - edges[before]) / np.diff(edges)[before])
    poses = stack_poses(keys).between(before, before + 1, weight)
    poses = _sway(poses, time, row.beat * CALM[framing], 1.0 if speaks else 0.3, rng)
    shown = np.stack(faces)
    face = shown[before] * (1 - weight[:, None]) + shown[before + 1] * weight[:, None]
    if speaks:
        face = expression.speak(face, expression.speech_curve(generator(seed, Stream.SPEECH), frames, fps))
    return Motion(manner, poses, expression.blink(face, expression.blink_curve(rng, frames, fps)))
