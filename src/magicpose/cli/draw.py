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
    overwrite: bool = False
    """replace the output if it exists"""


def run(options: Options) -> None:
    from magicpose.animation.drivers import DriverOptions, read_driver
    from magicpose.cli.arguments import parse_person, parse_size
    from magicpose.cli.bars import Bars
    from magicpose.pose.drawing.previews import draw_driver

    read = DriverOptions(options.fps, options.start, options.end, parse_person(options.person), maps=False)
    bars = Bars()
    with bars.stage("detect") as progress:
        driver = read_driver(options.driver, read, progress)
    with bars.stage("draw") as progress:
        count = draw_driver(driver, options.output, parse_size(options.size), options.overwrite, progress)
    print(f"{options.output}: {count} pose maps", file=sys.stderr)
