"""Detected people kept on disk under a hash of what they were detected in and how, so that nothing is done twice.

One pose document per entry, in `magicpose.caching.cache_folder("poses")` unless told otherwise.
Deleting it is always safe, and so are several processes at once: entries appear whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from magicpose.errors import UserError
from magicpose.pose.documents.document import load_people, save_people
from magicpose.pose.keypoints import PoseTrack

log = logging.getLogger(__name__)

REVISION = 1  # of the code between networks and poses: raise it when its results change


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 of a file's content; of several, of their hashes in order."""
    digests = [_hash_file(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def entry(folder: Path, content: str, **how: Any) -> Path:
    """The document for `content` (a hash) detected as `how` says; all of `how` must be plain JSON."""
    key = json.dumps([REVISION, content, how], sort_keys=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.pose.json"


def fetch(path: Path) -> list[PoseTrack] | None:
    """The people of an entry; None if there is none or it cannot be used."""
    if not path.is_file():
        return None
    try:
        return load_people(path)
    except UserError as error:
        log.warning("a cached pose document is damaged and will be made again: %s", error)
        return None


def keep(path: Path, people: Sequence[PoseTrack]) -> None:
    """Write an entry; a cache that cannot be written costs time, never the result."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_people(path, people, overwrite=True)
    except (OSError, UserError) as error:
        log.warning("the detected poses were not cached: %s", error)
