"""Errors that the user can fix, as opposed to our bugs."""

from __future__ import annotations

import importlib.util


class UserError(ValueError):
    """A mistake the user can fix: one sentence that names the thing and the fix.

    The command line prints it as a single line and exits with code 2; libraries may catch it as ValueError.
    """


EXTRAS = {  # package -> the extra that brings it
    "accelerate": "train",
    "yaml": "train",
    "numba": "people",
    "cv2": "people",
    "rtmlib": "detect",
    "onnxruntime": "detect",
    "peft": "lora",
    "scipy": "eval",
}


def require(*packages: str) -> None:
    """UserError naming the extra to install, for the first package that is not there; nothing is imported."""
    for package in packages:
        try:
            found = importlib.util.find_spec(package) is not None
        except ImportError:
            found = False
        if not found:
            raise _needs(package)


def missing_extra(error: ModuleNotFoundError) -> UserError | None:
    """Which extra brings the package that could not be imported; None where none does."""
    package = (error.name or "").partition(".")[0]
    return _needs(package) if package in EXTRAS else None


def _needs(package: str) -> UserError:
    return UserError(f"this needs the package {package}: run pip install 'magicpose[{EXTRAS[package]}]'")
