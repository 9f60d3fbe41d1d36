"""The command line of the synthetic people: what goes wrong is one line and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from synthetic_people import cli
from synthetic_people.clip import render_clip

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from synthetic_people.cli import main
main({arguments!r})
"""


@pytest.mark.parametrize("package", ["numba", "cv2"])
@pytest.mark.parametrize("verb", ["render", "sheet"])
def test_a_missing_extra_is_named_in_one_line(package: str, verb: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out.png")
    program = WITHOUT.format(package=package, arguments=[verb, "--out", out])
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1
    assert package in ended.stderr and "pip install 'magicpose[people]'" in ended.stderr
    assert not Path(out).exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("render --out {0}/d --bogus", "--bogus"),
        ("render --out {0}/d --style wlid", "wlid"),
        ("render --out {0}/d --clips many", "many"),
        ("render", "--out"),
        ("rendr --out {0}/d", "rendr"),
        ("", "render, sheet"),
        ("render --out {0}/d --style wild --simple", "--simple"),
        ("render --out {0}/d --framings waist", "waist"),
        ("render --out {0}/file/d --clips 1", "file"),
        ("sheet --out {0}/none/a.png", "none"),
        ("sheet --out {0}/a.gif", "a.gif"),
        ("sheet --out {0}/a.png --people 0", "--people"),
        ("sheet --out {0}/a.png --frames 25", "--frames"),
        ("sheet --out {0}/a.png --size 8", "--size"),
        ("sheet --out {0}/a.png --seed -1", "--first-seed"),
    ],
)
def test_mistakes_are_one_line(arguments: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments.format(tmp_path).split())
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and len(said.splitlines()) == 1 and named in said


def test_help_is_not_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["render", "--help"])
    assert not stopped.value.code and "--style" in capsys.readouterr().out


def test_the_wild_style_and_the_seed_reach_the_disk(tmp_path: Path) -> None:
    command = ["render", "--out", str(tmp_path), "--clips", "1", "--frames", "1", "--size", "32", "--framings", "head"]
    cli.main([*command, "--style", "wild", "--seed", "5", "--png"])
    about = json.loads((tmp_path / "00000005/clip.json").read_text())
    assert about["style"] == "wild" and about["caption"] == render_clip(5, 1, 32, "head", "wild").caption
    cli.main([*command, "--style", "wild", "--seed", "5", "--png"])  # goes on where it stopped


def test_clips_of_another_style_or_rate_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["render", "--out", str(tmp_path), "--clips", "1", "--frames", "1", "--size", "32"]
    cli.main(command)
    for more, name in ((["--style", "wild"], "style"), (["--fps", "4"], "fps")):
        with pytest.raises(SystemExit):
            cli.main([*command, *more])
        assert f"another {name}" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_a_broken_record_is_made_again(tmp_path: Path, content: str) -> None:
    command = ["render", "--out", str(tmp_path), "--clips", "1", "--frames", "1", "--size", "32"]
    cli.main(command)
    record = tmp_path / "00000000/clip.json"
    record.write_text(content)
    cli.main(command)
    assert json.loads(record.read_text())["seed"] == 0
