"""How far each preset, and cheaper settings around them, are from 50 steps of DDIM: the table of docs/speed.md.

    python runs/preset_distance.py [--model tiny] [--clips 8] [--frames 2]

Same weights, same start noise; PSNR in dB of the decoded frames against those of `exact`, over all clips, and the
work in network calls (one per frame and step, two where guidance is on, the ControlNet's counted as a third of one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from magicpose.animation.presets import PRESETS, Preset
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.keypoints import PoseTrack
from magicpose.sampling import Guidance
from synthetic_people.clip import Clip, render_clip

FIRST_SEED = 9_600_000  # held out from training and from the quality tables
CONTROLNET = 1 / 3  # of a UNet call

TRIED = {
    **{name: preset for name, preset in PRESETS.items() if name != "exact"},
    "ddim 20": Preset("ddim", 20, 0.0, 1.0, ""),
    "dpm++2m 10": Preset("dpm++2m", 10, 0.0, 1.0, ""),
    "dpm++2m 15": Preset("dpm++2m", 15, 0.0, 1.0, ""),
    "unipc 10": Preset("unipc", 10, 0.0, 1.0, ""),
    "unipc 8": Preset("unipc", 8, 0.0, 1.0, ""),
    "ddim 50, guided 0-0.8": Preset("ddim", 50, 0.0, 0.8, ""),
    "ddim 50, guided 0-0.6": Preset("ddim", 50, 0.0, 0.6, ""),
    "ddim 50, guided 0.2-1": Preset("ddim", 50, 0.2, 1.0, ""),
    "dpm++2m 20, guided 0-0.7": Preset("dpm++2m", 20, 0.0, 0.7, ""),
}


@dataclass(frozen=True)
class Options:
    model: str = "tiny"
    clips: int = 8
    """people"""
    frames: int = 2
    """of each"""
    size_px: int = 256
    """of the rendered clips"""


def main(options: Options) -> None:
    pipe = MagicPosePipeline.from_pretrained(options.model)
    clips = [render_clip(FIRST_SEED + n, frames=options.frames + 1, size=options.size_px) for n in range(options.clips)]
    exact = [animate(pipe, clip, PRESETS["exact"]) for clip in clips]
    print("| setting | guided steps of all | calls a frame | PSNR to exact, dB |\n|---|---|---|---|")
    for name, preset in TRIED.items():
        distance = psnr(np.stack([animate(pipe, clip, preset) for clip in clips]), np.stack(exact))
        guided = guided_steps(preset)
        calls = preset.steps * (1 + CONTROLNET) + guided
        print(f"| {name} | {guided}/{preset.steps} | {calls:.0f} | {distance:.1f} |", flush=True)


def animate(pipe: MagicPosePipeline, clip: Clip, preset: Preset) -> NDArray[np.uint8]:
    """All frames but the first, which is the reference: uint8 [F, H, W, 3]."""
    out = pipe(
        Image.fromarray(clip.frames[0]),
        PoseTrack.from_stacked(clip.track.stacked()[1:], clip.track.size),
        num_inference_steps=preset.steps,
        scheduler=preset.scheduler,
        guidance=Guidance(pipe.settings.guidance_scale, preset.guided_from, preset.guided_to),
    )
    return np.stack([np.asarray(frame) for frame in out.frames])


def guided_steps(preset: Preset) -> int:
    guidance = Guidance(2.0, preset.guided_from, preset.guided_to)
    return sum(guidance.active(step, preset.steps) for step in range(preset.steps))


def psnr(actual: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    error = np.square(actual.astype(float) - wanted).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


if __name__ == "__main__":
    main(tyro.cli(Options))
