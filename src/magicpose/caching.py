"""Where things are kept that can be made again: detected poses, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """`$MAGICPOSE_CACHE/kind`, else `$XDG_CACHE_HOME/magicpose/kind`, else `~/.cache/magicpose/kind`."""
    own = os.environ.get("MAGICPOSE_CACHE")
    if own:
        return Path(own) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "magicpose" / kind
