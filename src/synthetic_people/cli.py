"""`synthetic-people`: render data sets of synthetic people."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Render:
    """Render clips into a folder, one sub-folder each; run again to continue."""

    out: Path
    """folder to write to"""
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
    fps: float = 8.0
    simple: bool = False
    """plain backgrounds and coarse patterns only"""
    png: bool = False
    """PNG frames instead of JPEG"""


@dataclass(frozen=True)
class Version:
    """Print the version."""


def parse_framings(text: str) -> tuple[tuple[str, float], ...]:
    from magicpose.errors import UserError

    known = ("full", "knee", "half", "bust", "head", "face")
    pairs = []
    for part in text.split(","):
        name, _, weight = part.partition(":")
        try:
            pairs.append((name.strip(), float(weight or 1)))
        except ValueError:
            raise UserError(f"--framings: {part!r} is not NAME:WEIGHT") from None
        if name.strip() not in known or pairs[-1][1] < 0:
            raise UserError(f"--framings: {part!r} must be one of {', '.join(known)} and a weight")
    return tuple(pairs)


def run(command: Render) -> None:
    from rich.console import Console
    from rich.progress import track

    from synthetic_people.dataset import DatasetSettings, write_dataset

    settings = DatasetSettings(
        command.out, command.clips, command.frames, command.size, command.first_seed,
        parse_framings(command.framings), "plain" if command.simple else "full", command.fps, command.png,  # type: ignore[arg-type]
    )  # fmt: skip
    console = Console(stderr=True)
    jobs = write_dataset(settings, command.workers)
    for _ in track(jobs, "rendering", total=command.clips, console=console, disable=not console.is_terminal):
        pass
    print(f"{command.clips} clips in {command.out}")


def main() -> None:
    import tyro

    from magicpose.errors import UserError

    try:
        command = tyro.extras.subcommand_cli_from_dict({"render": Render, "version": Version})
        if isinstance(command, Render):
            run(command)
        else:
            from magicpose import __version__

            print(__version__)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
