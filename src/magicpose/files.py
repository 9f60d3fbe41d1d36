"""Atomic writes of files and folders, and the cache folder, whose content can be made again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from magicpose.errors import UserError

if sys.platform != "win32":
    import fcntl

_DRAFT = ".part"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_NO_LOCKS = {errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF}  # some network disks and read-only handles


def cache_folder(kind: str) -> Path:
    """`$MAGICPOSE_CACHE/kind`, else `$XDG_CACHE_HOME/magicpose/kind`, else `~/.cache/magicpose/kind`."""
    own = os.environ.get("MAGICPOSE_CACHE")
    if own:
        return Path(own) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "magicpose" / kind


@contextlib.contextmanager
def replacing(path: Path, new: bool = False) -> Iterator[Path]:
    """A draft path of the same name, to be written as a file; it takes the place of `path` if all goes well.

    The draft lies in a hidden folder beside `path`, is on disk (fsync) before it is moved, and is gone after an
    exception. `new`: nothing may stand at `path`, not even what another process put there meanwhile (UserError).
    Raises what the system says (OSError).
    """
    with _scratch(path) as scratch:
        draft = scratch / path.name
        yield draft
        _sync(draft)
        if new:
            _link(draft, path)
        else:
            draft.replace(path)


@contextlib.contextmanager
def replacing_folder(path: Path, new: bool = False) -> Iterator[Path]:
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
            if new:
                raise _taken(path)
            path.replace(old)
        try:
            fresh.replace(path)
        except OSError:
            if os.path.lexists(old):
                old.replace(path)
            raise


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """`path` is made by this process alone while the block runs, however long; its folder must be there.

    A lock that the system drops when the process ends, also a killed one, on a hidden file beside `path`. Where the
    disk knows no locks, and on Windows, nothing is claimed. Raises UserError if another process makes `path` now.
    """
    if sys.platform == "win32":
        yield
        return
    name = path.name if len(path.name) <= 60 else hashlib.sha256(path.name.encode()).hexdigest()
    lock = path.with_name(f".{name}.lock")
    handle = _locked(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # while it is held: who opens the file after this makes a new one
        os.close(handle)


def _locked(lock: Path, path: Path) -> int:
    """The lock file, open and locked."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(lock) and os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return handle
            os.close(handle)
            if error.errno in _HELD:
                why = f"{path} is being made by another process: wait for it or choose another name"
                raise UserError(why) from None
            raise
        os.close(handle)  # its owner removed it between our two calls: take the next one


def _link(draft: Path, path: Path) -> None:
    """Moves `draft` to `path` only if nothing stands there, in one step where the disk can do that."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a disk without hard links
        if os.path.lexists(path):
            raise _taken(path) from None
        draft.replace(path)


def _taken(path: Path) -> UserError:
    return UserError(f"{path} was made by another process meanwhile; choose another name or pass --overwrite")


def is_draft(name: str) -> bool:
    """Whether a folder of this name is what a killed process left of a file it was writing."""
    return name.startswith(".") and name.endswith(_DRAFT)


def try_writing(path: Path) -> None:
    """Raises OSError where a file at `path` could not be made; permissions do not tell of read-only disks."""
    with _scratch(path):
        pass


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A hidden folder on the same disk as `path`, gone afterwards whatever happens. Files in it have usual rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=_DRAFT))
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
