"""What hands must not sink into: a simple trunk and skull per person, in rest coordinates."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import LEFT_EAR, Array, load_asset
from synthetic_people.identity import Identity

CLEARANCE = 0.035  # metres of cloth and flesh before the skin of the trunk
FADE = 0.08  # metres
SKULL = 0.105  # radius, metres


class Obstacles:
    """The trunk as stacked half ellipses, the skull as a ball."""

    def __init__(self, identity: Identity) -> None:
        template = load_asset().template[: load_asset().body_size]
        trunk = (np.abs(template[:, 0]) < 0.16) & (template[:, 2] > -0.12) & (template[:, 2] < 0.47)
        points = identity.body[trunk]
        self.heights = np.linspace(points[:, 2].min() + 0.02, points[:, 2].max() - 0.02, 12)
        rows = [points[np.abs(points[:, 2] - z) < 0.03] for z in self.heights]
        self.half_width = np.array([np.abs(row[:, 0]).max() for row in rows])
        self.front = np.array([row[:, 1].min() for row in rows]) - CLEARANCE
        self.middle = np.array([(row[:, 1].min() + row[:, 1].max()) / 2 for row in rows])
        ear = identity.landmarks[LEFT_EAR]
        self.skull = np.array([0, ear[1] - 0.02, ear[2] + 0.01])
        self.radius = SKULL * identity.face_scale

    def trunk_depth(self, points: Array) -> Array:
        """How far [...] points [..., 3], relative to the chest at rest, lie behind the trunk's front, metres."""
        x, y, z = np.moveaxis(points, -1, 0)
        half, front, middle = (np.interp(z, self.heights, v) for v in (self.half_width, self.front, self.middle))
        surface = middle + (front - middle) * np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1))
        # the depth fades in over a few centimetres at the edges, so that a passing hand is not jerked
        edge = np.min([half - np.abs(x), z - self.heights[0], self.heights[-1] - z, middle + 0.06 - y], 0)
        return np.clip(y - surface, 0, 0.25) * np.clip(edge / FADE, 0, 1)

    def head_depth(self, points: Array) -> Array:
        """How deep [...] points [..., 3], relative to the head at rest, lie in the skull, metres."""
        return np.maximum(0, self.radius - np.linalg.norm(points - self.skull, axis=-1))
