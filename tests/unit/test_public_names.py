"""`import magicpose` is free, and every public name is what it says, however it is reached."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import magicpose


def test_importing_the_package_imports_no_torch() -> None:
    code = "import magicpose, sys; assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules); dir(magicpose)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there_and_stays() -> None:
    for name in magicpose.__all__:
        importlib.import_module(magicpose._HOMES[name])
        for _ in range(2):  # a module of the same name would take its place after the first import
            assert not isinstance(getattr(magicpose, name), ModuleType), name
    assert sorted(magicpose.__all__) == list(magicpose.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(magicpose, "animaet")
