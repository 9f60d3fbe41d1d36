"""Which steps, solver, guidance and temperature the embedded model should have as its own: docs/tiny.md's table.

    python runs/tiny_settings.py solvers --out out/tiny/settings.jsonl
    python runs/tiny_settings.py guidance --steps 10 --scheduler dpm++2m
    python runs/tiny_settings.py temperature --steps 10 --scheduler dpm++2m --guidance 1.1

24 people of seeds from 9,500,000 on, whom neither training nor any other table has; every fourth in the `full` style.
Rows are appended to `--out` as they finish; a row that is there already is not made again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image
from tiny_quality import BATCH, Pair, _encode, as_pair, framing_of, measure

from magicpose.evaluation.image import psnr
from magicpose.networks.schedule import make_scheduler
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.drawing.draw import draw_pose
from magicpose.sampling.guidance import Guidance
from magicpose.sampling.loop import sample
from magicpose.sampling.options import SamplerOptions
from synthetic_people.clip import render_clip

FIRST_SEED = 9_500_000
EXACT = ("ddim", 50)
SOLVERS = [("ddim", 6), ("dpm++2m", 6), ("unipc", 6), ("ddim", 8), ("dpm++2m", 8), ("unipc", 8)]
SOLVERS += [("ddim", 10), ("dpm++2m", 10), ("unipc", 10), ("dpm++2m", 12), ("ddim", 20), ("ddim", 4)]


@dataclass(frozen=True)
class Setting:
    scheduler: str = "ddim"
    steps: int = 10
    guidance: float = 1.25
    guided_from: float = 0.0
    guided_to: float = 1.0
    temperature: float = 0.5


@dataclass(frozen=True)
class Options:
    sweep: tyro.conf.Positional[Literal["solvers", "guidance", "temperature", "one"]]
    model: str = "tiny"
    out: Path = Path("out/tiny/settings.jsonl")
    people: int = 24
    scheduler: str = "dpm++2m"
    steps: int = 10
    guidance: float = 1.25
    temperature: float = 0.5
    dtype: str = "float32"
    pictures: Path | None = None
    """folder for a sheet of each row, to look at"""


def settings(options: Options) -> list[Setting]:
    """The rows of a sweep; in the first the result of 50 steps, to which the others are compared."""
    scheduler, steps, guidance, temperature = options.scheduler, options.steps, options.guidance, options.temperature
    scales = [(1.0, 0.0, 1.0), (1.1, 0.0, 1.0), (1.25, 0.0, 1.0), (1.25, 0.0, 0.5), (1.25, 0.5, 1.0), (1.5, 0.0, 0.4)]
    return {
        "solvers": [Setting(name, n, guidance, 0.0, 1.0, temperature) for name, n in (EXACT, *SOLVERS)],
        "guidance": [Setting(scheduler, steps, *scale, temperature) for scale in scales],
        "temperature": [Setting(scheduler, steps, guidance, 0.0, 1.0, t) for t in (0.3, 0.4, 0.5, 0.6)],
        "one": [Setting(scheduler, steps, guidance, 0.0, 1.0, temperature)],
    }[options.sweep]


def people(options: Options, size: int) -> list[Pair]:
    """First frame and last pose of each."""
    clips = (
        render_clip(FIRST_SEED + n, 8, size, framing_of(n), "full" if n % 4 == 3 else "plain", 3.0)
        for n in range(options.people)
    )
    return [as_pair("self", clip) for clip in clips]


@torch.no_grad()
def generate(pipe: MagicPosePipeline, pairs: list[Pair], setting: Setting) -> list[NDArray[np.uint8]]:
    """The pictures, `BATCH` at a time."""
    side = pipe.native_side
    map_px = side // pipe.stride * pipe.model.pose_stride
    pictures: list[NDArray[np.uint8]] = []
    for batch in (pairs[first : first + BATCH] for first in range(0, len(pairs), BATCH)):
        maps = np.stack([draw_pose(pair.pose, (map_px, map_px), (side, side)) for pair in batch])
        references = _encode(pipe, [pair.reference for pair in batch])
        noise = torch.randn((1, *references.shape[1:]), generator=torch.Generator().manual_seed(0))
        latents = sample(
            pipe.model, noise * setting.temperature, references, torch.from_numpy(maps).permute(0, 3, 1, 2) / 255.0,
            pipe.text_states(""), setting.steps, scheduler=make_scheduler(setting.scheduler, pipe.schedule),
            options=SamplerOptions(guidance=Guidance(setting.guidance, setting.guided_from, setting.guided_to)),
        )  # fmt: skip
        pictures += [np.asarray(picture) for picture in pipe.decode(latents)]
    return pictures


def main(options: Options) -> None:
    pipe = MagicPosePipeline.from_pretrained(options.model, dtype=getattr(torch, options.dtype))
    pipe.vae.float()
    pairs = people(options, pipe.native_side)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = (
        [json.loads(line)["setting"] for line in options.out.read_text().splitlines()] if options.out.exists() else []
    )
    store = options.out.with_suffix(".npz")
    for setting in settings(options):
        if vars(setting) | {"dtype": options.dtype} in done:
            continue
        began = time.process_time()
        pictures = generate(pipe, pairs, setting)
        row: dict[str, object] = {"cpu_s": round((time.process_time() - began) / len(pairs), 3)}
        if (setting.scheduler, setting.steps) == EXACT:
            np.savez(store, *pictures)
        elif store.exists():
            exact = np.load(store)
            row["psnr_to_exact"] = float(np.mean([psnr(p, exact[f"arr_{k}"]) for k, p in enumerate(pictures)]))
        scores = [measure(picture, pair) for picture, pair in zip(pictures, pairs, strict=True)]
        row |= {name: float(np.nanmean([s[name] for s in scores if name in s])) for name in scores[0]}
        with options.out.open("a") as log:
            log.write(json.dumps({"setting": vars(setting) | {"dtype": options.dtype}, **row}) + "\n")
        if options.pictures is not None:
            name = "_".join(str(value) for value in vars(setting).values())
            options.pictures.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(pictures, 1)).save(options.pictures / f"{name}.png")
        print(setting, {name: round(value, 3) for name, value in row.items()}, flush=True)  # type: ignore[call-overload]


if __name__ == "__main__":
    main(tyro.cli(Options))
