"""Procedural people with exact keypoints: data for the embedded model and for tests.

`render_clip(seed)` makes a clip, `render_as(seed, clip)` puts another person into it. Seeds of 10,000,000 and above
are held out for evaluation. Names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Clip": "synthetic_people.clip",
    "clip_as": "synthetic_people.clip",
    "clip_showing": "synthetic_people.clip",
    "render_as": "synthetic_people.clip",
    "render_clip": "synthetic_people.clip",
    "track_as": "synthetic_people.clip",
    "FIRST_HELD_OUT_SEED": "synthetic_people.seeds",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'synthetic_people' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
