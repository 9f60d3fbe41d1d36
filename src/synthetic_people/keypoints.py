"""Exact keypoints of a drawn frame: 18 body, 2 x 21 hand, 70 face, with the visibility a detector would report."""

from __future__ import annotations

import numpy as np

from synthetic_people import kernels
from synthetic_people.asset import LEFT_EAR, LEFT_PUPIL, NOSE_TIP, RIGHT_EAR, RIGHT_PUPIL, Array, load_asset
from synthetic_people.kernels import Camera
from synthetic_people.render import SAMPLES, Renderer
from synthetic_people.rig import FINGERS, Rig

# metres a point may lie behind what is drawn there and still count as seen: detectors see through hair, sleeves
# and flat palms, but not through a body
BODY_DEPTH, HAND_DEPTH, FACE_DEPTH = 0.45, 0.12, 0.03
FACE = slice(60, 130)
NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_SIDE, LEFT_SIDE = 0, 14, 15, 16, 17  # body rows on the head
ARM, LEG = ("upperarm01", "lowerarm01", "wrist"), ("upperleg01", "lowerleg01", "foot")


def joints(rig: Rig, world: Array) -> Array:
    """Body (its head rows still empty) and hands in the world, [N, 60, 3]; `world` [N, J, 3, 4]."""

    def at(bone: str, side: str) -> Array:
        return rig.place(world, f"{bone}.{side}", rig.joint(f"{bone}.{side}"))

    body = np.zeros((18, len(world), 3))
    body[2:5] = [at(bone, "R") for bone in ARM]
    body[5:8] = [at(bone, "L") for bone in ARM]
    body[8:11] = [at(bone, "R") for bone in LEG]
    body[11:14] = [at(bone, "L") for bone in LEG]
    body[1] = (body[2] + body[5]) / 2
    hands = []
    for side in "LR":
        hands.append(at("wrist", side))
        for k in FINGERS:
            hands += [at(f"finger{k}-{i}", side) for i in (1, 2, 3)]
            tip = f"finger{k}-3.{side}"
            hands.append(rig.place(world, tip, rig.identity.tails[rig.index[tip]]))
    return np.concatenate([body, hands]).swapaxes(0, 1)


def keypoints(limbs: Array, head: Array, renderer: Renderer, camera: Camera) -> Array:
    """float32 [130, 3]: x, y in pixels and a score of 1 or 0 for the frame just drawn; 0, 0, 0 where not seen.

    `limbs` [60, 3] is this frame of `joints`, `head` [3, 3] the rotation of the head.
    """
    face = load_asset().landmarks(renderer.buffers.points)
    points = np.concatenate([limbs, face[:70]])
    points[[NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_SIDE, LEFT_SIDE]] = face[
        [NOSE_TIP, RIGHT_PUPIL, LEFT_PUPIL, RIGHT_EAR, LEFT_EAR]
    ]
    screen = np.empty_like(points)
    kernels.project(points, camera, screen)
    seen = _visible(screen, renderer.buffers.depth, head @ np.array([0, -1.0, 0]))
    out = np.zeros((130, 3), np.float32)
    out[:, :2] = screen[:, :2] / SAMPLES
    out[:, 2] = 1
    return out * seen[:, None].astype(np.float32)


def _visible(screen: Array, depth: Array, gaze: Array) -> Array:
    """bool [130]. The face counts as a whole, as whole-body detectors treat it; none when turned away."""
    side = depth.shape[0]
    column, row = (np.clip(screen[:, k].astype(int), 0, side - 1) for k in (0, 1))
    inside = ((screen[:, :2] >= 0) & (screen[:, :2] < side)).all(1)
    slack = np.repeat([BODY_DEPTH, HAND_DEPTH, FACE_DEPTH], [18, 42, 70])
    clear = screen[:, 2] <= depth[row, column] + slack
    seen = inside & clear
    facing, aside = -gaze[1], gaze[0]
    seen[FACE] = inside[FACE] & (facing > 0.12) & (clear[FACE].mean() > 0.25)
    front = [NOSE, RIGHT_EYE, LEFT_EYE]
    seen[front] = inside[front] & (facing > -0.1)
    seen[RIGHT_SIDE] = inside[RIGHT_SIDE] & (facing <= 0 or aside > -0.55)
    seen[LEFT_SIDE] = inside[LEFT_SIDE] & (facing <= 0 or aside < 0.55)
    return seen
