"""`synthetic-people render` and `synthetic-people sheet`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthetic_people.motion import Framing

USER_ERROR = 2


@dataclass(frozen=True)
class Render:
    """Render clips with exact keypoints into a folder; run the same command again to continue."""

    out: Path
    """folder to write to, one sub-folder per clip"""
    clips: int = 100
    frames: int = 24
    """frames per clip"""
    size: int = 256
    """side of the square frames, pixels"""
    first_seed: int = 0
    """seeds from 10,000,000 on are held out for evaluation"""
    framings: str = "half:.4,bust:.4,head:.2"
    """shares of full, knee, half, bust, head, face"""
    workers: int = 1
    """processes"""
    fps: float = 8.0
    """frames per second of the motion"""
    simple: bool = False
    """soft backgrounds, solid colours and coarse patterns only"""
    png: bool = False
    """PNG frames instead of JPEG"""
    masks: bool = False
    """write the person's coverage as well"""
    places: bool = False
    """write where on the person each cell of 4 pixels lies as well, for `loss.correspondence_weight` in training"""


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: a row of frames and a row of pose maps per person."""

    out: Path
    """picture to write, .jpg or .png"""
    first_seed: int = 0
    people: int = 6
    frames: int = 6
    """pictures per person, over three seconds"""
    size: int = 128
    """side of a picture, pixels"""
    framings: str = "full,knee,half,bust,head,face"
    """one after the other"""
    simple: bool = False
    """soft backgrounds, solid colours and coarse patterns only"""
    overwrite: bool = False


def parse_framings(text: str) -> tuple[tuple[Framing, float], ...]:
    """ "half:.4,bust" as pairs of framing and weight, 1 by default."""
    from magicpose.errors import UserError
    from synthetic_people.scene import FRAMES

    pairs: list[tuple[Framing, float]] = []
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        try:
            share = float(weight or 1)
        except ValueError:
            share = -1.0
        framing = next((known for known in FRAMES if known == name), None)
        if framing is None or not 0 <= share < float("inf"):
            raise UserError(f"--framings: {part!r} is not one of {', '.join(FRAMES)} with a weight, as in half:.4")
        pairs.append((framing, share))
    if sum(weight for _, weight in pairs) <= 0:
        raise UserError(f"--framings: the weights of {text!r} are all 0")
    return tuple(pairs)


def render(options: Render) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from synthetic_people.dataset import DatasetSettings, write_dataset

    settings = DatasetSettings(
        out=options.out,
        clips=options.clips,
        frames=options.frames,
        size=options.size,
        first_seed=options.first_seed,
        framings=parse_framings(options.framings),
        style="plain" if options.simple else "full",
        fps=options.fps,
        png=options.png,
        masks=options.masks,
        places=options.places,
    )
    console = Console(stderr=True)
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=settings.clips)
        for _ in write_dataset(settings, options.workers):
            progress.advance(task)
    print(f"{settings.clips} clips of {settings.frames} frames in {settings.out}")


def sheet(options: Sheet) -> None:
    import cv2

    from magicpose.errors import UserError
    from synthetic_people.clip import render_clip
    from synthetic_people.sheet import contact_sheet

    if options.out.exists() and not options.overwrite:
        raise UserError(f"{options.out} is there already: give another name or --overwrite")
    framings = [name for name, _ in parse_framings(options.framings)]
    clips = [
        render_clip(
            options.first_seed + k, 24, options.size, framings[k % len(framings)], "plain" if options.simple else "full"
        )
        for k in range(options.people)
    ]
    picture = contact_sheet(clips, options.frames)
    if options.out.suffix not in (".jpg", ".png") or not cv2.imwrite(str(options.out), picture[..., ::-1]):
        raise UserError(f"{options.out} cannot be written: give a .jpg or .png in an existing folder")
    for clip in clips:
        print(f"{clip.seed}: {clip.caption}")


def main() -> None:
    """The console script; exits with 2 and one line for what is the user's to mend."""
    import tyro

    from magicpose.errors import UserError, require

    options = tyro.extras.subcommand_cli_from_dict({"render": Render, "sheet": Sheet}, prog="synthetic-people")
    try:
        require("numba", "cv2")
        if isinstance(options, Render):
            render(options)
        else:
            sheet(options)
    except UserError as error:
        print(f"synthetic-people: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
