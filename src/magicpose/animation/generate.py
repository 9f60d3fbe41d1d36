"""The long stages of a job: latents of all groups that have none yet, then frames of all latents that have none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from magicpose.acceleration.less_memory import with_less_memory
from magicpose.animation.jobs import Job
from magicpose.animation.shot import Shot
from magicpose.animation.work import Work
from magicpose.media import write_image

if TYPE_CHECKING:
    from torch import Tensor

    from magicpose.pipeline import Conditions, MagicPosePipeline
    from magicpose.sampling.guidance import Guidance

PREVIEW = "preview.png"  # in the job's folder
TILES = "tiles"  # the job's mark: decoded in tiles


def generate(shot: Shot, pipe: MagicPosePipeline, job: Job, work: Work) -> None:
    """Latents of the groups that are left. With too little memory, fewer frames go through a network call."""
    from magicpose.sampling.options import SamplerOptions
    from magicpose.sampling.windows import FramePlan

    options, row = shot.options, shot.row
    left = sum(group.stop - group.start for group in job.groups_left())
    with work.stage("generate") as progress:
        if left < job.frames:
            work.say(f"going on: {job.frames - left} of {job.frames} frames are there already")
        if not left:
            return
        conditions = _conditions(shot, pipe, job, work)
        preview = _previewer(shot, job, conditions) if options.preview else None

        def attempt(batch: int) -> None:
            plan = FramePlan(batch, job.groups_left(), options.windows)
            told = SamplerOptions(options.seed, _guidance(shot, pipe), plan, progress, preview)
            groups = pipe.denoise_groups(conditions, shot.maps, row.steps, row.scheduler, told)
            for group, latents in groups:
                job.save_latents(group.start, latents)

        smallest = pipe.model.motion is not None  # the windows of motion modules are always whole
        with_less_memory(attempt, 1 if smallest else options.batch, work.say)


def _conditions(shot: Shot, pipe: MagicPosePipeline, job: Job, work: Work) -> Conditions:
    """Made by the job's first run and kept. With too little memory the autoencoder works in tiles."""
    from magicpose.pipeline import Conditions

    options, pictures = shot.options, shot.inputs.pictures
    kept = job.load_conditions()
    if kept is not None:
        noise, context, *references = (
            kept[name].to(pipe.device, pipe.dtype) for name in ("noise", "context", *_reference_names(len(pictures)))
        )
        return Conditions(noise, references, context)

    def attempt(_: int) -> Conditions:
        return pipe.prepare(pictures, shot.canvas, options.prompt, options.seed, options.temperature)

    made = with_less_memory(attempt, 1, work.say, lambda: use_tiles(shot, pipe, job))
    named = dict(zip(_reference_names(len(pictures)), made.references, strict=True))
    job.save_conditions({"noise": made.noise, "context": made.context, **named})
    return made


def _reference_names(count: int) -> list[str]:
    return [f"reference{index}" for index in range(count)]


def _guidance(shot: Shot, pipe: MagicPosePipeline) -> Guidance:
    from magicpose.sampling.guidance import Guidance

    options, row = shot.options, shot.row
    scale = pipe.settings.guidance_scale if options.guidance is None else options.guidance
    return Guidance(scale, row.guided_from, row.guided_to)


def _previewer(shot: Shot, job: Job, conditions: Conditions) -> Callable[[Tensor], None]:
    """Keeps a picture in the job's folder of what the frames that are being made will look like."""
    from magicpose.animation.latent_preview import LatentPreview, contact_sheet

    preview = LatentPreview.fit(conditions.references[0], shot.reference)

    def write(latents: Tensor) -> None:
        write_image(job.folder / PREVIEW, contact_sheet(preview(latents)), overwrite=True)

    return write


def decode(shot: Shot, pipe: MagicPosePipeline, job: Job, work: Work) -> None:
    """Frames of the latents. With too little memory fewer at a time, then one by one in tiles."""

    def attempt(batch: int) -> None:
        for group in job.groups():
            indices = range(group.start, group.stop)
            if all(job.frame_path(index).is_file() for index in indices):
                continue
            for index, frame in zip(indices, pipe.decode(job.load_latents(group.start), batch), strict=True):
                job.save_frame(index, frame)
                progress(index + 1, job.frames)

    with work.stage("decode") as progress:
        with_less_memory(attempt, shot.options.batch, work.say, lambda: use_tiles(shot, pipe, job))


def use_tiles(shot: Shot, pipe: MagicPosePipeline, job: Job) -> str | None:
    """Switches the autoencoder to tiles and says so; None where it has none.

    Tiles change frames larger than one of them. There the job notes it: frames that were decoded whole are decoded
    again, a later run goes on with tiles, and the output's metadata tell.
    """
    vae = pipe.vae
    if not hasattr(vae, "enable_tiling"):
        return None
    vae.enable_tiling()
    if max(shot.canvas.size) > vae.tile_sample_min_size and not job.marked(TILES):
        job.mark(TILES)
        job.drop_frames()
    return "the autoencoder in tiles"
