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
        turned = np.einsum("tij,...nj->t...ni" if shape.ndim == 2 else "tij,tnj->tni", self.rotation[:, :2], shape)
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
    w = weight / weight.sum(1, keepdims=True)
    centre3 = np.einsum("tn,tni->ti", w, shape)
    centre2 = np.einsum("tn,tni->ti", w, seen)
    model = shape - centre3[:, None]
    flat = seen - centre2[:, None]
    for _ in range(3):
        turned = np.einsum("tij,tnj->tni", rotation, model)
        scale = np.einsum("tn,tni,tni->t", w, flat, turned[..., :2]) / np.einsum("tn,tni->t", w, turned[..., :2] ** 2)
        scale = np.maximum(scale, 1e-6)
        deep = np.concatenate([flat / scale[:, None, None], turned[..., 2:]], axis=2)
        rotation = _orthonormal(np.einsum("tn,tni,tnj->tij", w, deep, model))
    turned = np.einsum("tij,tnj->tni", rotation[:, :2], model)
    scale = np.einsum("tn,tni,tni->t", w, flat, turned) / np.einsum("tn,tni->t", w, turned**2)
    return rotation, scale, centre2 - scale[:, None] * np.einsum("tij,tj->ti", rotation[:, :2], centre3)


def _rows(directions: Floats, rotation: Floats, weight: Floats) -> Floats:
    """How coefficients move the picture, in units of the noise: [k, 72, 3] -> [T, 144, k]."""
    seen = np.einsum("tij,knj->tnik", rotation[:, :2], directions) * np.sqrt(weight)[..., None, None]
    return seen.reshape(len(rotation), -1, len(directions)) / _NOISE_M


def _expressions(rows: Floats, left: Floats) -> Floats:
    """Ridge solution [T, b] of rows [T, 144, b] for what is left [T, 144], prior N(0, 1)."""
    normal = np.einsum("tnk,tnl->tkl", rows, rows) + np.eye(rows.shape[2])
    return np.linalg.solve(normal, np.einsum("tnk,tn->tk", rows, left)[..., None])[..., 0]


def _fit(points: Floats, identity: Floats | None) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """(identity, expression, rotation, scale, origin) of frames [T, 72, 3]; a given identity is kept."""
    model = head_model()
    weight, seen = (points[..., 2] > 0).astype(float), points[..., :2]
    a = np.zeros(len(model.identity)) if identity is None else identity
    b = np.zeros((len(points), len(model.expression)))
    rotation = np.tile(np.eye(3), (len(points), 1, 1))
    for _ in range(_ROUNDS):
        base = model.mean + np.tensordot(a, model.identity, 1)
        shape = base + np.tensordot(b, model.expression, 1)
        rotation, scale, origin = _pose(seen, weight, shape, rotation)
        metres = (seen - origin[:, None]) / scale[:, None, None]
        flat = np.einsum("tij,nj->tni", rotation[:, :2], model.mean)
        left = ((metres - flat) * np.sqrt(weight)[..., None]).reshape(len(points), -1) / _NOISE_M
        by_a, by_b = _rows(model.identity, rotation, weight), _rows(model.expression, rotation, weight)
        if identity is None:  # expressions eliminated (Schur complement), then the one identity
            normal = np.einsum("tnk,tnl->tkl", by_b, by_b) + np.eye(b.shape[1])
            cross = np.einsum("tnk,tnl->tkl", by_b, by_a)
            gain = np.linalg.solve(normal, cross)
            matrix = np.einsum("tnk,tnl->kl", by_a, by_a) - np.einsum("tkl,tkm->lm", cross, gain) + np.eye(len(a))
            right = np.einsum("tnk,tn->k", by_a, left) - np.einsum("tkl,tnk,tn->l", gain, by_b, left)
            a = np.linalg.solve(matrix, right)
        b = _expressions(by_b, left - by_a @ a)
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
    unturned = np.einsum("tij,tni->tnj", fit.rotation[:, :2], error) * there[..., None]
    rest = unturned.sum(0) / np.maximum(there.sum(0), 1)[:, None]
    return HeadFit(identity, fit.expression, fit.rotation, fit.scale, fit.origin, valid, rest)
