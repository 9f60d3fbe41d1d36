"""The main job: references and a driver in, a finished video out; stopped at any moment, it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magicpose.animation.generate import TILES, decode, generate, use_tiles
from magicpose.animation.jobs import Job
from magicpose.animation.options import AnimateOptions as AnimateOptions
from magicpose.animation.options import changing
from magicpose.animation.shot import Shot, read_inputs
from magicpose.animation.work import Work
from magicpose.animation.write import write_output
from magicpose.errors import UserError
from magicpose.files import claimed
from magicpose.media import check_output
from magicpose.media.canvas import Size
from magicpose.media.formats import format_of
from magicpose.progress import Reporter, Silent

if TYPE_CHECKING:  # torch loads after everything cheap has been checked
    from magicpose.pipeline import MagicPosePipeline

GROUP = 16  # frames that are made and saved together


@dataclass(frozen=True)
class AnimateResult:
    """`timings` in seconds by stage; `made` frames in this run, the others were there already."""

    output: Path
    frames: int
    made: int
    size: Size
    fps: float
    timings: dict[str, float]


def animate(
    references: Sequence[str | Path],
    driver: str | Path,
    output: str | Path,
    options: AnimateOptions | None = None,
    reporter: Reporter | None = None,
) -> AnimateResult:
    """The person of the `references` (pictures) doing what `driver` does, as the video `output`.

    `driver`: video, picture, folder of pictures or pose maps, pose document, OpenPose folder, ComfyUI JSON, or the
    name of a built-in motion. Run again after it was stopped, it goes on and gives the same frames.
    Raises UserError for anything wrong with them, before long work starts where that is possible.
    """
    options, output = options or AnimateOptions(), Path(output)
    _check(references, driver, output, options)
    with claimed(output):
        return _animated(references, str(driver), output, options, Work(reporter or Silent()))


def _animated(
    references: Sequence[str | Path], driver: str, output: Path, options: AnimateOptions, work: Work
) -> AnimateResult:
    """All of the work, once what is cheap to check has been checked and nobody else makes this output."""
    inputs = read_inputs(references, driver, options, work)
    with work.stage("load"):
        pipe = _load(options, inputs.row.scheduler)
    with work.stage("draw"):
        shot = Shot.of(inputs, pipe)
    frames = len(shot.maps)
    group = GROUP if pipe.model.motion is None else frames  # windows of motion modules overlap
    job = Job.open(output, changing(inputs.about), frames, group, options.overwrite)
    made = sum(left.stop - left.start for left in job.groups_left())
    if options.low_memory or job.marked(TILES):
        use_tiles(shot, pipe, job)
    generate(shot, pipe, job, work)
    decode(shot, pipe, job, work)
    with work.stage("write") as progress:
        write_output(shot, job, output, progress)
    job.close()
    return AnimateResult(output, frames, made, shot.canvas.size, float(inputs.motion.fps), work.timings)


def _check(references: Sequence[str | Path], driver: str | Path, output: Path, options: AnimateOptions) -> None:
    """What can be refused without reading anything."""
    format_of(output)
    check_output(output, options.overwrite)
    if not references:
        raise UserError("there is no reference: give at least one picture of the person")
    if any(output.resolve() == Path(path).resolve() for path in (*references, driver)):
        raise UserError(f"{output} is one of the inputs; choose another name for the output")
    options.check()


def _load(options: AnimateOptions, scheduler: str) -> MagicPosePipeline:
    import torch

    from magicpose.networks.schedule import make_scheduler
    from magicpose.pipeline import MagicPosePipeline

    make_scheduler(scheduler)  # a wrong name is noticed before loading
    dtype = None if options.dtype is None else getattr(torch, options.dtype, None)
    if options.dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise UserError(f"unknown dtype {options.dtype!r}: choose float32, bfloat16 or float16")
    try:
        pipe = MagicPosePipeline.from_pretrained(options.model, options.device, dtype)
    except RuntimeError as error:
        if "device" not in str(error):
            raise
        raise UserError(f"device {options.device!r} cannot be used: {str(error).splitlines()[0]}") from error
    pipe.set_arithmetic(options.arithmetic)
    if options.compile:
        pipe.compile()
    if options.low_memory:
        pipe.save_memory()
    return pipe
