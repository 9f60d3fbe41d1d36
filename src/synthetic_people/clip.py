"""A synthetic clip: frames, exact keypoints, caption. Same seed, same clip, in any process.

Seeds of 10,000,000 and above are held out for evaluation: never train on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import PoseTrack
from synthetic_people import caption as words
from synthetic_people import motion, proto_render

Framing = Literal["full", "knee", "half", "bust", "head", "face"]
Style = Literal["plain", "full"]
FIRST_HELD_OUT_SEED = 10_000_000


@dataclass(frozen=True)
class Clip:
    """`frames` uint8 [frames, size, size, 3]; the rest describes them."""

    frames: NDArray[np.uint8]
    track: PoseTrack
    caption: str
    attributes: dict[str, str]
    seed: int
    framing: Framing
    style: Style = "full"


def _srgb(linear: NDArray[Any]) -> NDArray[np.float64]:
    x = np.clip(np.asarray(linear, float), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def _keep_head(renderer: Any, camera: NDArray[np.float64], poses: list[Any], person: Any) -> NDArray[np.float64]:
    """Centre the head's path and zoom out until the head is inside every frame."""
    a = renderer.A
    box = person.R0[a.lm[[8, 70, 71, 27]][:, 0]]
    top = person.R0[:13380, 2].max()
    corners = np.array([[x, -0.1, z] for x in (box[:, 0].min() - 0.02, box[:, 0].max() + 0.02) for z in (box[0, 2], top + 0.03)])
    world = []
    for pose in poses:
        g = renderer.fk_ground(pose)[a.B["head"]]
        world.append(corners @ g[:, :3].T + g[:, 3])
    path = np.concatenate(world)
    half = renderer.size * renderer.ss / 2
    focal = camera[3] / (camera[2] - 0.1)
    cam = camera.copy()
    reach_x = (path[:, 0].max() - path[:, 0].min()) / 2
    cam[0] = 0.5 * cam[0] + 0.25 * (path[:, 0].max() + path[:, 0].min())
    reach_x = np.abs(path[:, 0] - cam[0]).max()
    reach_up = path[:, 2].max() - cam[1]
    reach_down = cam[1] - path[:, 2].min()
    need = max(reach_x, reach_up, reach_down) * focal / (0.95 * half)
    if need > 1:
        cam[3] /= need
        renderer.smspan = min(2.6, renderer.smspan * need)
    return cam


def _setup(seed: int, person_seed: int, frames: int, size: int, framing: Framing, style: Style, fps: float) -> Any:
    plain = style == "plain"
    owner = proto_render.Person(seed, plain=plain)
    renderer = proto_render.Renderer(owner, size)
    rng = np.random.default_rng((seed, 3))
    mood = ("dance", "gesture", "talk")[rng.choice(3, p=(0.45, 0.3, 0.25))]
    moves = motion.motion(rng, frames, fps, framing, mood)
    poses = [pose for pose, _ in moves]
    camera = renderer.camera(framing, poses[:: max(1, frames // 8)])
    if framing != "full":
        camera = _keep_head(renderer, camera, poses, owner)
    lowest = owner.R0[:13380, 2].min()
    horizon = camera[5] / renderer.ss - camera[3] / renderer.ss * (lowest - camera[1]) / (camera[2] + 0.8)
    scene = np.random.default_rng((seed, 2))
    light = proto_render.lighting(scene)
    background, kind, colour = proto_render.background(scene, size, horizon, plain)
    lift = 0.0
    person = owner
    if person_seed != seed:
        person = proto_render.Person(person_seed, plain=plain)
        other = proto_render.Renderer(person, size)
        other.smspan = renderer.smspan
        renderer = other
        feet = other.p.R0[:13380, 2].min()
        if framing == "full":
            lift = lowest - feet
        else:  # the feet are out of sight: meet at the height of the neck
            neck = renderer.A.B["neck01"]
            lift = owner.heads[neck, 2] - person.heads[neck, 2]
    return person, renderer, moves, camera, light, background, kind, colour, mood, lift


def _attributes(person: Any, framing: Framing, background: str, colour: NDArray[Any], mood: str) -> dict[str, str]:
    hat = person.hair in ("beanie", "cap")
    low = framing in ("full", "knee", "half") and person.topkind != "dress"
    return {
        "framing": words.FRAMINGS[framing],
        "motion": mood,
        "person": ("an old " if person.old else "a ") + ("man" if person.male else "woman"),
        "hair_colour": words.colour_word(_srgb(person.hatc)) if hat else "" if person.hair == "bald" else words.HAIR_COLOURS[person.hairname],
        "hair_style": words.HAIR_STYLES[person.hair],
        "beard": "" if person.beard == "none" else {"full": "full beard"}.get(person.beard, person.beard),
        "glasses": "glasses" if person.glasses else "",
        "top_colour": words.colour_word(person.topcol),
        "top_pattern": words.PATTERNS[person.patkind],
        "top_kind": words.TOPS[person.topkind],
        "bottom_colour": "" if not low else "denim" if person.denim else words.colour_word(person.botcol),
        "bottom_pattern": "" if not low or person.denim else words.PATTERNS[person.botpat],
        "bottom_kind": words.BOTTOMS[person.botkind] if low else "",
        "background": words.BACKGROUNDS[background],
        "background_colour": "" if background in ("room", "outdoor", "brick") else words.colour_word(_srgb(colour)),
    }


def _render(seed: int, person_seed: int, frames: int, size: int, framing: Framing, style: Style, fps: float) -> Clip:
    person, renderer, moves, camera, light, background, kind, colour, mood, lift = _setup(
        seed, person_seed, frames, size, framing, style, fps
    )
    images = np.empty((frames, size, size, 3), np.uint8)
    points = np.zeros((frames, 130, 3), np.float32)
    for i, (pose, face) in enumerate(moves):
        images[i] = renderer.draw(pose, face, camera, light, background, lift=lift)
        where, seen = renderer.keypoints(camera)
        points[i, :, :2] = where[:, :2] * seen[:, None]
        points[i, :, 2] = seen
    attributes = _attributes(person, framing, kind, colour, mood)
    return Clip(images, PoseTrack.from_stacked(points, (size, size), fps), words.caption(attributes), attributes, seed, framing, style)


def render_clip(
    seed: int, frames: int = 24, size: int = 256, framing: Framing = "bust", style: Style = "full", fps: float = 8.0
) -> Clip:
    """The clip of `seed`: one person, one scene, fixed camera and light."""
    return _render(seed, seed, frames, size, framing, style, fps)


def render_clip_as(seed: int, clip: Clip) -> Clip:
    """The person of `seed` in the very poses, expressions, camera and scene of `clip`, with their own keypoints.

    Where the feet are out of sight the two meet at the height of the neck, else on the floor.
    """
    return _render(clip.seed, seed, len(clip.frames), clip.track.size[0], clip.framing, clip.style, clip.track.fps)


def render_as(seed: int, clip: Clip) -> NDArray[np.uint8]:
    """The frames of `render_clip_as`."""
    return render_clip_as(seed, clip).frames
