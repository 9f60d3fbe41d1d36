"""Files put in place whole or not at all, and the folder for what can be made again."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF}  # some network disks and read-only handles


def cache_folder(kind: str) -> Path:
    """`$MAGICPOSE_CACHE/kind`, else `$XDG_CACHE_HOME/magicpose/kind`, else `~/.cache/magicpose/kind`."""
    own = os.environ.get("MAGICPOSE_CACHE")
    if own:
        return Path(own) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "magicpose" / kind


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft path of the same name, to be written as a file; it takes the place of `path` if all goes well.

    The draft lies in a hidden folder beside `path`, is on disk (fsync) before it is moved, and is gone after an
    exception. Raises what the system says (OSError).
    """
    with _scratch(path) as scratch:
        draft = scratch / path.name
        yield draft
        _sync(draft)
        draft.replace(path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, which is there, empty, when it is handed out.

    What stood at `path` before (a file or a folder) goes only once the new folder is complete. The caller checks
    that it may go. Raises what the system says (OSError).
    """
    with _scratch(path) as scratch:
        fresh, old = scratch / "new", scratch / "old"
        fresh.mkdir()
        yield fresh
        for file in sorted(fresh.rglob("*")):
            _sync(file)
        if os.path.lexists(path):
            path.replace(old)
        try:
            fresh.replace(path)
        except OSError:
            if os.path.lexists(old):
                old.replace(path)
            raise


def try_writing(path: Path) -> None:
    """Raises OSError where a file at `path` could not be made; permissions do not tell of read-only disks."""
    with _scratch(path):
        pass


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A hidden folder on the same disk as `path`, gone afterwards whatever happens. Files in it have usual rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=".part"))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sync(path: Path) -> None:
    """Waits until the disk holds the content of a file; folders are left to the system."""
    if not path.is_file():
        return
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
