"""Camera and light of a clip: both fixed while it lasts."""

from __future__ import annotations

import numpy as np

from synthetic_people.asset import CHIN, LEFT_EAR, RIGHT_EAR, Array
from synthetic_people.kernels import Camera
from synthetic_people.motion import Framing
from synthetic_people.rig import Rig
from synthetic_people.seeds import Stream, generator
from synthetic_people.shading import Light

DISTANCE = 3.2  # metres from the camera to the person
MARGIN = 0.95  # share of the picture the head may use
# what the picture's lower edge cuts: a joint, or None for the soles or chin; heads below it and above the crown
FRAMES: dict[Framing, tuple[str | None, float, float]] = {
    "full": (None, 0.25, 1.5),
    "knee": ("lowerleg01.L", 0.2, 1.25),
    "half": ("upperleg01.L", 0.3, 0.95),
    "bust": ("spine02", 0.2, 0.6),
    "head": ("clavicle.L", 0.45, 0.4),
    "face": (None, 0.45, 0.3),
}
RISE = {"full": 0.0, "knee": 0.4, "half": 0.7}  # share of the body's sinking the camera follows; else all of it


def floor_height(rig: Rig) -> float:
    """Height of the soles, metres."""
    return float(rig.identity.body[:, 2].min())


def _head_path(rig: Rig, world: Array) -> Array:
    """The corners of a box around the head in every frame, [n, 3]."""
    face, crown = rig.identity.landmarks, rig.identity.body[:, 2].max()
    sides = (face[RIGHT_EAR, 0] - 0.02, face[LEFT_EAR, 0] + 0.02)
    corners = [np.array([x, -0.1, z]) for x in sides for z in (face[CHIN, 2], crown + 0.03)]
    return np.concatenate([rig.place(world, "head", corner) for corner in corners])


def place_camera(rig: Rig, world: Array, framing: Framing, size: int) -> Camera:
    """The camera of a clip for square pictures of `size` samples.

    It looks at the mean place of the neck over `world` [N, J, 3, 4] and stands back until the head stays inside.
    """
    joint, below, above = FRAMES[framing]
    crown, chin = rig.identity.body[:, 2].max(), rig.identity.landmarks[CHIN, 2]
    head = crown - chin
    lowest = rig.joint(joint)[2] if joint else floor_height(rig) if framing == "full" else chin
    low, high = lowest - below * head, crown + above * head
    x, z = 0.0, (low + high) / 2
    if framing != "full":
        neck = rig.joint("neck01")
        moved = (rig.place(world, "neck01", neck) - neck).mean(0)
        x, z = moved[0], z + moved[2] * RISE.get(framing, 1.0)
    focal = size * DISTANCE / (high - low)
    path = _head_path(rig, world)
    x = 0.5 * x + 0.25 * (path[:, 0].min() + path[:, 0].max())
    reach = max(np.abs(path[:, 0] - x).max(), np.abs(path[:, 2] - z).max())
    needed = reach * focal / (DISTANCE - 0.1) / (MARGIN * size / 2)
    return Camera(float(x), float(z), DISTANCE, float(focal / max(1.0, needed)), size / 2, size / 2)


def visible_height(camera: Camera) -> float:
    """Metres from the picture's lower to its upper edge, at the person."""
    return 2 * camera.cy / camera.focal * camera.distance


def horizon(camera: Camera, floor: float) -> float:
    """Where the floor meets the back wall, 0.8 m behind the person, as a share of the picture's height."""
    y = camera.cy - camera.focal * (floor - camera.z) / (camera.distance + 0.8)
    return y / (2 * camera.cy)


def make_light(seed: int) -> Light:
    """A key light somewhere in front of the person and a sky, both slightly tinted."""
    rng = generator(seed, Stream.LIGHT)
    azimuth, elevation = rng.uniform(-1.1, 1.1), rng.uniform(0.25, 1.0)
    direction = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
    warm, cool = rng.normal(0, 0.10), rng.normal(0, 0.05)
    key = rng.uniform(0.8, 1.25) * np.array([1 + warm, 1, 1 - warm])
    sky = rng.uniform(0.38, 0.65) * np.array([1 - cool, 1, 1 + cool])
    ground = sky * rng.uniform(0.4, 0.8) * np.array([1.05, 1, 0.92])
    rows = np.stack([direction, key, sky, ground]).astype(np.float32)
    return Light(rows[0], rows[1], rows[2], rows[3], float(rng.choice([0, 0.5, 1.0])))
