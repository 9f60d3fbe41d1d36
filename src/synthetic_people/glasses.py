"""Glasses: rims, bridge and temples as thin tubes."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import LEFT_EAR, LEFT_PUPIL, RIGHT_EAR, RIGHT_PUPIL, Array, load_asset
from synthetic_people.colour import to_linear
from synthetic_people.geometry import tube
from synthetic_people.identity import Identity
from synthetic_people.mesh import FRAME, Part, on_head
from synthetic_people.seeds import Stream, generator

FRAME_COLOURS = ((0.03, 0.03, 0.03), (0.35, 0.2, 0.1), (0.6, 0.5, 0.25), (0.5, 0.08, 0.1))


def _spot(identity: Identity, landmark: int) -> Array:
    return identity.vertices[load_asset().landmark_vertices[landmark, 0]]


def wear_glasses(identity: Identity) -> tuple[tuple[Part, ...], Array]:
    """The tubes (none for four people in five) and the frame's linear colour."""
    rng = generator(identity.seed, Stream.GLASSES)
    worn, colour = rng.random() < 0.2, to_linear(FRAME_COLOURS[rng.integers(len(FRAME_COLOURS))])
    if not worn:
        return (), colour
    scale, squareness = identity.face_scale, rng.uniform(2, 4)
    half_width, half_height = rng.uniform(0.021, 0.027) * scale, rng.uniform(0.016, 0.022) * scale
    thickness = rng.uniform(0.0012, 0.0024)
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    reach = (np.abs(np.cos(turn)) ** squareness + np.abs(np.sin(turn)) ** squareness) ** (-1 / squareness)
    oval = np.stack([np.cos(turn) * reach * half_width, 0 * turn, np.sin(turn) * reach * half_height], 1)
    right, left = (_spot(identity, k) + np.array([0, -0.018, -0.003]) for k in (RIGHT_PUPIL, LEFT_PUPIL))
    tubes = [tube(centre + oval, thickness, 4, np.array([0, 1.0, 0]), closed=True) for centre in (right, left)]
    up = np.array([0, 0, 1.0])
    hinge, raised = np.array([half_width, 0, 0]), np.array([0, 0, 0.004])
    tubes.append(tube(np.linspace(right + hinge + raised, left - hinge + raised, 5), thickness, 4, up))
    for centre, sign, landmark in ((right, -1, RIGHT_EAR), (left, 1, LEFT_EAR)):
        ear = _spot(identity, landmark) + np.array([sign * 0.006, 0.005, 0.025])
        tubes.append(tube(np.linspace(centre + sign * hinge + 1.5 * raised, ear, 6), thickness, 4, up))
    return tuple(on_head(vertices, faces, FRAME) for vertices, faces in tubes), colour
