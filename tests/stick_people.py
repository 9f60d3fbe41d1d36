"""Stick people with true bone lengths in space, seen by a far camera: exact answers for retargeting tests."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.head import BODY_ON_HEAD, head_model

Floats = NDArray[np.float64]
SIZE = (640, 640)


@dataclass(frozen=True)
class Body:
    """Lengths in metres; `face` are coefficients of the head model, `metre` pixels."""

    shoulders: float = 0.35
    torso: float = 0.5
    hips: float = 0.24
    upper_arm: float = 0.28
    forearm: float = 0.25
    thigh: float = 0.43
    shin: float = 0.44
    neck: float = 0.2
    head: float = 1.0
    palm: float = 0.11
    metre: float = 260.0
    face: tuple[float, ...] = field(default=())


def _turn(yaw: float) -> Floats:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _direction(angle: float, depth: float) -> Floats:
    """A unit vector: `angle` from straight down towards the picture's right, `depth` out of the picture."""
    flat = np.cos(depth)
    return np.array([np.sin(angle) * flat, np.cos(angle) * flat, np.sin(depth)])


def figure(
    body: Body, moves: Floats, place: tuple[float, float] = (320, 600), expression: tuple[float, ...] = ()
) -> Pose:
    """One pose. `moves` [10]: yaw, then angle and depth of both upper arms and both forearms, then head yaw.

    `place`: where the right foot stands, in pixels. All points are there.
    """
    yaw, head_yaw = moves[0], moves[9]
    trunk = _turn(yaw)
    points = np.zeros((130, 3))
    hip = np.zeros(3)
    neck = hip - np.array([0, body.torso, 0])
    points[1] = neck
    for side, rows, legs, k in ((-1, (2, 3, 4), (8, 9, 10), 1), (1, (5, 6, 7), (11, 12, 13), 5)):
        shoulder = neck + trunk @ np.array([side * body.shoulders / 2, 0, 0])
        elbow = shoulder + body.upper_arm * trunk @ _direction(side * moves[k], moves[k + 1])
        wrist = elbow + body.forearm * trunk @ _direction(side * moves[k + 2], moves[k + 3])
        points[list(rows)] = shoulder, elbow, wrist
        socket = hip + trunk @ np.array([side * body.hips / 2, 0, 0])
        knee = socket + body.thigh * np.array([0, 1.0, 0])
        points[list(legs)] = socket, knee, knee + body.shin * np.array([0, 1.0, 0])
        fingers = np.linspace(-0.4, 0.4, 5)[:, None, None] * [1.0, 0, 0] + np.array([0, 1.0, 0])
        bones = np.arange(1, 5)[None, :, None] * body.palm * 0.9 * fingers
        start = 39 if side < 0 else 18
        points[start] = wrist
        points[start + 1 : start + 21] = wrist + bones.reshape(20, 3)
    model = head_model()
    face = np.zeros(len(model.identity))
    face[: len(body.face)] = body.face
    mood = np.zeros(len(model.expression))
    mood[: len(expression)] = expression
    shape = model.mean + np.tensordot(face, model.identity, 1) + np.tensordot(mood, model.expression, 1)
    head = neck - np.array([0, body.neck, 0]) + body.head * shape @ _turn(head_yaw).T
    points[60:] = head[:70]
    for joint, point in BODY_ON_HEAD.items():
        points[joint] = head[point]
    pixels = points[:, :2] * body.metre
    pixels += np.array(place) - pixels[10]
    return Pose.from_stacked(np.concatenate([pixels, np.ones((130, 1))], axis=1).astype(np.float32))


def wandering(frames: int, seed: int = 0, depth: float = 0.9) -> Floats:
    """Smooth random `moves` [frames, 10], each at rest now and then."""
    rng = np.random.default_rng(seed)
    phase, pace = rng.uniform(0, 6, 10), rng.uniform(0.5, 1.5, 10)
    swing = np.sin(np.arange(frames)[:, None] * 0.35 * pace + phase)
    middle = np.array([0, 0.6, 0, 1.2, 0, 0.6, 0, 1.2, 0, 0])
    reach = np.array([0.3, 0.5, depth, 0.8, depth, 0.5, depth, 0.8, depth, 0.4])
    return middle + reach * swing


def clip(body: Body, moves: Floats, place: tuple[float, float] = (320, 600), fps: float = 25.0) -> PoseTrack:
    return PoseTrack(tuple(figure(body, row, place) for row in moves), SIZE, fps)


def without(pose: Pose, rows: list[int] | range) -> Pose:
    """The pose with these of its 130 points absent."""
    points = pose.stacked().copy()
    points[list(rows)] = 0
    return Pose.from_stacked(points)
