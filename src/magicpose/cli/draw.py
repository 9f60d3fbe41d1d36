"""`magicpose draw`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/cli.md."""

    driver: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DRIVER")]
    """a pose document, OpenPose or ComfyUI JSON, a built-in motion, or pictures to detect a person in"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """a picture (.png, first frame), a video, or no suffix for a folder of PNG files"""
    size: str | None = None
    """512 or 512x768; default: the motion's own canvas"""
    fps: float | None = None
    """frames per second; default: the driver's"""
    start: float | None = None
    """first second to draw"""
    end: float | None = None
    """second to stop at"""
    person: str = "largest"
    """largest, center, or a number from 0"""
    canvas: str | None = None
    """512x768: the canvas that a pose document refers to, where it does not state it"""
    overwrite: bool = False
    """replace the output if it exists"""


def run(options: Options) -> None:
    from magicpose.animation.drivers import DriverOptions, read_driver
    from magicpose.cli.arguments import parse_canvas, parse_person, parse_size
    from magicpose.cli.bars import Bars
    from magicpose.errors import UserError
    from magicpose.pose.drawing.previews import write_maps

    read = DriverOptions(
        fps=options.fps,
        start=options.start,
        end=options.end,
        person=parse_person(options.person),
        maps=False,
        canvas=parse_canvas(options.canvas),
    )
    bars = Bars()
    with bars.stage("detect") as progress:
        driver = read_driver(options.driver, read, progress)
    if driver.track is None:
        raise UserError(f"{driver.name} has no keypoints to draw")
    with bars.stage("draw") as progress:
        size = parse_size(options.size)
        count = write_maps(driver.track, driver.name, options.output, size, options.overwrite, progress)
    print(f"{options.output}: {count} pose maps", file=sys.stderr)
