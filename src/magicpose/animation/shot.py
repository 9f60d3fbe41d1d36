"""What a job works on: the inputs, read and judged before a model is loaded, and then the shot, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose import __version__
from magicpose.animation.drivers import Driver, fingerprint, read_driver
from magicpose.animation.options import AnimateOptions
from magicpose.animation.presets import Preset
from magicpose.animation.work import Work
from magicpose.checkpoints.hub import check_complete, find_model
from magicpose.checkpoints.index import read_settings
from magicpose.errors import UserError
from magicpose.media import Canvas, read_image
from magicpose.pose.detection.cache import hash_files
from magicpose.pose.detection.detect import choose_detector, detect_people
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.fit import FitOptions, fit_motion
from magicpose.pose.retargeting.portrait import Portrait, detect_portrait
from magicpose.pose.retargeting.repair import RepairOptions

if TYPE_CHECKING:
    from magicpose.pipeline import MagicPosePipeline

Maps = NDArray[np.uint8]  # [F, H, W, 3]
Paths = Sequence[str | Path]
BLACK = (0, 0, 0)


@dataclass(frozen=True)
class Inputs:
    """Everything that is known before a model is loaded.

    Args:
        pictures: the references, at least one.
        row: solver, steps and guided interval.
        motion: the driver as it was read.
        track: the motion on the first picture's canvas; None where the driver brings maps.
        about: names, hashes and every option, as plain JSON: what the job compares (see `changing`) and, but for the
            dates of the weights, what the output remembers.
    """

    options: AnimateOptions
    row: Preset
    pictures: list[Image.Image]
    motion: Driver
    track: PoseTrack | None
    about: dict[str, Any]


@dataclass(frozen=True)
class Shot:
    """The inputs on the frames' `canvas`, with the pose maps [F, H, W, 3] that the model reads."""

    inputs: Inputs
    canvas: Canvas
    maps: Maps

    @classmethod
    def of(cls, inputs: Inputs, pipe: MagicPosePipeline) -> Shot:
        """The shot at the size that `pipe` paints, or that was asked for."""
        canvas = pipe.canvas(inputs.pictures[0].size, inputs.options.size)
        maps = _own_maps(inputs.motion, pipe, canvas) if inputs.track is None else pipe.draw(inputs.track, canvas)
        return cls(inputs, canvas, maps)

    @property
    def options(self) -> AnimateOptions:
        return self.inputs.options

    @property
    def row(self) -> Preset:
        return self.inputs.row

    @property
    def reference(self) -> Image.Image:
        """The first reference as it is placed on the canvas."""
        picture = self.inputs.pictures[0]
        return self.canvas.place(picture.size).apply(picture)


def read_inputs(references: Paths, driver: str, options: AnimateOptions, work: Work) -> Inputs:
    """Reads, detects, repairs, judges and fits. UserError for whatever cannot work, the cheapest checks first."""
    with work.stage("read"):
        pictures = [read_image(path) for path in references]
        folder = find_model(options.model)
        check_complete(folder, options.model)
        row = options.row(read_settings(folder))
    with work.stage("detect") as progress:
        motion = read_driver(driver, options.driver, progress)
        about = _about(references, driver, options, row)  # hashes the driver: after what is too large was refused
        needs_pose = motion.track is not None and options.align != "off"
        reference = _portrait(references, options, work) if needs_pose else Portrait(Pose(), pictures[0].size)
    if needs_pose or motion.pictures is not None:
        work.say(f"note: poses found by {about['detector']}")
    track = None if motion.track is None else _fitted(motion, motion.track, reference, options, work)
    return Inputs(options, row, pictures, motion, track, about)


def _about(references: Paths, driver: str, options: AnimateOptions, row: Preset) -> dict[str, Any]:
    return {
        "magicpose": __version__,
        "weights": _weights_stamp(find_model(options.model)),
        "references": [Path(path).name for path in references],
        "references_sha256": hash_files(Path(path) for path in references),
        "driver": Path(driver).name,
        "driver_sha256": fingerprint(driver),
        **options.recorded(row),
        "detector": choose_detector(options.driver.detector),
    }


def _weights_stamp(folder: Path) -> list[list[Any]]:
    """Names, sizes and dates of a model's weights and own settings: enough to notice that they were replaced."""
    files = sorted([*folder.glob("*/*.safetensors"), *folder.glob("model_index.json")])
    return [[str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _portrait(references: Paths, options: AnimateOptions, work: Work) -> Portrait:
    """The person of the first reference. Says which of the others show nobody."""
    detector = options.driver.detector
    try:
        portrait = detect_portrait(references[0], detector)
    except UserError as error:
        raise UserError(f"{error}; or pass --align off to take the driver's poses as they are") from error
    for path in references[1:]:
        if not detect_people(path, detector):
            work.say(f"note: no person found in {path}: it tells nothing of the person; give another picture")
    return portrait


def _fitted(motion: Driver, track: PoseTrack, reference: Portrait, options: AnimateOptions, work: Work) -> PoseTrack:
    """The driver's `track` on the canvas of the reference picture. Says what is doubtful about it."""
    with work.stage("retarget"):
        fixed = RepairOptions() if options.repair and motion.detected else None
        fitted = fit_motion(track, reference, FitOptions(options.align, options.part, fixed))
    if not motion.built_in:
        for finding in fitted.diagnosis.findings:
            work.say(f"note: {finding.reason}")
    return fitted.track


def _own_maps(motion: Driver, pipe: MagicPosePipeline, canvas: Canvas) -> Maps:
    """A driver's own maps, whole, on the canvas that the model reads."""
    assert motion.maps is not None
    size = pipe.map_canvas(canvas)
    placed = (Image.fromarray(frame) for frame in motion.maps())
    return np.stack([np.asarray(size.place_whole(frame.size).apply(frame, BLACK)) for frame in placed])
