"""One reference or two (front and side) on people who turn: docs/tiny.md's table and picture.

    python runs/two_references.py --people 24 --out out/tiny/references

Held-out people (seeds from 10,700,000 on) play the built-in motion "turn" in the half framing, so front, left and right
views have a rendered truth. The second reference shows them turned by about 0.8 rad to their left.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from motions import play
from numpy.typing import NDArray
from PIL import Image

from magicpose.evaluation.image import mean_absolute_error, psnr
from magicpose.media import contact_sheet
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import PoseTrack
from magicpose.sampling import make_scheduler, sample
from synthetic_people.background import make_background
from synthetic_people.keypoints import joints, keypoints
from synthetic_people.person import make_person
from synthetic_people.render import SAMPLES, Renderer
from synthetic_people.rig import Rig
from synthetic_people.scene import floor_height, horizon, make_light, place_camera

FIRST_SEED = 10_700_000
FRONT, SIDE = 0, 14  # frames of the motion; 48 in all
TARGETS = {
    "front": (2, 22, 26),
    "turned as in the second reference": (11, 13, 18),
    "turned the other way": (35, 38, 42),
}


@dataclass(frozen=True)
class Options:
    people: int = 24
    out: Path = Path("out/tiny/references")
    model: str = "tiny"
    steps: int = 20
    guidance: float | None = None
    shown: int = 4
    """People on the picture."""


@dataclass(frozen=True)
class Turning:
    """One person through the motion: frames uint8 [N, S, S, 3], masks [N, S, S], exact keypoints."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    track: PoseTrack


def perform(seed: int, size: int) -> Turning:
    """The person of `seed` playing "turn" before a plain background."""
    person = make_person(seed, plain=True)
    rig = Rig(person.identity)
    poses, face = play("turn")
    world = rig.world(poses)
    camera = place_camera(rig, world, "half", size * SAMPLES)
    scene = make_background(seed, size, horizon(camera, floor_height(rig)), plain=True)
    renderer, limbs, head = Renderer(person, size), joints(rig, world), rig.index["head"]
    drawn = [renderer.draw(world[i], face[i], camera, make_light(seed), scene.image) for i in range(len(face))]
    points = [keypoints(limbs[i], world[i, head, :, :3], renderer, camera) for i in range(len(face))]
    track = PoseTrack.from_stacked(np.stack(points).astype(np.float32), (size, size), 16.0)
    return Turning(np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn]), track)


@torch.no_grad()
def generate(
    pipeline: MagicPosePipeline, person: Turning, references: list[int], targets: list[int], options: Options
) -> list[NDArray[np.uint8]]:
    """Pictures of `targets` from one or several reference frames."""
    side = pipeline.native_side
    map_px = side // pipeline.stride * pipeline.model.pose_stride
    maps = np.stack([draw_pose(person.track[k], (map_px, map_px), (side, side)) for k in targets])
    pixels = torch.from_numpy(person.frames[references]).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = pipeline.vae.encode(pixels).latent_dist.sample() * pipeline.vae.config.scaling_factor
    noise = torch.randn((1, *latents.shape[1:]), generator=torch.Generator().manual_seed(0))
    noise = noise * pipeline.settings.temperature
    scale = pipeline.settings.guidance_scale if options.guidance is None else options.guidance
    result = sample(
        pipeline.model, noise, [latent[None] for latent in latents],
        torch.from_numpy(maps).permute(0, 3, 1, 2).float() / 255, pipeline._text(""), options.steps, scale,
        scheduler=make_scheduler("ddim", pipeline.settings.schedule),
    )  # fmt: skip
    return [np.asarray(picture) for picture in pipeline.decode(result)]


def main(options: Options) -> None:
    pipeline = MagicPosePipeline.from_pretrained(options.model)
    targets = [k for group in TARGETS.values() for k in group]
    rows = {"front": [FRONT], "side": [SIDE], "front and side": [FRONT, SIDE]}
    numbers: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    lines = []
    for number in range(options.people):
        person = perform(FIRST_SEED + number, pipeline.native_side)
        results = {"copy the front": [person.frames[FRONT]] * len(targets)}
        results |= {name: generate(pipeline, person, frames, targets, options) for name, frames in rows.items()}
        for name, pictures in results.items():
            for k, picture in zip(targets, pictures):
                group = next(group for group, frames in TARGETS.items() if k in frames)
                truth, inside = person.frames[k], person.masks[k] > 127
                errors = mean_absolute_error(picture, truth), psnr(picture, truth)
                numbers[group, name].append((*errors, mean_absolute_error(picture, truth, inside)))
        if number < options.shown:
            shown = [targets.index(frames[1]) for frames in TARGETS.values()]
            lines.append([Image.fromarray(p) for p in (
                person.frames[FRONT], person.frames[SIDE],
                *(p for k in shown for p in (results["front"][k], results["front and side"][k],
                                             person.frames[targets[k]])),
            )])  # fmt: skip
        print(f"{number + 1} people", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    means = {" | ".join(key): [round(float(v), 2) for v in np.mean(values, axis=0)] for key, values in numbers.items()}
    (options.out / "references.json").write_text(json.dumps(means, indent=1))
    for key, (mae, decibels, person_mae) in means.items():
        print(f"| {key} | {mae} | {decibels} | {person_mae} |")
    contact_sheet(lines, labels=(), count=len(lines[0])).save(options.out / "references.png")


if __name__ == "__main__":
    main(tyro.cli(Options))
