"""`magicpose detect`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/cli.md."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """a picture, a video, or a folder of pictures"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """a pose document, such as clip.pose.json"""
    person: str = "all"
    """all, or one: largest, center, or a number from 0, from left to right"""
    detector: str = "auto"
    """auto, mediapipe or dwpose"""
    repair: bool = False
    """mend swapped sides, jumps, short gaps and jitter before writing (animate does so by itself)"""
    layout: Literal["magicpose", "openpose", "comfyui", "coco-wholebody"] = "magicpose"
    """whose JSON to write; openpose makes a folder"""
    fps: float | None = None
    """frames per second to look at; default: all"""
    start: float | None = None
    """first second of a video"""
    end: float | None = None
    """second of a video to stop at"""
    max_people: int = 4
    """people looked for in a frame"""
    overlay: Path | None = None
    """also write the keypoints over the pictures, as a video or picture, for people to judge"""
    overwrite: bool = False
    """replace outputs that exist"""


def run(options: Options) -> None:
    from magicpose.cli.arguments import parse_person
    from magicpose.cli.bars import Bars
    from magicpose.errors import UserError
    from magicpose.media import check_output
    from magicpose.pose.detection.detect import choose_detector, detect_people
    from magicpose.pose.documents.document import save_people
    from magicpose.pose.drawing.previews import write_overlay
    from magicpose.pose.people import pick_person
    from magicpose.pose.retargeting.repair import repair

    chosen = None if options.person == "all" else parse_person(options.person)
    check_output(options.output, options.overwrite)
    if options.overlay is not None:
        check_output(options.overlay, options.overwrite)
    bars = Bars()
    with bars.stage("detect") as progress:
        people = detect_people(
            options.source,
            options.detector,
            fps=options.fps,
            start=options.start,
            end=options.end,
            max_people=options.max_people,
            progress=progress,
        )
    if not people:
        raise UserError(f"no person found in {options.source}: give one in which somebody can be seen")
    if chosen is not None:
        people = [pick_person(dict(enumerate(people)), chosen)]
    if options.repair:
        people = [repair(track) for track in people]
    save_people(options.output, people, overwrite=options.overwrite, layout=options.layout)
    if options.overlay is not None:
        with bars.stage("overlay") as progress:
            write_overlay(
                options.source, people, options.overlay, options.start, options.end, options.overwrite, progress
            )
    by = choose_detector(options.detector)
    who, frames = ("1 person" if len(people) == 1 else f"{len(people)} people"), len(people[0])
    print(f"{options.output}: {who}, {frames} frame{'s'[: frames > 1]}, found by {by}", file=sys.stderr)
