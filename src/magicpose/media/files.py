"""Files at the border: is the input there, may the output be written, and one line when it cannot be."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from magicpose.errors import UserError
from magicpose.files import try_writing

PathLike = str | os.PathLike[str]


class MediaWarning(UserWarning):
    """Something about a picture or a video that was mended on the way, worth one line to the user."""


_FULL = "free some space and run the same command again; nothing already made is lost"
REFUSALS = {
    errno.ENOSPC: f"the disk is full: {_FULL}",
    errno.EDQUOT: f"your disk quota is used up: {_FULL}",
    errno.EFBIG: f"the file would be larger than this system allows: {_FULL}",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "that folder is read-only; choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "a part of that path is a file, not a folder; choose another folder",
    errno.ENOENT: "that folder cannot be made; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's refusals while writing `path` into UserError; anything else passes as it is."""
    try:
        yield
    except OSError as error:
        why = REFUSALS.get(error.errno or 0)
        if why is None:
            raise
        raise UserError(f"cannot write {path}: {why}") from error


def check_input(path: PathLike, what: str) -> Path:
    """`path` as a readable, non-empty file, or a UserError; `what` says what it should be ("picture")."""
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a {what}; name a file in it")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist; check the name") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}); check its permissions") from error
    if empty:
        raise UserError(f"{what} {path} is empty (0 bytes); copy or download it again")
    return path


def check_output(path: PathLike, overwrite: bool = False) -> Path:
    """`path` as something that may be written: not there yet (or `overwrite`), its folder made and writable.

    A folder is only ever overwritten when it holds numbered frames and nothing else.
    """
    path = Path(path)
    with explained(path):
        if os.path.lexists(path):
            if not overwrite:
                raise UserError(f"{path} exists already; choose another name or pass --overwrite")
            if path.is_dir() and not all(is_frame_name(entry.name) for entry in path.iterdir()):
                raise UserError(f"{path} holds other files than frames and is left alone; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        try_writing(path)
    return path


def stamp_of(path: Path) -> tuple[int, int]:
    """Changes when the content of a file does: for what is remembered of it within one run."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def frame_name(index: int) -> str:
    """The name of frame `index` in a folder of frames, counted from 0."""
    return f"{index:06d}.png"


def is_frame_name(name: str) -> bool:
    return re.fullmatch(r"\d{6,}\.png", name) is not None


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts `frame2` before `frame10`: runs of digits count as numbers."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def open_container(path: PathLike) -> av.container.InputContainer:
    """Any media file, and nothing that it refers to; titles in other encodings than UTF-8 lose letters, no more."""
    return av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace")
