"""`magicpose animate`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from magicpose.animation.presets import PresetName


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/cli.md."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCE... DRIVER")]
    """pictures of the person, then what moves them: a video, a picture, a folder of pictures or pose maps, a pose
    document, OpenPose or ComfyUI JSON, or a built-in motion (`magicpose models` lists them)"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """.mp4, .webm, .gif, .webp, or no suffix for a folder of PNG files"""
    model: str = "tiny"
    """an embedded model, a folder, or a Hugging Face id"""
    preset: PresetName = "balanced"
    """how much work a frame gets"""
    steps: int | None = None
    """denoising steps; default: the preset's"""
    guidance: float | None = None
    """1 is off; default: the model's own"""
    temperature: float | None = None
    """of the start noise: 1 is the paper's; below, fewer accidents and less detail; default: the model's own"""
    scheduler: str | None = None
    """ddim, dpm++2m, unipc, lcm, tcd; default: the preset's"""
    seed: int = 0
    prompt: str = ""
    """words for models that understand them"""
    size: str | None = None
    """512 (about 512x512, in the reference's shape) or 512x768; default: what the model was trained at"""
    fps: float | None = None
    """frames per second; default: the driver's"""
    start: float | None = None
    """first second of the driver to use"""
    end: float | None = None
    """second of the driver to stop at"""
    align: Literal["off", "place", "proportions"] = "proportions"
    """fit the motion to the person: place only, body proportions too, or not at all"""
    part: Literal["body", "face", "all"] = "all"
    """take only the driver's body movement, or only its expression"""
    repair: bool = True
    """mend what the detector got wrong: swapped sides, jumps, short gaps, jitter"""
    person: str = "largest"
    """who moves in the driver: largest, center, or a number from 0, from left to right"""
    detector: str = "auto"
    """auto, mediapipe or dwpose"""
    maps: bool | None = None
    """the driver's pictures are rendered pose maps (default: judged by the first)"""
    grid: bool = False
    """show reference, driver, pose and result side by side"""
    batch: int = 8
    """frames per network call"""
    device: str = "cpu"
    """cpu, cuda, mps"""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    arithmetic: Literal["plain", "winograd", "int8"] = "plain"
    """on CPUs: winograd is quicker and exact to rounding (float32), int8 quicker still and inexact"""
    compile: bool = False
    """torch.compile: the first step takes minutes the first time, seconds to a minute later; for long clips"""
    low_memory: bool = False
    """autoencoder in slices and tiles; on GPUs weights wait in main memory; slower"""
    preview: bool = False
    """keep OUTPUT.work/preview.png up to date while it runs: the frames being made, roughly, after every step"""
    overwrite: bool = False
    """replace the output if it exists"""


def run(options: Options) -> None:
    from magicpose.animation.drivers import DriverOptions
    from magicpose.animation.run import AnimateOptions, animate
    from magicpose.cli.arguments import parse_person, parse_size
    from magicpose.cli.bars import Bars
    from magicpose.errors import UserError

    if len(options.inputs) < 2:
        raise UserError("name at least one picture of a person and then a driver, such as: me.jpg dance -o out.mp4")
    driver = DriverOptions(
        options.fps, options.start, options.end, parse_person(options.person), options.detector, options.maps
    )
    chosen = AnimateOptions(
        model=options.model,
        preset=options.preset,
        steps=options.steps,
        guidance=options.guidance,
        temperature=options.temperature,
        scheduler=options.scheduler,
        seed=options.seed,
        prompt=options.prompt,
        size=parse_size(options.size),
        align=options.align,
        part=options.part,
        repair=options.repair,
        driver=driver,
        grid=options.grid,
        batch=options.batch,
        device=options.device,
        dtype=options.dtype,
        arithmetic=options.arithmetic,
        compile=options.compile,
        low_memory=options.low_memory,
        preview=options.preview,
        overwrite=options.overwrite,
    )
    result = animate(options.inputs[:-1], options.inputs[-1], options.output, chosen, Bars())
    seconds = sum(result.timings.values())
    drawn = result.timings["generate"] + result.timings["decode"]
    speed = f", {result.made / drawn:.2f} frames/s" if result.made and drawn else ""
    width, height = result.size
    print(
        f"{result.output}: {result.frames} frames of {width}x{height} at {result.fps:g} fps in {seconds:.1f} s{speed}",
        file=sys.stderr,
    )


def interrupted(options: Options) -> str:
    """What to say after Ctrl-C."""
    from magicpose.animation.jobs import resume_hint

    return resume_hint(options.output)
