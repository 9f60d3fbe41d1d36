"""Whether motion modules make clips steadier: docs/tiny.md's table.

    python runs/motion_flicker.py MOTION_FOLDER --clips 10

MOTION_FOLDER: diffusers' MotionAdapter (config.json and safetensors). The same held-out people in the same poses with
the modules and without them, same start noise. To be worth shipping they must take a fifth off the flicker at no loss
of similarity.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from diffusers import MotionAdapter
from numpy.typing import NDArray
from PIL import Image
from tiny_quality import framing_of

from magicpose.evaluation.image import mean_absolute_error, ssim
from magicpose.evaluation.video import background_flicker, temporal_error
from magicpose.networks.motion import MotionModules
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.keypoints import PoseTrack
from synthetic_people.clip import Clip, render_clip

FIRST_SEED = 9_600_200  # neither trained on nor in any other table
WORTH_IT = 0.8  # of the flicker without


@dataclass(frozen=True)
class Options:
    motion: tyro.conf.Positional[Path]
    model: str = "tiny"
    clips: int = 10
    frames: int = 16
    fps: float = 8.0
    steps: int | None = None
    """default: the model's own"""
    log: Path = Path("out/tiny/flicker.jsonl")
    """one line a clip; clips that are there are not made again"""


def scores(clip: Clip, frames: NDArray[np.uint8]) -> dict[str, float]:
    """The first frame is the reference, so `frames` begins with the second."""
    truth, people = clip.frames[1:], clip.masks[1:] > 127
    return {
        "temporal error": temporal_error(frames, truth),
        "temporal error, person": temporal_error(frames, truth, people),
        "background flicker": background_flicker(frames, people),
        "background flicker, truth": background_flicker(truth, people),
        "frame error": float(np.mean([mean_absolute_error(a, b) for a, b in zip(frames, truth, strict=True)])),
        "ssim": float(np.mean([ssim(a, b) for a, b in zip(frames, truth, strict=True)])),
    }


def main(options: Options) -> None:
    pipe = MagicPosePipeline.from_pretrained(options.model)
    modules = MotionModules(MotionAdapter.from_pretrained(options.motion)).to(pipe.device, pipe.dtype).eval()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    options.log.touch()
    rows = [json.loads(line) for line in options.log.read_text().splitlines()]
    for number in range(len(rows), options.clips):
        clip = render_clip(
            FIRST_SEED + number, options.frames + 1, pipe.native_side, framing_of(number), "plain", options.fps
        )
        row = {}
        for name, motion in (("without", None), ("with", modules)):
            pipe.model.motion = motion
            row[name] = scores(clip, animate(pipe, clip, options.steps))
        rows.append(row)
        with options.log.open("a") as log:
            log.write(json.dumps(row) + "\n")
        print(f"{number + 1} clips", flush=True)
    report(rows[: options.clips])


def animate(pipe: MagicPosePipeline, clip: Clip, steps: int | None) -> NDArray[np.uint8]:
    """All frames but the first: uint8 [F, H, W, 3]."""
    poses = PoseTrack.from_stacked(clip.track.stacked()[1:], clip.track.size, clip.track.fps)
    out = pipe(Image.fromarray(clip.frames[0]), poses, steps)
    return np.stack([np.asarray(frame) for frame in out.frames])


def report(rows: list[dict[str, dict[str, float]]]) -> None:
    """The means as a table, and the verdict."""
    means: dict[str, dict[str, float]] = defaultdict(dict)
    for name in ("without", "with"):
        for metric in rows[0][name]:
            means[metric][name] = float(np.mean([row[name][metric] for row in rows]))
    print("| | without | with |\n|---|---|---|")
    for metric, values in means.items():
        print(f"| {metric} | {values['without']:.3f} | {values['with']:.3f} |")
    steadier = means["temporal error"]["with"] <= WORTH_IT * means["temporal error"]["without"]
    alike = means["ssim"]["with"] >= means["ssim"]["without"]
    print("worth shipping" if steadier and alike else "not worth shipping")


if __name__ == "__main__":
    main(tyro.cli(Options))
