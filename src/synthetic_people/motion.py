"""What a person does in a clip: body key poses eased into each other, a beat, blinks and speech."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthetic_people import proto_pose as key_poses
from synthetic_people.proto_people import asset

MotionStyle = Literal["dance", "gesture", "talk"]

# How much of the free body movement is left when the camera is close, so that the head stays in the picture.
CALM = {"full": 1.0, "knee": 1.0, "half": 0.8, "bust": 0.6, "head": 0.4, "face": 0.25}

# seconds a key pose lasts (from, to); share of the prototype's spine and yaw movement; beat amplitude
TEMPO = {"dance": (0.4, 0.9, 1.0, 1.0), "gesture": (0.6, 1.3, 0.7, 0.35), "talk": (0.8, 1.8, 0.5, 0.2)}
TALK_ARMS = ("hang", "hang", "hang_out", "hip", "chest", "pray", "shrug", "cup", "stop", "thumb")

VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.05},
    {"jawOpen": 0.5, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4},
    {"jawOpen": 0.2, "mouthStretchLeft": 0.7, "mouthStretchRight": 0.7, "mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4},
    {"jawOpen": 0.35, "mouthFunnel": 0.9},
    {"jawOpen": 0.12, "mouthPucker": 0.9},
    {"mouthPressLeft": 0.6, "mouthPressRight": 0.6},
    {"jawOpen": 0.3, "mouthSmileLeft": 0.5, "mouthSmileRight": 0.5},
)


def _unit(name: str) -> int:
    return int(asset().fa_names.index(name))


def blink_curve(rng: np.random.Generator, frames: int, fps: float) -> NDArray[np.float64]:
    """Lid closing [frames] in 0..1: a blink every 1.5 to 4 s, the first within 1.5 s, its peak on a frame."""
    lid = np.zeros(frames)
    t = rng.uniform(0.3, 1.5)
    while t * fps < frames - 1:
        peak = round(t * fps)
        lid = np.maximum(lid, 1 - np.abs(np.arange(frames) - peak) / fps / 0.15)
        t += rng.uniform(1.5, 4.0)
    return np.clip(lid, 0, 1)


def speech_curve(rng: np.random.Generator, frames: int, fps: float) -> NDArray[np.float64]:
    """Face-unit weights [frames, 52] of a mouth that speaks: visemes 5-8 a second, with pauses."""
    out = np.zeros((frames, 52))
    shapes = np.zeros((len(VISEMES), 52))
    for row, viseme in zip(shapes, VISEMES):
        for name, weight in viseme.items():
            row[_unit(name)] = weight
    t, times, rows = 0.0, [0.0], [shapes[0]]
    while t < frames / fps + 1:
        t += rng.uniform(0.12, 0.2) if rng.random() < 0.88 else rng.uniform(0.4, 0.8)
        times.append(t)
        rows.append(shapes[rng.integers(len(shapes))] * rng.uniform(0.5, 1.15))
    stacked = np.stack(rows)
    now = np.arange(frames) / fps
    for unit in np.flatnonzero(stacked.any(0)):
        out[:, unit] = np.interp(now, times, stacked[:, unit])
    return out


def _key_pose(rng: np.random.Generator, style: str, framing: str) -> dict[str, Any]:
    calm, moving = CALM[framing], TEMPO[style][2]
    pose = key_poses.rand_pose(rng, style == "dance" and framing in ("full", "knee"))
    if style == "talk":
        for side in "LR":
            pose[side] = key_poses.rand_arm(rng, TALK_ARMS[rng.integers(len(TALK_ARMS))])
    limit = 0.6 if framing in ("half", "bust", "head", "face") else 1.1
    pose["yaw"] = float(np.clip(pose["yaw"] * (0.4 + 0.6 * moving), -limit, limit))
    pose["shift"] *= calm * moving
    for name in ("spine", "pelvis"):
        pose[name] = pose[name] * calm * moving
    pose["head"] = pose["head"] * (0.5 + 0.5 * calm)
    return pose


def motion(
    rng: np.random.Generator, frames: int, fps: float, framing: str, style: str
) -> list[tuple[dict[str, Any], NDArray[np.float64]]]:
    """(pose, face-unit weights [52]) per frame."""
    low, high, _, beat = TEMPO[style]
    calm = CALM[framing]
    a, b = _key_pose(rng, style, framing), _key_pose(rng, style, framing)
    face_a, face_b = key_poses.expression(rng)[0], key_poses.expression(rng)[0]
    t, span = 0.0, rng.uniform(low, high)
    tempo, phase = rng.uniform(1.6, 2.4), rng.uniform(0, 2 * np.pi)
    speaks = style == "talk" or (style == "gesture" and rng.random() < 0.6)
    lid = blink_curve(rng, frames, fps)
    speech = speech_curve(rng, frames, fps) if speaks else np.zeros((frames, 52))
    mouth = np.array([n.startswith(("mouth", "jaw", "tongue")) for n in asset().fa_names])
    lids = [_unit("eyeBlinkLeft"), _unit("eyeBlinkRight")]
    out = []
    for i in range(frames):
        u = min(1.0, t / span)
        pose = key_poses.lerp_pose(a, b, u)
        w = u * u * (3 - 2 * u)
        s = np.pi * tempo * i / fps + phase
        sway = beat * calm
        pose["spine"] = pose["spine"] + sway * np.array([0.03 * np.sin(2 * s), 0.06 * np.sin(s), 0.05 * np.sin(s)])
        pose["pelvis"] = pose["pelvis"] + sway * np.array([0, 0.05 * np.sin(s + 1), 0.05 * np.sin(s)])
        pose["head"] = pose["head"] + np.array([0.05 * np.sin(1.7 * s) * (1 if speaks else 0.3), 0, 0.03 * np.sin(0.9 * s)])
        pose["shift"] = pose["shift"] + 0.03 * sway * np.sin(s)
        face = face_a * (1 - w) + face_b * w
        if speaks:
            face = np.where(mouth, 0.35 * face, face) + speech[i]
        face[lids] = np.maximum(face[lids], lid[i])
        out.append((pose, face))
        t += 1 / fps
        if t >= span:
            a, b = b, _key_pose(rng, style, framing)
            face_a, face_b = face_b, key_poses.expression(rng)[0]
            t, span = t - span, rng.uniform(low, high)
    return out
