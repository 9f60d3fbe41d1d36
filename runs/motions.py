"""Makes the built-in motions: `python runs/motions.py [SHEET.png]` writes src/magicpose/weights/motions/*.npz.

A motion is a table of key poses, passed one after the other and around again, with expressions beside them. One
synthetic person of middling build plays them all before a still camera; what is kept are the exact keypoints.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track as bar

from magicpose.media import contact_sheet
from magicpose.pose.drawing.draw import draw_poses
from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.motions import FOLDER, MOTIONS, save_motion
from synthetic_people import expression
from synthetic_people.background import make_background
from synthetic_people.geometry import unit
from synthetic_people.keypoints import joints, keypoints
from synthetic_people.person import make_person
from synthetic_people.pose import ARMS, HANDS, LEGS, Poses, stack_poses
from synthetic_people.render import SAMPLES, Renderer
from synthetic_people.rig import Rig
from synthetic_people.scene import floor_height, horizon, make_light, place_camera

PERFORMER = 10_000_021
SIZE, CANVAS = 256, 480  # pixels: of the drawn frames, which tell what is hidden, and of the stored canvas
FPS, SECONDS = 16.0, 3.0
ROOM, RAISE = 0.8, 0.15  # the picture is wider than for somebody standing still, and higher, metres
Turn = tuple[float, float, float]  # radians about x (to the left), y (backwards), z (up)


@dataclass(frozen=True)
class Key:
    """Names of `ARMS`, `HANDS` and `LEGS` for left and right, turns, and an expression; `at` in 0..1 of the loop."""

    at: float
    arms: tuple[str, str] = ("hang", "hang")
    hands: tuple[str, str] = ("relax", "relax")
    legs: tuple[str, str] = ("stand", "stand")
    yaw: float = 0.0
    pelvis: Turn = (0.0, 0.0, 0.0)
    spine: Turn = (0.0, 0.0, 0.0)
    head: Turn = (0.0, 0.0, 0.0)
    shift: float = 0.0
    face: str = "neutral"


def swinging(first: Key, times: int, begin: float, end: float, **other: object) -> list[Key]:
    """`first` and a variant of it in turns, `times` each, between two moments."""
    moments = np.linspace(begin, end, 2 * times)
    return [replace(first, at=float(at), **(other if k % 2 else {})) for k, at in enumerate(moments)]  # type: ignore[arg-type]


# the waving forearm's two ends
MORE_ARMS = ARMS | {
    "wave in": ARMS["wave"]._replace(lower=(-0.25, -0.35, 1)),
    "wave out": ARMS["wave"]._replace(lower=(0.8, -0.35, 0.8)),
}
_WAVE = Key(0, ("hang", "wave in"), ("relax", "open"), spine=(0, 0.05, 0), head=(0, 0.08, 0), face="smile")
_CLAP = Key(0, ("pray", "pray"), ("open", "open"), face="grin")

SCRIPTS: dict[str, list[Key]] = {
    "dance": [
        Key(
            0.0,
            ("flex", "low out"),
            ("fist", "open"),
            ("step", "wide"),
            yaw=0.3,
            spine=(0, 0.1, 0.2),
            shift=0.06,
            face="smile",
        ),
        Key(
            0.14,
            ("up", "hip"),
            ("open", "fist"),
            ("wide", "wide"),
            yaw=-0.1,
            spine=(0, -0.12, -0.1),
            head=(0, -0.1, 0.1),
            face="grin",
        ),
        Key(
            0.28,
            ("up wide", "up wide"),
            ("open", "open"),
            ("wide", "wide"),
            spine=(-0.08, 0, 0),
            head=(-0.12, 0, 0),
            face="laugh",
        ),
        Key(
            0.42,
            ("hip", "up"),
            ("fist", "open"),
            ("wide", "step"),
            yaw=0.1,
            spine=(0, 0.12, 0.1),
            head=(0, 0.1, -0.1),
            face="grin",
        ),
        Key(
            0.56,
            ("low out", "flex"),
            ("open", "fist"),
            ("wide", "step"),
            yaw=-0.3,
            spine=(0, -0.1, -0.2),
            shift=-0.06,
            face="smile",
        ),
        Key(
            0.70, ("goal", "goal"), ("fist", "fist"), ("squat", "squat"), spine=(0.1, 0, 0), head=(0.1, 0, 0), face="oh"
        ),
        Key(
            0.85, ("run", "forward"), ("fist", "fist"), ("lift", "stand"), yaw=0.2, spine=(0.05, 0, -0.15), face="smile"
        ),
    ],
    "wave": [
        Key(0.0, face="smile"),
        *swinging(_WAVE, 4, 0.16, 0.86, arms=("hang", "wave out"), head=(0, 0.12, 0.05), face="grin"),
    ],
    "talk": [
        Key(0.0, ("hang", "hang")),
        Key(0.2, ("shrug", "hang"), ("open", "relax"), spine=(0, 0.03, 0.08), head=(0.05, 0.05, 0.15), face="smile"),
        Key(0.4, ("shrug", "shrug"), ("open", "open"), head=(-0.06, -0.08, 0), face="surprise"),
        Key(0.6, ("pray", "thumb"), ("open", "point"), spine=(0.04, 0, -0.06), head=(0.08, 0, -0.12), face="smile"),
        Key(0.8, ("hang", "cup"), ("relax", "claw"), head=(0, 0.1, 0.08), face="sceptic"),
    ],
    "nod": [
        Key(0.0, face="smile"),
        *swinging(Key(0, head=(0.3, 0, 0), face="smile"), 2, 0.1, 0.42, head=(-0.12, 0, 0)),
        Key(0.52),
        *swinging(Key(0, head=(0.03, 0, 0.45), face="sad"), 2, 0.6, 0.9, head=(0.03, 0, -0.45)),
    ],
    "point": [
        Key(0.0),
        Key(0.12, ("hang", "point up"), ("relax", "point"), head=(-0.12, 0, -0.1), face="oh"),
        Key(0.28, ("hang", "point up"), ("relax", "point"), head=(-0.14, 0, -0.14), face="smile"),
        Key(0.4, ("hip", "point aside"), ("fist", "point"), spine=(0, 0.06, -0.1), head=(0, 0, -0.5), face="smile"),
        Key(
            0.56, ("hip", "point aside"), ("fist", "point"), spine=(0, 0.06, -0.1), head=(0, 0.05, -0.45), face="smile"
        ),
        Key(0.7, ("hang", "forward"), ("relax", "point"), spine=(0.04, 0, 0.1), face="grin"),
        Key(0.85, ("hang", "forward"), ("relax", "point"), spine=(0.05, 0, 0.12), head=(0.06, 0, 0), face="wink"),
    ],
    "clap": swinging(_CLAP, 5, 0.0, 0.9, arms=("cup", "cup"), hands=("open", "open"), head=(-0.05, 0, 0), face="laugh"),
    "stretch": [
        Key(0.0),
        Key(0.18, ("up", "up"), ("open", "open"), spine=(-0.1, 0, 0), head=(-0.2, 0, 0), face="closed"),
        Key(0.34, ("up", "up"), ("open", "open"), spine=(-0.05, 0.35, 0), head=(0, 0.15, 0), face="closed"),
        Key(0.5, ("up", "up"), ("open", "open"), spine=(-0.05, -0.35, 0), head=(0, -0.15, 0), face="closed"),
        Key(0.68, ("spread", "spread"), ("open", "open"), spine=(-0.12, 0, 0), head=(-0.1, 0, 0), face="open"),
        Key(0.84, ("low out", "low out"), ("open", "open"), face="smile"),
    ],
    "turn": [
        Key(0.0, ("hang", "hang"), face="smile"),
        Key(0.2, ("hip", "hang"), ("fist", "relax"), yaw=0.8, spine=(0, 0, 0.1), head=(0, 0, 0.1), face="smile"),
        Key(0.34, ("hip", "hang"), ("fist", "relax"), yaw=1.0, spine=(0, 0, 0.1), head=(0, 0, -0.5), face="grin"),
        Key(0.5, ("hang", "hang"), face="smile"),
        Key(0.7, ("hang", "hip"), ("relax", "fist"), yaw=-0.8, spine=(0, 0, -0.1), head=(0, 0, -0.1), face="smile"),
        Key(0.84, ("hang", "hip"), ("relax", "fist"), yaw=-1.0, spine=(0, 0, -0.1), head=(0, 0, 0.5), face="grin"),
    ],
}


def pose_of(key: Key) -> dict[str, np.ndarray]:
    """The key as fields of `Poses`."""
    sides = []
    for arm, hand, leg in zip(key.arms, key.hands, key.legs):
        rows = [np.array(row, float) for row in (*MORE_ARMS[arm][:3], *LEGS[leg])]
        upper, lower, palm, thigh, shin = (unit(row) if row.any() else row for row in rows)
        sides.append(
            {"upper": upper, "lower": lower, "palm": palm, "roll": np.array(0.0), "wrist": np.zeros(2),
             "hand": np.array(HANDS[hand], float), "thigh": thigh, "shin": shin}
        )  # fmt: skip
    limbs = {name: np.stack([side[name] for side in sides]) for name in sides[0]}
    turns = {name: np.array(getattr(key, name), float) for name in ("pelvis", "spine", "head", "yaw", "shift")}
    return limbs | turns


def play(name: str) -> tuple[Poses, np.ndarray]:
    """Poses and face-unit weights [N, 52] of the whole loop."""
    keys = sorted(SCRIPTS[name], key=lambda key: key.at)
    frames = round(FPS * SECONDS)
    moment = np.arange(frames) / frames
    edges = np.array([key.at for key in keys] + [1.0 + keys[0].at])
    before = np.searchsorted(edges, np.where(moment < edges[0], moment + 1, moment), side="right") - 1
    share = (np.where(moment < edges[0], moment + 1, moment) - edges[before]) / np.diff(edges)[before]
    weight = share * share * (3 - 2 * share)
    after = (before + 1) % len(keys)
    poses = stack_poses([pose_of(key) for key in keys]).between(before, after, weight)
    shown = np.stack([expression.unit_weights(expression.EXPRESSIONS[key.face]) for key in keys]) * 0.8
    face = shown[before] * (1 - weight[:, None]) + shown[after] * weight[:, None]
    rng = np.random.default_rng(list(name.encode()))
    if name == "talk":
        face = expression.speak(face, expression.speech_curve(rng, frames, FPS))
    return poses, expression.blink(face, expression.blink_curve(rng, frames, FPS))


def perform(name: str) -> tuple[PoseTrack, list[np.ndarray]]:
    """The keypoints of a motion, and the pictures they belong to."""
    person = make_person(PERFORMER, plain=True)
    rig = Rig(person.identity)
    poses, face = play(name)
    world = rig.world(poses)
    camera = place_camera(rig, world, "full", SIZE * SAMPLES)
    camera = camera._replace(focal=camera.focal * ROOM, z=camera.z + RAISE)  # raised hands stay in the picture
    light = make_light(PERFORMER)
    scene = make_background(PERFORMER, SIZE, horizon(camera, floor_height(rig)), plain=True)
    renderer, limbs, head = Renderer(person, SIZE), joints(rig, world), rig.index["head"]
    pictures, points = [], np.empty((len(face), 130, 3), np.float32)
    for i in range(len(face)):
        pictures.append(renderer.draw(world[i], face[i], camera, light, scene.image)[0])
        points[i] = keypoints(limbs[i], world[i, head, :, :3], renderer, camera)
    points[..., :2] *= CANVAS / SIZE
    return PoseTrack.from_stacked(points, (CANVAS, CANVAS), FPS), pictures


def main() -> None:
    assert set(SCRIPTS) == set(MOTIONS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows, labels = [], []
    for name in bar(SCRIPTS, "motions"):
        track, pictures = perform(name)
        save_motion(FOLDER / f"{name}.npz", track)
        rows += [pictures, list(draw_poses(track, (SIZE, SIZE)))]
        labels += [name, ""]
    if len(sys.argv) > 1:
        sheet: Image.Image = contact_sheet(rows, labels, count=10)
        sheet.save(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
