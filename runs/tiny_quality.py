"""How good the embedded model is on people it never saw: docs/tiny.md's table and sheet.

    python runs/tiny_quality.py --pairs 200 --out out/tiny/quality

Truth is rendered (seeds from 10,000,000 on), for the person itself and, cross-identity, for another person in the
very poses of the driver. Guidance and temperature were chosen on seeds 9,500,000 on. Rows are baselines and ablations
of the same weights, all with the same noise.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image

from magicpose.evaluation.image import METRICS, face_region
from magicpose.media import contact_sheet
from magicpose.networks.model import MagicPoseModel
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import Pose
from magicpose.pose.retargeting.retarget import retarget
from magicpose.sampling import make_scheduler, sample
from synthetic_people.clip import Clip, clip_as, render_clip

HELD_OUT = 10_000_000
FRAMINGS = (("bust", 0.5), ("half", 0.3), ("head", 0.2))
BATCH = 8


@dataclass(frozen=True)
class Options:
    pairs: int = 200
    out: Path = Path("out/tiny/quality")
    model: str = "tiny"
    steps: int = 20
    guidance: float | None = None
    temperature: float | None = None
    first_seed: int = HELD_OUT
    cross: int = 60
    """Cross-identity pairs, for the first so many people."""
    frames: int = 8
    fps: float = 3.0
    workers: int = 1
    prior: Path | None = None
    """Folder of the pose_prior stage's export, for the rows that need it."""
    stage1: Path | None = None
    """Folder of the appearance stage's export."""


@dataclass(frozen=True)
class Pair:
    """One test: a reference picture, a pose, the true picture of that person in that pose."""

    kind: str
    framing: str
    reference: NDArray[np.uint8]
    pose: Pose
    truth: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def framing_of(number: int) -> str:
    """Every ten people: five bust, three half, two head."""
    return [name for name, share in FRAMINGS for _ in range(int(share * 10))][number % 10]


def pairs(options: Options, size: int, worker: int = 0) -> Iterator[Pair]:
    """`pairs` people: one self pair each, and for the first ones a cross-identity pair; every `workers`-th of them."""
    for number in range(worker, options.pairs, options.workers):
        seed = options.first_seed + number
        clip = render_clip(seed, options.frames, size, framing_of(number), "plain", options.fps)  # type: ignore[arg-type]
        yield _pair("self", clip)
        if number < options.cross:
            # The clip of `seed` drives another person, who stands in the same scene; all that is known of them
            # is the reference picture, so the poses are fitted to it.
            guest = clip_as(seed + 500_000, clip)
            fitted = retarget(clip.track, to=guest.track[0], size=guest.track.size)
            yield _pair("cross", guest, fitted[-1])


def _pair(kind: str, clip: Clip, pose: Pose | None = None) -> Pair:
    return Pair(kind, clip.framing, clip.frames[0], pose or clip.track[-1], clip.frames[-1], clip.masks[-1])


Generate = Callable[[list[Pair]], list[NDArray[np.uint8]]]


def rows(pipeline: MagicPosePipeline, options: Options) -> dict[str, Generate]:
    """Every row of the table as a function from pairs to pictures."""
    scale = pipeline.settings.guidance_scale if options.guidance is None else options.guidance
    model = pipeline.model

    def ours(
        net: MagicPoseModel, reference: bool = True, shift: int = 0, temperature: float | None = options.temperature
    ) -> Generate:
        def generate(batch: list[Pair]) -> list[NDArray[np.uint8]]:
            return _generate(pipeline, net, batch, scale, options.steps, reference, shift, temperature)

        return generate

    table: dict[str, Generate] = {
        "copy the reference": lambda batch: [pair.reference for pair in batch],
        "no appearance control": ours(_with(model, pose=options.prior), reference=False),
    }
    if options.stage1 and options.prior:
        table["stage 1 + pose prior"] = ours(_with(model, appearance=options.stage1, pose=options.prior))
    table["a wrong person as reference"] = ours(model, shift=1)
    table["ours at temperature 1"] = ours(model, temperature=1.0)
    table["ours"] = ours(model)
    table["autoencoder round trip of the truth"] = lambda batch: _round_trip(pipeline, batch)
    return table


def _with(model: MagicPoseModel, appearance: Path | None = None, pose: Path | None = None) -> MagicPoseModel:
    from diffusers import ControlNetModel, UNet2DConditionModel

    from magicpose.networks.appearance import AppearanceControl

    branch, controlnet = model.appearance, model.pose_controlnet
    if appearance is not None:
        branch = AppearanceControl(UNet2DConditionModel.from_pretrained(appearance / "appearance"))
    if pose is not None:
        controlnet = ControlNetModel.from_pretrained(pose / "pose_controlnet")
    return MagicPoseModel(model.unet, branch, controlnet)


@torch.no_grad()
def _generate(
    pipeline: MagicPosePipeline,
    model: MagicPoseModel,
    batch: list[Pair],
    scale: float,
    steps: int,
    reference: bool,
    shift: int,
    temperature: float | None = None,
) -> list[NDArray[np.uint8]]:
    side = pipeline.native_side
    map_px = side // pipeline.stride * model.pose_stride
    maps = np.stack([draw_pose(pair.pose, (map_px, map_px), (side, side)) for pair in batch])
    pose = torch.from_numpy(maps).permute(0, 3, 1, 2).float() / 255
    shown = [batch[(k + shift) % len(batch)].reference for k in range(len(batch))]
    latents = _encode(pipeline, shown)
    temperature = pipeline.settings.temperature if temperature is None else temperature
    noise = torch.randn((1, *latents.shape[1:]), generator=torch.Generator().manual_seed(0)) * temperature
    scheduler = make_scheduler("ddim", pipeline.settings.schedule)
    context = pipeline._text("")
    with torch.autocast("cpu", torch.bfloat16):
        result = sample(
            model, noise, latents if reference else None, pose, context, steps, scale, scheduler=scheduler
        )  # fmt: skip
    return [np.asarray(picture) for picture in pipeline.decode(result)]


def _encode(pipeline: MagicPosePipeline, pictures: list[NDArray[np.uint8]]) -> torch.Tensor:
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    encoded: torch.Tensor = pipeline.vae.encode(pixels).latent_dist.sample() * pipeline.vae.config.scaling_factor
    return encoded


@torch.no_grad()
def _round_trip(pipeline: MagicPosePipeline, batch: list[Pair]) -> list[NDArray[np.uint8]]:
    return [np.asarray(p) for p in pipeline.decode(_encode(pipeline, [pair.truth for pair in batch]))]


def measure(picture: NDArray[np.uint8], pair: Pair) -> dict[str, float]:
    """All metrics over the frame, in the face box and inside the person's silhouette."""
    size = (pair.truth.shape[1], pair.truth.shape[0])
    regions = {"frame": None, "face": face_region(pair.pose, size), "person": pair.mask > 127}
    return {
        f"{where} {name}": metric(picture, pair.truth, region)
        for where, region in regions.items()
        if where == "frame" or (region is not None and region.any())
        for name, metric in METRICS.items()
    }


Numbers = dict[str, dict[str, list[float]]]  # "kind, framing | row" -> metric -> one value a pair


def evaluate(options: Options, worker: int) -> Numbers:
    """Every row on every `options.workers`-th batch of pairs."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.workers))
    pipeline = MagicPosePipeline.from_pretrained(options.model)
    table = rows(pipeline, options)
    numbers: Numbers = {}
    for batch in batches(pairs(options, pipeline.native_side, worker)):
        for name, generate in table.items():
            for tested, picture in zip(batch, generate(batch)):
                for metric, value in measure(picture, tested).items():
                    for group in (tested.kind, f"{tested.kind}, {tested.framing}"):
                        numbers.setdefault(f"{group} | {name}", {}).setdefault(metric, []).append(value)
        print(f"worker {worker}: {len(batch)} pairs more", flush=True)
    return numbers


def batches(some: Iterator[Pair]) -> Iterator[list[Pair]]:
    """`BATCH` pairs at a time; the wrong reference of a pair is its neighbour's."""
    while batch := list(itertools.islice(some, BATCH)):
        yield batch


def main(options: Options) -> None:
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(evaluate, [options] * options.workers, range(options.workers)))
    means: dict[str, dict[str, float]] = {}
    for row in dict.fromkeys(row for part in parts for row in part):
        columns = {m: [v for part in parts for v in part.get(row, {}).get(m, [])] for m in parts[0][row]}
        means[row] = {m: float(np.nanmean(v)) for m, v in columns.items()} | {"pairs": len(columns["frame mae"])}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(json.dumps(means, indent=1))
    (options.out / "quality.md").write_text(markdown(means))
    sheet(MagicPosePipeline.from_pretrained(options.model), options).save(options.out / "sheet.png")


def markdown(means: dict[str, dict[str, float]]) -> str:
    """One table per group of pairs."""
    columns = [f"{where} {metric}" for where in ("frame", "face", "person") for metric in METRICS]
    lines: list[str] = []
    for group in dict.fromkeys(row.split(" | ")[0] for row in means):
        lines += [
            f"### {group}",
            "",
            "| row | pairs | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 2) + "|",
        ]
        for row, values in means.items():
            if row.split(" | ")[0] == group:
                cells = [
                    f"{values.get(c, float('nan')):.3f}" if "ssim" in c else f"{values.get(c, float('nan')):.1f}"
                    for c in columns
                ]
                lines.append(f"| {row.split(' | ')[1]} | {values['pairs']} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def sheet(pipeline: MagicPosePipeline, options: Options, people: int = 12, poses: int = 6) -> Image.Image:
    """Not picked: the first `people` held-out people, reference, then (result, truth) in `poses` poses."""
    scale = pipeline.settings.guidance_scale if options.guidance is None else options.guidance
    lines = []
    for number in range(people):
        clip = render_clip(
            options.first_seed + number, poses + 1, pipeline.native_side, framing_of(number), "plain", options.fps  # type: ignore[arg-type]
        )  # fmt: skip
        batch = [
            Pair("self", clip.framing, clip.frames[0], clip.track[k], clip.frames[k], clip.masks[k])
            for k in range(1, poses + 1)
        ]
        results = _generate(pipeline, pipeline.model, batch, scale, options.steps, True, 0, options.temperature)
        shown = [clip.frames[0], *(p for pair, result in zip(batch, results) for p in (result, pair.truth))]
        lines.append([Image.fromarray(picture) for picture in shown])
    return contact_sheet(lines, labels=(), count=len(lines[0]))


if __name__ == "__main__":
    main(tyro.cli(Options))
