"""The options of `animate`: one statement, from which help, record and documentation follow."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import subprocess
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from magicpose.acceleration.arithmetic import Arithmetic
from magicpose.animation.options import AnimateOptions, DriverOptions, PersonChoice, changing
from magicpose.animation.presets import Preset
from magicpose.checkpoints.index import ModelSettings
from magicpose.errors import UserError
from magicpose.pose import keypoints
from magicpose.pose.retargeting.retarget import Align, MotionPart
from magicpose.sampling.windows import WINDOWS, FramePlan, WindowsName

ROW = Preset("ddim", 50, 0.0, 0.7, "")
DOCS = Path(__file__).parents[3] / "docs/cli.md"


def test_nothing_heavy_is_loaded_for_the_help() -> None:
    heavy = "{'numpy', 'torch', 'PIL', 'av', 'diffusers'}"
    code = f"import sys, magicpose.cli.animate, magicpose.cli.values; sys.exit(str({heavy} & set(sys.modules) or 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "0" or done.returncode == 0, done.stderr


def test_choices_are_the_librarys() -> None:
    hints = get_type_hints(AnimateOptions)
    assert set(get_args(hints["align"])) == set(get_args(Align))
    assert set(get_args(hints["part"])) == set(get_args(MotionPart))
    assert set(get_args(hints["arithmetic"])) == set(get_args(Arithmetic))
    assert PersonChoice == keypoints.PersonChoice
    assert set(get_args(WindowsName)) == set(WINDOWS) and all(FramePlan(windows=name) for name in WINDOWS)


def test_the_record_is_flat_plain_json_with_what_was_used() -> None:
    model = ModelSettings("some", solver="lcm", steps=4)
    for options, used in (
        (AnimateOptions(), (4, "lcm", [0.0, 1.0])),
        (AnimateOptions(preset="fast"), (2, "lcm", [0.0, 0.7])),  # half of the model's own
        (AnimateOptions(preset="fast", steps=3), (3, "lcm", [0.0, 0.7])),
    ):
        record = options.recorded(options.row(model))
        assert (record["steps"], record["scheduler"], record["guided"]) == used
    record = AnimateOptions(size=(512, 768), driver=DriverOptions(fps=8, person=1)).recorded(ROW)
    assert json.loads(json.dumps(record)) == record | {"size": [512, 768]}
    assert (record["fps"], record["person"], record["seed"]) == (8, 1, 0)


OTHER: dict[str, Any] = {
    "model": "x", "preset": "exact", "steps": 3, "guidance": 2.0, "temperature": 0.1, "scheduler": "lcm",
    "windows": "plain", "seed": 1, "prompt": "a", "size": 64, "align": "off", "part": "face", "repair": False,
    "grid": True, "batch": 1, "device": "cuda", "dtype": "bfloat16", "arithmetic": "int8", "compile": True,
    "low_memory": True, "preview": True, "overwrite": True,
    "fps": 5.0, "start": 1.0, "end": 2.0, "person": 1, "detector": "dwpose", "maps": True, "canvas": (64, 64),
}  # fmt: skip
FREE = {"grid", "batch", "device", "compile", "low_memory", "preview", "overwrite"}


@pytest.mark.parametrize("name", [field.name for field in fields(AnimateOptions) if field.name != "driver"])
def test_a_job_compares_what_changes_frames(name: str) -> None:
    plain = AnimateOptions()
    other = replace(plain, **{name: OTHER[name]})
    rows = (each.row(ModelSettings("some")) for each in (plain, other))
    before, after = (changing(each.recorded(row)) for each, row in zip((plain, other), rows, strict=True))
    assert (before == after) == (name in FREE)


@pytest.mark.parametrize("name", [field.name for field in fields(DriverOptions)])
def test_a_job_compares_how_the_driver_is_read(name: str) -> None:
    other = AnimateOptions(driver=replace(DriverOptions(), **{name: OTHER[name]}))
    assert changing(AnimateOptions().recorded(ROW)) != changing(other.recorded(ROW))


def test_impossible_values_are_refused() -> None:
    for wrong in ({"batch": 0}, {"steps": 0}, {"temperature": -1.0}):
        with pytest.raises(UserError, match=r"at least 1|0 or more"):
            AnimateOptions(**wrong).check()


def _help(options: type) -> dict[str, str]:
    """field -> the text under it."""
    body = ast.parse(inspect.getsource(options)).body[0].body  # type: ignore[attr-defined]
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(text.value.value.split())  # type: ignore
    return found


def _rows(options: type) -> list[str]:
    rows = []
    for field in fields(options):
        text = _help(options).get(field.name)
        if text is not None:
            default = "" if field.default in (None, MISSING, "") else f"`{field.default}`"
            rows.append(f"| `--{field.name.replace('_', '-')}` | {default} | {text} |")
    return rows


def test_the_page_lists_every_option_with_its_default_and_help() -> None:
    rows = [*_rows(AnimateOptions), *_rows(DriverOptions)]
    assert len(rows) == len(fields(AnimateOptions)) - 1 + len(fields(DriverOptions)), "an option without a text"
    page = DOCS.read_text(encoding="utf-8")
    missing = [row for row in rows if row not in page.splitlines()]
    assert not missing, "the table in docs/cli.md must have these rows:\n" + "\n".join(missing)
