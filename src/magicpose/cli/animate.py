"""`magicpose animate`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from magicpose.animation.options import AnimateOptions

if TYPE_CHECKING:
    from magicpose.animation.run import AnimateResult


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/cli.md."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCE... DRIVER")]
    """pictures of the person, then what moves them: a video, a picture, a folder of pictures or pose maps, a pose
    document, OpenPose or ComfyUI JSON, or a built-in motion (`magicpose models` lists them)"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """.mp4, .webm, .gif, .webp, or no suffix for a folder of PNG files"""
    job: Annotated[AnimateOptions, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes]


def run(options: Options) -> None:
    from magicpose.animation.run import animate
    from magicpose.cli.bars import Bars
    from magicpose.errors import UserError

    if len(options.inputs) < 2:
        raise UserError("name at least one picture of a person and then a driver, such as: me.jpg dance -o out.mp4")
    result = animate(options.inputs[:-1], options.inputs[-1], options.output, options.job, Bars())
    print(_summary(result), file=sys.stderr)


def _summary(result: AnimateResult) -> str:
    seconds = sum(result.timings.values())
    drawn = result.timings["generate"] + result.timings["decode"]
    speed = f", {result.made / drawn:.2f} frames/s" if result.made and drawn else ""
    what = f"{result.frames} frames of {result.size[0]}x{result.size[1]} at {result.fps:g} fps"
    return f"{result.output}: {what} in {seconds:.1f} s{speed}"


def interrupted(options: Options) -> str:
    """What to say after Ctrl-C."""
    from magicpose.animation.jobs import resume_hint

    return resume_hint(options.output)
