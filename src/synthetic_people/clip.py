"""Clips: `render_clip` and, for retargeting truth, `render_as`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.keypoints import PoseTrack
from synthetic_people.caption import caption, describe
from synthetic_people.expression import EXPRESSIONS, unit_weights
from synthetic_people.keypoints import joints, keypoints
from synthetic_people.motion import Framing, make_motion
from synthetic_people.recipe import RECIPES, Style
from synthetic_people.render import SAMPLES, Renderer
from synthetic_people.rig import Rig
from synthetic_people.scene import FRAMES, floor_height, horizon, place_camera

FPS = 8.0


@dataclass(frozen=True)
class Clip:
    """A person moving before a fixed camera. `seed` fixes motion, camera and scene, `person_seed` who it is."""

    frames: NDArray[np.uint8]  # [N, size, size, 3]
    track: PoseTrack  # exact keypoints, score 1 or 0
    caption: str
    attributes: dict[str, str]
    masks: NDArray[np.uint8]  # [N, size, size]: coverage by the person, 255 = all
    places: NDArray[np.float32]  # [N, size / 4, size / 4, 3]: what shows there, see `Renderer.places`
    seed: int
    person_seed: int
    framing: Framing
    style: Style


def render_clip(
    seed: int,
    frames: int = 24,
    size: int = 256,
    framing: Framing = "bust",
    style: Style = "full",
    fps: float = FPS,
) -> Clip:
    """The clip of `seed`, `frames` square pictures of `size` pixels.

    The same seed gives the same clip in any process. Another size shows the very same scene; a longer clip begins with
    the same motion, though the camera may stand differently to keep all of it in the picture.
    """
    return _render(seed, seed, frames, size, framing, style, fps)


def clip_as(seed: int, clip: Clip) -> Clip:
    """The person of `seed` in the very poses, expressions, camera and scene of `clip`, with their own keypoints.

    Both stand on the same floor if it is in the picture; else their necks are at the same height, or a tall person's
    head would leave a picture that is framed for a short one.
    """
    track = clip.track
    return _render(clip.seed, seed, len(track), track.size[0], clip.framing, clip.style, track.fps)


def render_as(seed: int, clip: Clip) -> NDArray[np.uint8]:
    """The frames of `clip_as`."""
    return clip_as(seed, clip).frames


def track_as(seed: int, clip: Clip) -> PoseTrack:
    """The exact keypoints of `clip_as`."""
    return clip_as(seed, clip).track


def clip_showing(expression: str, clip: Clip) -> Clip:
    """`clip` once more with one expression of `EXPRESSIONS` throughout: what a change of face alone does."""
    motion = (len(clip.track), clip.track.size[0], clip.framing, clip.style, clip.track.fps)
    return _render(clip.seed, clip.person_seed, *motion, expression)


def _render(
    seed: int,
    person_seed: int,
    frames: int,
    size: int,
    framing: Framing,
    style: Style,
    fps: float,
    expression: str | None = None,
) -> Clip:
    check_names(style, framing)
    recipe = RECIPES[style]
    person = recipe.person(person_seed)
    host = Rig(person.identity if person_seed == seed else recipe.identity(seed))
    motion = make_motion(seed, frames, fps, framing)
    if expression is not None:
        motion = replace(motion, face=np.tile(unit_weights(EXPRESSIONS[expression]), (frames, 1)))
    world = host.world(motion.poses, fps)
    camera = place_camera(host, world, framing, size * SAMPLES)
    light = recipe.light(seed)
    background = recipe.background(seed, size, horizon(camera, floor_height(host)))
    rig = host
    if person_seed != seed:
        rig = Rig(person.identity)
        world = rig.world(motion.poses, fps)
        world[..., 2, 3] += _lift(host, rig, framing)
    renderer, limbs, head = Renderer(person, size), joints(rig, world), rig.index["head"]
    film = recipe.film(seed, size, light, background.image)
    moved = np.gradient(world, axis=0) * film.shutter * fps if frames > 1 else np.zeros_like(world)
    pictures, masks = np.empty((frames, size, size, 3), np.uint8), np.empty((frames, size, size), np.uint8)
    points, places = np.empty((frames, 130, 3), np.float32), []
    for i in range(frames):
        renderer.paint(world[i], motion.face[i], camera, light)
        if film.shutter > 0:
            renderer.smear(moved[i], camera)
        pictures[i], masks[i] = film.take(renderer.pixels, background.image, i), renderer.coverage()
        points[i] = keypoints(limbs[i], world[i, head, :, :3], renderer, camera)
        places.append(renderer.places())
    attributes = describe(person, framing, background, motion.manner)
    track = PoseTrack.from_stacked(points, (size, size), fps)
    return Clip(
        pictures, track, caption(attributes), attributes, masks, np.stack(places), seed, person_seed, framing, style
    )  # fmt: skip


def check_names(style: str, *framings: str) -> None:
    """UserError if there is no such style or framing."""
    if style not in RECIPES:
        raise UserError(f"style {style!r} is not one of {', '.join(RECIPES)}")
    for framing in framings:
        if framing not in FRAMES:
            raise UserError(f"framing {framing!r} is not one of {', '.join(FRAMES)}")


def _lift(host: Rig, guest: Rig, framing: Framing) -> float:
    """Metres to raise the guest in the host's scene."""
    if framing == "full":
        return floor_height(host) - floor_height(guest)
    return float(host.joint("neck01")[2] - guest.joint("neck01")[2])
