"""Where a file comes from: hashes of its inputs, and the record of how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from magicpose import __version__

_CHUNK = 1 << 20  # bytes
SYNTHETIC = "synthetic"  # key of a record: the pictures were made by a network


def record(synthetic: bool = False, **settings: Any) -> dict[str, Any]:
    """The version of this package and the `settings` that made a file, as plain JSON.

    `synthetic` marks pictures that a network made; drawings and overlays carry no such mark.
    """
    mark = {SYNTHETIC: True} if synthetic else {}
    return {"magicpose": __version__, **mark, **settings}


def hash_file(path: Path) -> str:
    """sha256 of the content, in hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 of a file's content; of several, the sha256 of their hashes in order."""
    digests = [hash_file(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def hash_source(source: str) -> str:
    """The hash of a file, or of the files of a folder in the order of their names; a name of neither is its own."""
    path = Path(source)
    if path.is_dir():
        return hash_files(sorted(entry for entry in path.iterdir() if entry.is_file()))
    return hash_files([path]) if path.is_file() else source


def hash_contents(contents: Iterable[bytes]) -> str:
    """sha256 of the binary sha256 of every content, in order: one for a set of small files."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """sha256 of plain JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp_files(folder: Path, patterns: Iterable[str]) -> list[list[Any]]:
    """[name, bytes, date in ns] of the files that match: enough to notice that large files were replaced."""
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    return [[str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
