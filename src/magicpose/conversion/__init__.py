"""Original checkpoints and our folders, both ways: strict, exact, and without running code from files.

The public names are loaded on first use: what is wrong with a path is said before torch is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magicpose.conversion.converting import convert
    from magicpose.conversion.export import export_original
    from magicpose.conversion.original import Components, load_components, load_original

__all__ = ["Components", "convert", "export_original", "load_components", "load_original"]

_HOMES = {
    "Components": "original",
    "convert": "converting",
    "export_original": "export",
    "load_components": "original",
    "load_original": "original",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
