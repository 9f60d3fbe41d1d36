"""The finished frames of a job as one output, with the driver's sound and the story of how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from magicpose.animation.drivers import Frame
from magicpose.animation.generate import TILES
from magicpose.animation.jobs import Job
from magicpose.animation.shot import BLACK, Shot
from magicpose.media import VideoWriter, grid
from magicpose.progress import Progress


def write_output(shot: Shot, job: Job, output: Path, progress: Progress) -> None:
    """Writes `output` whole or not at all; its metadata are `Inputs.about`."""
    motion, options = shot.inputs.motion, shot.options
    frames: Iterator[Frame] = (np.asarray(job.load_frame(index)) for index in range(job.frames))
    if options.grid:
        frames = _side_by_side(frames, shot)
    about: dict[str, Any] = {name: value for name, value in shot.inputs.about.items() if name != "weights"}
    about[TILES] = job.marked(TILES)
    with VideoWriter(output, motion.fps, audio=motion.audio, metadata=about, overwrite=options.overwrite) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame)
            progress(index + 1, job.frames)


def _side_by_side(frames: Iterator[Frame], shot: Shot) -> Iterator[Frame]:
    """reference | driver | pose | result; a driver without pictures has no column."""
    motion, canvas = shot.inputs.motion, shot.canvas
    shrunk = (Image.fromarray(pose).resize(canvas.size, Image.Resampling.LANCZOS) for pose in shot.maps)
    columns: dict[str, Any] = {"reference": shot.reference}
    if motion.pictures is not None:
        shown = (Image.fromarray(picture) for picture in motion.pictures())
        columns["driver"] = (canvas.place_whole(picture.size).apply(picture, BLACK) for picture in shown)
    columns |= {"pose": shrunk, "result": frames}
    return grid(list(columns.values()), list(columns))
