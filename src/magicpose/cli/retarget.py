"""`magicpose retarget`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


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
    overwrite: bool = False
    """replace outputs that exist"""


def run(options: Options) -> None:
    import numpy as np
    from PIL import Image

    from magicpose.animation.drivers import DriverOptions, read_driver
    from magicpose.cli.arguments import parse_person
    from magicpose.cli.bars import Bars
    from magicpose.errors import UserError
    from magicpose.media import check_output, read_image, write_image
    from magicpose.pose.detection.detect import choose_detector, detect_pose
    from magicpose.pose.documents.document import save_people
    from magicpose.pose.drawing.previews import STILLS, write_overlay
    from magicpose.pose.drawing.strip import preview
    from magicpose.pose.retargeting.diagnosis import diagnose
    from magicpose.pose.retargeting.repair import repair
    from magicpose.pose.retargeting.retarget import retarget

    for path in (options.output, options.preview):
        if path is not None:
            check_output(path, options.overwrite)
    picture = read_image(options.reference)
    read = DriverOptions(
        options.fps, options.start, options.end, parse_person(options.person), options.detector, maps=False
    )
    bars = Bars()
    with bars.stage("detect") as progress:
        driver = read_driver(options.driver, read, progress)
        to = detect_pose(options.reference, options.detector)
    if driver.track is None:
        raise UserError(f"{options.driver} has no keypoints to fit")
    track = repair(driver.track) if driver.pictures is not None else driver.track
    print(diagnose(track, to, picture.size), file=sys.stderr)
    fitted = retarget(track, to, picture.size, options.align, options.part)
    save_people(options.output, [fitted], overwrite=options.overwrite)
    if options.preview is not None and options.preview.suffix.lower() in STILLS:
        strip = preview(np.asarray(picture), fitted)
        write_image(options.preview, Image.fromarray(strip), overwrite=options.overwrite)
    elif options.preview is not None:
        with bars.stage("preview") as progress:
            write_overlay(options.reference, [fitted], options.preview, overwrite=options.overwrite, progress=progress)
    what = f"{len(fitted)} frame{'s'[: len(fitted) > 1]} on {picture.width}x{picture.height}"
    print(f"{options.output}: {what}, poses found by {choose_detector(options.detector)}", file=sys.stderr)
