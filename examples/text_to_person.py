"""Prompt -> picture of a person -> the same person in new poses: one stock Stable Diffusion 1.5 pipeline does both.

The text-to-image pipeline stays what it was; MagicPose plugs into its UNet for the second half and is taken out again.

    python examples/text_to_person.py --base stable-diffusion-v1-5/stable-diffusion-v1-5 --control my_magicpose_folder \
        --prompt "a dancer in a red dress, studio" --poses clip.pose.json --out frames

`--base` is a Stable Diffusion 1.5 pipeline (folder or hub id). `--control` is a folder with `appearance/` and
`pose_controlnet/`, e.g. made by `magicpose convert stage2.ckpt -o my_magicpose_folder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from diffusers import StableDiffusionPipeline

import magicpose as mp
from magicpose.checkpoints.folder import read_folder
from magicpose.errors import UserError


@dataclass(frozen=True)
class Settings:
    """What to paint, and how the person is to move."""

    base: str  # Stable Diffusion 1.5 pipeline: folder or hub id
    control: Path  # folder with appearance/ and pose_controlnet/
    prompt: str
    poses: Path  # pose document
    out: Path  # folder for reference.png and 0000.png, 0001.png, ...
    steps: int = 20
    guidance_scale: float = 7.0  # of the re-posing; the picture is painted with the stock pipeline's default
    size: int | None = None  # side in pixels; None: what the base was trained at
    seed: int = 0


def text_to_person(settings: Settings) -> Path:
    """Writes the painted reference and the re-posed frames; returns the folder."""
    control = read_folder(settings.control)
    if control.appearance is None or control.pose_controlnet is None:
        raise UserError(f"{settings.control} needs appearance/ and pose_controlnet/: convert a stage-2 checkpoint")
    stock = StableDiffusionPipeline.from_pretrained(settings.base, safety_checker=None)

    # 1. Paint the person with plain Stable Diffusion.
    generator = torch.Generator().manual_seed(settings.seed)
    reference = stock(
        settings.prompt,
        num_inference_steps=settings.steps,
        height=settings.size,
        width=settings.size,
        generator=generator,
    ).images[0]

    # 2. Plug in, re-pose, unplug.
    pipe = mp.MagicPosePipeline.from_stable_diffusion(stock, control.appearance, control.pose_controlnet)
    track = mp.PoseTrack.load(settings.poses)
    result = pipe(
        reference,
        track,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        prompt=settings.prompt,
        size=settings.size,
        seed=settings.seed,
    )
    pipe.detach()

    settings.out.mkdir(parents=True, exist_ok=True)
    reference.save(settings.out / "reference.png")
    for number, frame in enumerate(result.frames):
        frame.save(settings.out / f"{number:04d}.png")
    return settings.out


if __name__ == "__main__":
    print(text_to_person(tyro.cli(Settings, description=__doc__)))
