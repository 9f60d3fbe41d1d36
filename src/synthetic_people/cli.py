"""`synthetic-people render` and `synthetic-people sheet`."""

from __future__ import annotations

import contextlib
import io
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from synthetic_people.motion import Framing

USER_ERROR, INTERRUPTED = 2, 130
_BOX = " ╭╮╰╯│─"
_Seed = Annotated[int, tyro.conf.arg(aliases=["--seed"])]
_Style = Literal["plain", "full", "wild"]


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
    first_seed: _Seed = 0
    """seeds from 10,000,000 on are held out for evaluation"""
    framings: str = "half:.4,bust:.4,head:.2"
    """shares of full, knee, half, bust, head, face"""
    workers: int = 1
    """processes"""
    fps: float = 8.0
    """frames per second of the motion"""
    style: _Style = "full"
    """plain: soft backgrounds, solid colours and coarse patterns; wild: any texture, light and camera fault"""
    simple: bool = False
    """the same as --style plain"""
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
    first_seed: _Seed = 0
    people: int = 6
    frames: int = 6
    """pictures per person, over three seconds"""
    size: int = 128
    """side of a picture, pixels"""
    framings: str = "full,knee,half,bust,head,face"
    """one after the other"""
    style: _Style = "full"
    """plain: soft backgrounds, solid colours and coarse patterns; wild: any texture, light and camera fault"""
    simple: bool = False
    """the same as --style plain"""
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


def _style(options: Render | Sheet) -> _Style:
    from magicpose.errors import UserError

    if options.simple and options.style == "wild":
        raise UserError("--simple is --style plain: give one of --simple and --style wild")
    return "plain" if options.simple else options.style


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
        style=_style(options),
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

    framings = [name for name, _ in parse_framings(options.framings)]
    style = _style(options)
    _check_sheet(options)
    clips = [
        render_clip(options.first_seed + k, 24, options.size, framings[k % len(framings)], style)
        for k in range(options.people)
    ]
    picture = contact_sheet(clips, options.frames)
    if not cv2.imwrite(str(options.out), picture[..., ::-1]):
        raise UserError(f"{options.out} cannot be written: is there space, and may you write to the folder?")
    for clip in clips:
        print(f"{clip.seed}: {clip.caption}")


def _check_sheet(options: Sheet) -> None:
    """UserError for what would go wrong after minutes of drawing."""
    from magicpose.errors import UserError
    from synthetic_people.dataset import MAX_SIZE, MIN_SIZE

    if options.out.exists() and not options.overwrite:
        raise UserError(f"{options.out} is there already: give another name or --overwrite")
    if options.out.suffix not in (".jpg", ".png") or not options.out.parent.is_dir():
        raise UserError(f"{options.out} cannot be written: give a .jpg or .png in an existing folder")
    if options.first_seed < 0 or options.people < 1 or not 1 <= options.frames <= 24:
        raise UserError("give --first-seed 0 or more, --people 1 or more and --frames 1..24")
    if not MIN_SIZE <= options.size <= MAX_SIZE:
        raise UserError(f"--size {options.size}: give {MIN_SIZE}..{MAX_SIZE} px")


def _parsed(arguments: Sequence[str]) -> Render | Sheet:
    """The options; wrong ones end the program with one line in place of tyro's box."""
    said = io.StringIO()
    verbs: dict[str, Callable[..., Render | Sheet]] = {"render": Render, "sheet": Sheet}
    try:
        with contextlib.redirect_stderr(said):
            return tyro.extras.subcommand_cli_from_dict(verbs, prog="synthetic-people", args=list(arguments))
    except SystemExit as ended:
        if not ended.code:
            raise
        lines = [line.strip(_BOX) for line in said.getvalue().splitlines()]
        told = itertools.takewhile(lambda line: not line.startswith(("For full help", "Argument help")), lines[1:])
        what = " ".join(line for line in told if line and not line.endswith(" --help")).rstrip(".")
        print(f"synthetic-people: {what}; see synthetic-people --help", file=sys.stderr)
        sys.exit(USER_ERROR)


def _run(options: Render | Sheet) -> None:
    from magicpose.errors import UserError, require

    require("numba", "cv2")
    try:
        if isinstance(options, Render):
            render(options)
        else:
            sheet(options)
    except OSError as error:
        raise UserError(f"{error.filename or options.out} cannot be read or written: {error.strerror}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; exits with 2 and one line for what is the user's to mend."""
    from magicpose.errors import UserError

    options = _parsed(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(options)
    except UserError as error:
        print(f"synthetic-people: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
