"""`magicpose retarget`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from magicpose.animation.drivers import Driver
    from magicpose.cli.bars import Bars
    from magicpose.pose.keypoints import PoseTrack
    from magicpose.pose.retargeting.portrait import Portrait


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/cli.md."""

    reference: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCE")]
    """a picture of the person"""
    driver: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DRIVER")]
    """what moves them, as for `animate`, but for rendered pose maps"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """a pose document on the reference's canvas"""
    preview: Path | None = None
    """also write the fitted motion over the reference: a video, or a .png with a few frames"""
    align: Literal["off", "place", "proportions"] = "proportions"
    """fit the motion to the person: place only, body proportions too, or not at all"""
    part: Literal["body", "face", "all"] = "all"
    """take only the driver's body movement, or only its expression"""
    repair: bool = True
    """fix what the detector got wrong: swapped sides, jumps, short gaps, jitter"""
    fps: float | None = None
    """frames per second; default: the driver's"""
    start: float | None = None
    """first second of the driver to use"""
    end: float | None = None
    """second of the driver to stop at"""
    person: str = "largest"
    """who moves in the driver: largest, center, or a number from 0"""
    detector: str = "auto"
    """auto, mediapipe or dwpose"""
    canvas: str | None = None
    """512x768: the canvas that a pose document refers to, where it does not state it"""
    overwrite: bool = False
    """replace outputs that exist"""


def run(options: Options) -> None:
    from magicpose.cli.bars import Bars
    from magicpose.errors import UserError
    from magicpose.media import check_output
    from magicpose.pose.detection.detect import choose_detector
    from magicpose.pose.documents.document import save_people
    from magicpose.pose.retargeting.fit import FitOptions, fit_motion
    from magicpose.pose.retargeting.repair import RepairOptions

    for path in (options.output, options.preview):
        if path is not None:
            check_output(path, options.overwrite)
    bars = Bars()
    driver, reference = _read(options, bars)
    if driver.track is None:
        raise UserError(f"{options.driver} has no keypoints to fit")
    fixed = RepairOptions() if options.repair and driver.detected else None
    fitted = fit_motion(driver.track, reference, FitOptions(options.align, options.part, fixed))
    if options.align != "off":
        print(fitted.diagnosis, file=sys.stderr)
    track = fitted.track
    save_people(options.output, [track], overwrite=options.overwrite)
    if options.preview is not None:
        _preview(options, track, options.preview, bars)
    what = f"{len(track)} frame{'s'[: len(track) > 1]} on {track.size[0]}x{track.size[1]}"
    found = (
        ""
        if options.align == "off" and not driver.detected
        else f", poses found by {choose_detector(options.detector)}"
    )
    print(f"{options.output}: {what}{found}", file=sys.stderr)


def _read(options: Options, bars: Bars) -> tuple[Driver, Portrait]:
    """The driver, and the person of the reference, who is not looked for where nothing is aligned."""
    from magicpose.animation.drivers import DriverOptions, read_driver
    from magicpose.cli.arguments import parse_canvas, parse_person
    from magicpose.media import read_image
    from magicpose.pose.keypoints import Pose
    from magicpose.pose.retargeting.portrait import Portrait, detect_portrait

    picture = read_image(options.reference)
    read = DriverOptions(
        fps=options.fps,
        start=options.start,
        end=options.end,
        person=parse_person(options.person),
        detector=options.detector,
        maps=False,
        canvas=parse_canvas(options.canvas),
    )
    with bars.stage("detect") as progress:
        driver = read_driver(options.driver, read, progress)
        if options.align == "off":
            return driver, Portrait(Pose(), picture.size)
        return driver, detect_portrait(options.reference, options.detector)


def _preview(options: Options, track: PoseTrack, output: Path, bars: Bars) -> None:
    """The fitted motion over the reference: a strip of stills or a video."""
    import numpy as np
    from PIL import Image

    from magicpose.media import read_image, write_image
    from magicpose.pose.drawing.previews import STILLS, write_overlay
    from magicpose.pose.drawing.strip import preview

    if output.suffix.lower() in STILLS:
        strip = preview(np.asarray(read_image(options.reference)), track)
        write_image(output, Image.fromarray(strip), overwrite=options.overwrite)
        return
    with bars.stage("preview") as progress:
        write_overlay(options.reference, [track], output, overwrite=options.overwrite, progress=progress)
