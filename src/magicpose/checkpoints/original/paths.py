"""What can be said of a conversion's paths before a library is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from magicpose.errors import UserError

PICKLES = (".ckpt", ".pth", ".th", ".pt", ".bin")
WEIGHT_SUFFIXES = (".safetensors", *PICKLES)


def check_paths(sources: Sequence[Path], destination: Path, overwrite: bool) -> None:
    """Raises UserError for no source, one that is missing or no weight file, or a destination that exists."""
    if not sources:
        raise UserError("name at least one checkpoint to convert")
    for source in sources:
        if not source.is_dir():
            check_weight_file(source)
    if destination.exists() and not overwrite:
        raise UserError(f"{destination}: exists already; choose another name or pass --overwrite")


def check_weight_file(path: Path) -> None:
    """Raises UserError for a path that is no file, or whose name is not a weight file's."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise UserError(f"{path}: not a weight file; expected one of {', '.join(WEIGHT_SUFFIXES)}")
