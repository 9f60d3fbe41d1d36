"""What reaches a user's terminal and memory without being asked for: nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


LIBRARY_USE = {
    "load": "from magicpose import MagicPosePipeline; MagicPosePipeline.from_pretrained('tiny')",
    "save": "from magicpose import MagicPosePipeline as P; P.from_pretrained('tiny').save_pretrained(sys.argv[1])",
    "convert": "import magicpose; from magicpose.checkpoints.hub import EMBEDDED; "
    "magicpose.convert(EMBEDDED['tiny'].folder, sys.argv[1], dtype='float16')",
}


@pytest.mark.parametrize("use", LIBRARY_USE)
def test_library_use_prints_nothing(use: str, tmp_path: Path) -> None:
    done = python("import sys; " + LIBRARY_USE[use], str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_users_own_loading_still_talks() -> None:
    """No library's verbosity, progress bars or logging is switched."""
    code = """
import logging, os
import transformers, diffusers
def state():
    names = ("transformers", "diffusers", "huggingface_hub")
    return ([logging.getLogger(n).level for n in names], transformers.utils.logging.is_progress_bar_enabled(),
            [logging.getLogger(n).filters[:] for n in names], dict(os.environ))
diffusers.logging.get_logger("diffusers"), transformers.utils.logging.get_logger("transformers")
before = state()
from magicpose import MagicPosePipeline
MagicPosePipeline.from_pretrained("tiny")
assert state() == before
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


WITHOUT_TORCH = """
import sys
from magicpose.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    heavy = sorted({"torch", "diffusers", "transformers"} & set(sys.modules))
    print(ended.code, *heavy)
"""
EARLY = {
    "a source": (["convert", "no.ckpt", "-o", "out"], "no.ckpt: no such file"),
    "the second source": (["convert", "good.ckpt", "no.ckpt", "-o", "out"], "no.ckpt: no such file"),
    "no weight file": (["convert", "notes.txt", "-o", "out"], "notes.txt: not a weight file"),
    "no source": (["convert", "-o", "out"], "name at least one checkpoint"),
    "the output": (["convert", "good.ckpt", "-o", "notes.txt"], "notes.txt: exists already"),
    "a configuration": (["train", "no.yaml"], "no such training configuration: no.yaml"),
    "training clips": (["train", "run.yaml", "data.train=gone"], "data.train: there is no gone"),
    "validation clips": (["train", "run.yaml", "data.validation=gone"], "data.validation: there is no gone"),
    "initial networks": (["train", "run.yaml", "init=[gone]"], "init[0]: there is no gone"),
}


@pytest.mark.parametrize("case", EARLY)
def test_a_missing_path_is_said_before_torch_is_imported(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("good.ckpt", "notes.txt"):
        Path(name).touch()
    Path("clips").mkdir()
    Path("run.yaml").write_text("stage: pose\ndata: {train: clips, validation: clips}\n")
    arguments, said = EARLY[case]
    done = python(WITHOUT_TORCH, *arguments)
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout.split() == ["2"]
