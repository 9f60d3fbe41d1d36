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


def _joints(rig: Rig, world: Array) -> tuple[Array, Array]:
    """Body [18, 3] (its head rows still empty) and hands [42, 3] in the world; `world` [J, 3, 4]."""
    frame = world[None]

    def at(name: str) -> Array:
        return rig.place(frame, name, rig.joint(name))[0]

    body = np.zeros((18, 3))
    for first, side in ((2, "R"), (5, "L")):
        body[first : first + 3] = [at(f"{bone}.{side}") for bone in ("upperarm01", "lowerarm01", "wrist")]
    for first, side in ((8, "R"), (11, "L")):
        body[first : first + 3] = [at(f"{bone}.{side}") for bone in ("upperleg01", "lowerleg01", "foot")]
    body[1] = (body[2] + body[5]) / 2
    hands = []
    for side in "LR":
        hands.append(at(f"wrist.{side}"))
        for k in FINGERS:
            hands += [at(f"finger{k}-{i}.{side}") for i in (1, 2, 3)]
            tip = f"finger{k}-3.{side}"
            hands.append(rig.place(frame, tip, rig.identity.tails[rig.index[tip]])[0])
    return body, np.array(hands)


def keypoints(rig: Rig, world: Array, renderer: Renderer, camera: Camera) -> Array:
    """float32 [130, 3]: x, y in pixels and a score of 1 or 0 for the frame just drawn; 0, 0, 0 where not seen."""
    body, hands = _joints(rig, world)
    face = load_asset().landmarks(renderer.buffers.points)
    body[[NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_SIDE, LEFT_SIDE]] = face[
        [NOSE_TIP, RIGHT_PUPIL, LEFT_PUPIL, RIGHT_EAR, LEFT_EAR]
    ]
    points = np.concatenate([body, hands, face[:70]])
    screen = np.empty_like(points)
    kernels.project(points, camera, screen)
    seen = _visible(screen, renderer.buffers.depth, world[rig.index["head"], :, :3] @ np.array([0, -1.0, 0]))
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
