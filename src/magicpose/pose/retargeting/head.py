"""Whose face, turned how, with what expression: a small statistical 3-D head fitted to 2-D landmarks.

Model (weights/head/head_model.npz, made by runs/head_model.py): X = mean + identity . a + expression . b, 72 points
(70 face landmarks, right ear, left ear) in metres about the joint of head and neck; x right, y down, z away.
A picture shows s R X + o, without its depth. Identity is one per clip, expression, turn, size and place one
per frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import Points

Floats = NDArray[np.float64]
EARS = (16, 17)  # of the body, model points 70 and 71
BODY_ON_HEAD = {0: 30, 14: 68, 15: 69, 16: 70, 17: 71}  # body point -> model point
FEWEST_POINTS = 30  # face landmarks without which a head is not fitted
_NOISE_M = 0.002  # what landmarks are off by beyond the model
_ROUNDS = 12
_MOST_FRAMES = 48  # enough to know an identity


@dataclass(frozen=True)
class HeadModel:
    """`mean` [72, 3], `identity` [a, 72, 3], `expression` [b, 72, 3]."""

    mean: Floats
    identity: Floats
    expression: Floats


@dataclass(frozen=True)
class HeadFit:
    """What was found in T frames; rows that are not `valid` [T] mean nothing.

    `identity` [a]; `expression` [T, b]; `rotation` [T, 3, 3]; `scale` [T] in pixels per metre; `origin` [T, 2] in
    pixels; `rest` [72, 3]: what the model cannot express, in metres and the head's own axes, seen from the front.
    """

    identity: Floats
    expression: Floats
    rotation: Floats
    scale: Floats
    origin: Floats
    valid: NDArray[np.bool_]
    rest: Floats

    def neutral(self) -> Floats:
        """The person's face without expression [72, 3]."""
        return head_model().mean + np.tensordot(self.identity, head_model().identity, 1) + self.rest

    def place(self, shape: Floats) -> Floats:
        """Shapes [T, 72, 3] or [72, 3] as each frame shows them: [T, 72, 2]."""
        turned = shape @ self.rotation[:, :2].transpose(0, 2, 1)
        return turned * self.scale[:, None, None] + self.origin[:, None]


@cache
def head_model() -> HeadModel:
    """The model that ships with the package."""
    path = files("magicpose") / "weights/head/head_model.npz"
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
        return HeadModel(*(data[name].astype(float) for name in ("mean", "identity", "expression")))


def head_points(points: Points | Floats) -> Floats:
    """The 72 points of the model from [T, 130, 3]: face and ears."""
    return np.concatenate([points[:, 60:], points[:, EARS]], axis=1).astype(float)


def _orthonormal(matrix: Floats) -> Floats:
    """The nearest rotations to [T, 3, 3]."""
    u, _, vt = np.linalg.svd(matrix)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    return u @ vt


def _pose(seen: Floats, weight: Floats, shape: Floats, rotation: Floats) -> tuple[Floats, Floats, Floats]:
    """Better (rotation, scale, origin) for shapes [T, 72, 3] seen at [T, 72, 2].

    Procrustes in space, the depth that a picture lacks taken from the last rotation.
    """
    w = (weight / weight.sum(1, keepdims=True))[..., None]
    centre3, centre2 = (w * shape).sum(1), (w * seen).sum(1)
    model, flat = shape - centre3[:, None], seen - centre2[:, None]
    for _ in range(3):
        turned = model @ rotation.transpose(0, 2, 1)
        scale = _scale(w, flat, turned)
        deep = np.concatenate([flat / scale[:, None, None], turned[..., 2:]], axis=2)
        rotation = _orthonormal((w * deep).transpose(0, 2, 1) @ model)
    scale = _scale(w, flat, model @ rotation.transpose(0, 2, 1))
    return rotation, scale, centre2 - scale[:, None] * (rotation[:, :2] @ centre3[..., None])[..., 0]


def _scale(w: Floats, flat: Floats, turned: Floats) -> Floats:
    """Pixels per metre [T]."""
    return np.maximum((w * flat * turned[..., :2]).sum((1, 2)) / (w * turned[..., :2] ** 2).sum((1, 2)), 1e-6)


def _rows(directions: Floats, rotation: Floats, weight: Floats) -> Floats:
    """How coefficients move the picture, in units of the noise: [k, 72, 3] -> [T, 144, k]."""
    frames, count = len(rotation), len(directions)
    across = rotation[:, :2].reshape(-1, 3) @ directions.transpose(2, 1, 0).reshape(3, -1)
    rows = across.reshape(frames, 2, -1, count) * (np.sqrt(weight) / _NOISE_M)[:, None, :, None]
    return rows.reshape(frames, -1, count)


def _solve(normal: Floats, right: Floats) -> Floats:
    """The ridge solution under the prior N(0, 1): [..., k, k] and [..., k] -> [..., k]."""
    return np.linalg.solve(normal + np.eye(normal.shape[-1]), right[..., None])[..., 0].astype(float)


def _identity(by_a: Floats, by_b: Floats, left: Floats) -> Floats:
    """The one identity [a] of rows [T, 144, a], each frame's expression (rows [T, 144, b]) eliminated (Schur)."""
    turned = by_b.transpose(0, 2, 1)
    cross = turned @ by_a
    gain = np.linalg.solve(turned @ by_b + np.eye(by_b.shape[2]), cross).transpose(0, 2, 1)
    matrix = (by_a.transpose(0, 2, 1) @ by_a - gain @ cross).sum(0)
    right = (by_a.transpose(0, 2, 1) @ left[..., None] - gain @ (turned @ left[..., None])).sum(0)[:, 0]
    return _solve(matrix, right)


def _fit(points: Floats, identity: Floats | None) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """(identity, expression, rotation, scale, origin) of frames [T, 72, 3]; a given identity is kept."""
    model, frames = head_model(), len(points)
    weight, seen = (points[..., 2] > 0).astype(float), points[..., :2]
    a = np.zeros(len(model.identity)) if identity is None else identity
    b = np.zeros((frames, len(model.expression)))
    rotation = np.tile(np.eye(3), (frames, 1, 1))
    for _ in range(_ROUNDS):
        person = model.mean + np.tensordot(a, model.identity, 1)
        rotation, scale, origin = _pose(seen, weight, person + np.tensordot(b, model.expression, 1), rotation)
        base = model.mean if identity is None else person
        metres = (seen - origin[:, None]) / scale[:, None, None] - base @ rotation[:, :2].transpose(0, 2, 1)
        left = (metres.transpose(0, 2, 1) * (np.sqrt(weight) / _NOISE_M)[:, None]).reshape(frames, -1)
        by_b = _rows(model.expression, rotation, weight)
        if identity is None:
            by_a = _rows(model.identity, rotation, weight)
            a = _identity(by_a, by_b, left)
            left = left - by_a @ a
        turned = by_b.transpose(0, 2, 1)
        b = _solve(turned @ by_b, (turned @ left[..., None])[..., 0])
    return a, b, rotation, scale, origin


def fit_heads(points: Points) -> HeadFit:
    """The head in frames [T, 130, 3]; frames with fewer than 30 face landmarks are not valid."""
    model, frames = head_model(), len(points)
    every = head_points(points)
    valid = (every[:, :70, 2] > 0).sum(1) >= FEWEST_POINTS
    blank = HeadFit(
        np.zeros(len(model.identity)), np.zeros((frames, len(model.expression))), np.tile(np.eye(3), (frames, 1, 1)),
        np.ones(frames), np.zeros((frames, 2)), valid, np.zeros((72, 3)),
    )  # fmt: skip
    chosen = np.flatnonzero(valid)
    if not len(chosen):
        return blank
    few = chosen[:: -(-len(chosen) // _MOST_FRAMES)]
    identity = _fit(every[few], None)[0]
    _, expression, rotation, scale, origin = _fit(every[chosen], identity)
    for store, found in zip(
        (blank.expression, blank.rotation, blank.scale, blank.origin), (expression, rotation, scale, origin)
    ):
        store[chosen] = found
    shape = blank.neutral() + np.tensordot(expression, model.expression, 1) + np.tensordot(identity, model.identity, 1)
    fit = HeadFit(identity, blank.expression, blank.rotation, blank.scale, blank.origin, valid, blank.rest)
    shown = np.zeros((frames, 72, 3))
    shown[chosen] = shape
    error = (every[..., :2] - fit.place(shown)) / fit.scale[:, None, None]
    there = (every[..., 2] > 0) & valid[:, None]
    unturned = (error @ fit.rotation[:, :2]) * there[..., None]
    rest = unturned.sum(0) / np.maximum(there.sum(0), 1)[:, None]
    return HeadFit(identity, fit.expression, fit.rotation, fit.scale, fit.origin, valid, rest)
