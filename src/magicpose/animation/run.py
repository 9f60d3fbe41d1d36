"""The main job: references and a driver in, a finished video out; stopped at any moment, it goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose import __version__
from magicpose.acceleration.less_memory import with_less_memory
from magicpose.animation.drivers import Driver, DriverOptions, Frame, fingerprint, read_driver
from magicpose.animation.jobs import Job
from magicpose.animation.presets import PRESETS, PresetName, check_temperature
from magicpose.checkpoints.hub import check_complete, find_model
from magicpose.errors import UserError
from magicpose.media import Canvas, VideoWriter, check_output, grid, read_image, write_image
from magicpose.media.canvas import Size
from magicpose.media.formats import format_of
from magicpose.pose.detection.cache import hash_files
from magicpose.pose.detection.detect import choose_detector, detect_pose
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.diagnosis import Diagnosis, diagnose
from magicpose.pose.retargeting.repair import repair
from magicpose.pose.retargeting.retarget import Align, Part, retarget
from magicpose.progress import Progress, Reporter, Silent

if TYPE_CHECKING:  # torch loads after everything cheap has been checked
    from torch import Tensor

    from magicpose.acceleration.arithmetic import Arithmetic
    from magicpose.pipeline import Conditions, MagicPosePipeline
    from magicpose.sampling import Guidance

Maps = NDArray[np.uint8]  # [F, H, W, 3]

GROUP = 16  # frames that are made and saved together
BLACK = (0, 0, 0)
PREVIEW = "preview.png"  # in the job's folder


@dataclass(frozen=True)
class AnimateOptions:
    """Everything that `animate` may be told; None takes the preset's or the model's own."""

    model: str = "tiny"
    preset: PresetName = "balanced"
    steps: int | None = None
    guidance: float | None = None
    temperature: float | None = None
    scheduler: str | None = None
    seed: int = 0
    prompt: str = ""
    size: int | Size | None = None
    align: Align = "proportions"
    part: Part = "all"
    repair: bool = True
    driver: DriverOptions = field(default_factory=DriverOptions)
    grid: bool = False
    batch: int = 8
    device: str = "cpu"
    dtype: str | None = None
    arithmetic: Arithmetic = "plain"
    compile: bool = False
    low_memory: bool = False
    preview: bool = False
    overwrite: bool = False


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
    options = options or AnimateOptions()
    output = Path(output)
    format_of(output)
    check_output(output, options.overwrite)
    if not references:
        raise UserError("there is no reference: give at least one picture of the person")
    if any(output.resolve() == Path(path).resolve() for path in (*references, driver)):
        raise UserError(f"{output} is one of the inputs; choose another name for the output")
    if options.batch < 1 or (options.steps is not None and options.steps < 1):
        raise UserError("steps and batch must be at least 1")
    if options.temperature is not None:
        check_temperature(options.temperature)
    work = _Work(options, reporter or Silent())
    with work.stage("read"):
        pictures = [read_image(path) for path in references]
        check_complete(find_model(options.model), options.model)
    with work.stage("detect") as progress:
        motion = read_driver(str(driver), options.driver, progress)
        settings = _settings(references, str(driver), options)  # hashes the driver: after what is too large was refused
        needs_pose = motion.track is not None and options.align != "off"
        person = _reference_pose(references[0], options) if needs_pose else Pose()
    if needs_pose or motion.pictures is not None:
        work.reporter.say(f"note: poses found by {choose_detector(options.driver.detector)}")
    track = _fitted(work, motion, person, pictures[0].size)
    with work.stage("load"):
        pipe = _load(options)
    canvas = pipe.canvas(pictures[0].size, options.size)
    with work.stage("draw"):
        maps = _maps(pipe, canvas, motion) if track is None else pipe.draw(track, canvas)
    group = GROUP if pipe.model.motion is None else len(maps)  # windows of motion modules overlap
    job = Job.open(output, settings, len(maps), group, options.overwrite)
    made = len(list(itertools.chain.from_iterable(job.groups_left())))
    _generate(work, pipe, job, canvas, pictures, maps)
    _decode(work, pipe, job)
    with work.stage("write") as progress:
        _write(job, output, options, motion, canvas, pictures[0], maps, settings, progress)
    job.close()
    return AnimateResult(output, len(maps), made, canvas.size, float(motion.fps), work.timings)


@dataclass
class _Work:
    """Options, the listener, and the clock."""

    options: AnimateOptions
    reporter: Reporter
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        began = time.perf_counter()
        with self.reporter.stage(name) as progress:
            yield progress
        self.timings[name] = time.perf_counter() - began


def _settings(references: Sequence[str | Path], driver: str, options: AnimateOptions) -> dict[str, Any]:
    """All that can change a frame, as plain JSON: what a resumed job compares, and what the output remembers."""
    preset = PRESETS[options.preset]
    read = options.driver
    return {
        "magicpose": __version__,
        "model": options.model,
        "weights": _weights_stamp(find_model(options.model)),
        "references": [Path(path).name for path in references],
        "references_sha256": hash_files(Path(path) for path in references),
        "driver": Path(driver).name,
        "driver_sha256": fingerprint(driver),
        "fps": read.fps,
        "start": read.start,
        "end": read.end,
        "person": read.person,
        "detector": choose_detector(read.detector),
        "maps": read.maps,
        "align": options.align,
        "part": options.part,
        "repair": options.repair,
        "scheduler": options.scheduler or preset.scheduler,
        "steps": options.steps or preset.steps,
        "guided": [preset.guided_from, preset.guided_to],
        "guidance": options.guidance,
        "temperature": options.temperature,
        "seed": options.seed,
        "prompt": options.prompt,
        "size": options.size,
        "batch": options.batch,
        "device": options.device,
        "dtype": options.dtype,
        "arithmetic": options.arithmetic,
        "compile": options.compile,
        "low_memory": options.low_memory,
    }


def _weights_stamp(folder: Path) -> list[list[Any]]:
    """Names, sizes and dates of a model's weights and own settings: enough to notice that they were replaced."""
    files = sorted([*folder.glob("*/*.safetensors"), *folder.glob("model_index.json")])
    return [[str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _reference_pose(path: str | Path, options: AnimateOptions) -> Pose:
    try:
        return detect_pose(path, options.driver.detector)
    except UserError as error:
        raise UserError(f"{error}; or pass --align off to take the driver's poses as they are") from error


def _fitted(work: _Work, motion: Driver, person: Pose, picture: Size) -> PoseTrack | None:
    """The motion on the canvas of the reference picture; None where the driver brings maps."""
    if motion.track is None:
        return None
    options, track = work.options, motion.track
    if options.repair and motion.pictures is not None:  # motions and documents are taken at their word
        with work.stage("repair"):
            track = repair(track)
    with work.stage("retarget"):
        if options.align != "off":
            _judge(work.reporter, diagnose(track, person, picture), detected=motion.pictures is not None)
        return retarget(track, person, picture, options.align, options.part)


def _judge(reporter: Reporter, diagnosis: Diagnosis, detected: bool) -> None:
    """Stops at what cannot work; says what is doubtful, of a motion that was detected."""
    for finding in diagnosis.findings:
        if finding.level == "refuse":
            raise UserError(f"this driver does not fit this reference: {finding.reason}; or pass --align off")
        if detected:
            reporter.say(f"note: {finding.reason}")


def _load(options: AnimateOptions) -> MagicPosePipeline:
    import torch

    from magicpose.pipeline import MagicPosePipeline
    from magicpose.sampling import make_scheduler

    make_scheduler(options.scheduler or PRESETS[options.preset].scheduler)  # a wrong name is noticed before loading
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


def _maps(pipe: MagicPosePipeline, canvas: Canvas, motion: Driver) -> Maps:
    """A driver's own maps [F, H, W, 3], whole, on the canvas that the model reads."""
    assert motion.maps is not None
    size = pipe.map_canvas(canvas)
    placed = (Image.fromarray(frame) for frame in motion.maps())
    return np.stack([np.asarray(size.place_whole(frame.size).apply(frame, BLACK)) for frame in placed])


def _guidance(pipe: MagicPosePipeline, options: AnimateOptions) -> Guidance:
    from magicpose.sampling import Guidance

    preset = PRESETS[options.preset]
    scale = pipe.settings.guidance_scale if options.guidance is None else options.guidance
    return Guidance(scale, preset.guided_from, preset.guided_to)


def _generate(
    work: _Work, pipe: MagicPosePipeline, job: Job, canvas: Canvas, pictures: Sequence[Image.Image], maps: Maps
) -> None:
    """Latents of all groups that have none yet."""
    from magicpose.sampling import FramePlan

    options = work.options
    preset = PRESETS[options.preset]
    steps, scheduler = options.steps or preset.steps, options.scheduler or preset.scheduler
    conditions: Conditions | None = None

    def attempt(batch: int) -> None:
        nonlocal conditions
        conditions = conditions or pipe.prepare(pictures, canvas, options.prompt, options.seed, options.temperature)
        for group in job.groups_left():

            def advance(done: int, _: int, before: int = group.start * steps) -> None:
                progress(before + done, job.frames * steps)

            latents = pipe.denoise(
                conditions,
                maps[group.start : group.stop],
                steps,
                _guidance(pipe, options),
                scheduler,
                options.seed,
                FramePlan(batch=batch),
                advance,
                _previewer(job, conditions, canvas, pictures[0]) if options.preview else None,
            )
            job.save_latents(group.start, latents)

    with work.stage("generate") as progress:
        if len(job.groups_left()) < len(job.groups()):
            kept = job.frames - sum(map(len, job.groups_left()))
            work.reporter.say(f"going on: {kept} of {job.frames} frames are there already")
        with_less_memory(attempt, options.batch, work.reporter.say, lambda: _tile(pipe))


def _previewer(
    job: Job, conditions: Conditions, canvas: Canvas, reference: Image.Image
) -> Callable[[slice, Tensor], None]:
    """Keeps a picture in the job's folder of what the frames that are being made will look like."""
    from magicpose.animation.latent_preview import LatentPreview, contact_sheet

    preview = LatentPreview.fit(conditions.references[0], canvas.place(reference.size).apply(reference))

    def write(_: slice, latents: Tensor) -> None:
        write_image(job.folder / PREVIEW, contact_sheet(preview(latents)), overwrite=True)

    return write


def _decode(work: _Work, pipe: MagicPosePipeline, job: Job) -> None:
    """Frames of all latents that have none yet."""

    def attempt(batch: int) -> None:
        for group in job.groups():
            if all(job.frame_path(index).is_file() for index in group):
                continue
            for index, frame in zip(group, pipe.decode(job.load_latents(group.start), batch)):
                job.save_frame(index, frame)
                progress(index + 1, job.frames)

    with work.stage("decode") as progress:
        with_less_memory(attempt, work.options.batch, work.reporter.say, lambda: _tile(pipe))


def _tile(pipe: MagicPosePipeline) -> str | None:
    """Switches the autoencoder to tiles, if it has any."""
    if not hasattr(pipe.vae, "enable_tiling"):
        return None
    pipe.vae.enable_tiling()
    return "the autoencoder in tiles"


def _write(
    job: Job,
    output: Path,
    options: AnimateOptions,
    motion: Driver,
    canvas: Canvas,
    reference: Image.Image,
    maps: Maps,
    settings: dict[str, Any],
    progress: Progress,
) -> None:
    frames: Iterator[Frame] = (np.asarray(job.load_frame(index)) for index in range(job.frames))
    if options.grid:
        frames = _side_by_side(frames, motion, canvas, reference, maps)
    about = {key: value for key, value in settings.items() if key != "weights"}
    with VideoWriter(output, motion.fps, audio=motion.audio, metadata=about, overwrite=options.overwrite) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame)
            progress(index + 1, job.frames)


def _side_by_side(
    frames: Iterator[Frame], motion: Driver, canvas: Canvas, reference: Image.Image, maps: Maps
) -> Iterator[Frame]:
    """reference | driver | pose | result; a driver without pictures has no column."""
    placed = canvas.place(reference.size).apply(reference)
    shrunk = (Image.fromarray(pose).resize(canvas.size, Image.Resampling.LANCZOS) for pose in maps)
    columns: dict[str, Any] = {"reference": placed, "pose": shrunk, "result": frames}
    if motion.pictures is not None:
        shown = (Image.fromarray(picture) for picture in motion.pictures())
        pictures = (canvas.place_whole(picture.size).apply(picture, BLACK) for picture in shown)
        columns = {"reference": placed, "driver": pictures, "pose": shrunk, "result": frames}
    return grid(list(columns.values()), list(columns))
