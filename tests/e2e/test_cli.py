"""The command line: its surface is frozen, and whatever goes wrong is one line with exit code 2."""

from __future__ import annotations

import dataclasses
import importlib
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

from magicpose import __version__
from magicpose.cli import VERBS, main, usage
from magicpose.media import read_metadata
from magicpose.pose.documents.document import save_people
from magicpose.pose.keypoints import PoseTrack
from synthetic_people import render_clip

# Adding here is free; what is taken away or renamed breaks people's scripts.
SURFACE = {
    "animate": "inputs output model preset steps guidance temperature scheduler windows seed prompt size "
    "fps start end person detector maps canvas align part repair grid batch device dtype arithmetic "
    "compile low_memory preview overwrite",
    "detect": "source output person detector repair layout fps start end max_people overlay overwrite",
    "draw": "driver output size fps start end person canvas overwrite",
    "retarget": "reference driver output preview align part repair fps start end person detector canvas overwrite",
    "convert": "sources output dtype lora_scale overwrite ignore_unknown",
    "train": "config overrides seed dry_run export_only",
    "bench": "output size more_sizes modes batch rounds threads seed tiny overwrite",
    "models": "",
}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "magicpose.cli", *arguments], capture_output=True, text=True)


def option_names(options: type) -> Iterator[str]:
    """Those of nested classes in their place, without a prefix."""
    types = get_type_hints(options)
    for field in dataclasses.fields(options):
        nested = dataclasses.is_dataclass(types[field.name])
        yield from option_names(types[field.name]) if nested else [field.name]


def test_the_surface_is_frozen() -> None:
    for verb, names in SURFACE.items():
        options = importlib.import_module(f"magicpose.cli.{verb}").Options
        assert list(option_names(options)) == names.split(), verb
    assert list(SURFACE) == [verb for verb in VERBS if verb in SURFACE]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert VERBS[verb] in usage()
    assert run(verb, "--help") == 0
    assert VERBS[verb] in " ".join(capsys.readouterr().out.split())


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from magicpose.cli import main\n"
        "try: main(['animate', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'av', 'cv2', 'numba') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_version_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert run("models") == 0
    out = capsys.readouterr().out
    assert __version__ in out
    for name in ("tiny", "dance", "turn", "balanced"):
        assert name in out


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of all kinds, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    Image.new("RGB", (64, 64), "grey").save("grey.png")
    Path("text.png").write_text("not a picture")
    Path("zero.png").touch()
    Path("huge.png").write_bytes(png_header(60_000, 60_000))
    Path("there.mp4").write_text("mine")
    Path("file").write_text("no folder")
    Path("empty").mkdir()
    for part in ("vae", "text_encoder", "tokenizer", "unet", "appearance", "pose_controlnet", "scheduler"):
        Path("hollow", part).mkdir(parents=True)  # a model with every part and no weights
    Path("hollow", "model_index.json").write_text("{}")
    Path("bad.json").write_text('{"people": [NaN]}')
    body = ", ".join(f"0.{n}, 0.5, 1" for n in range(10, 28))
    Path("poses.json").write_text(f'[{{"people": [{{"pose_keypoints_2d": [{body}]}}]}}]')
    Path("run.yaml").write_text("stage: pose\nspeed: 3\n")
    return tmp_path


BAD: dict[str, tuple[str, str]] = {
    "missing picture": ("animate me.png dance -o o.mp4", "picture me.png does not exist"),
    "text as picture": ("animate text.png dance -o o.mp4", "text.png is not a picture"),
    "empty picture": ("animate zero.png dance -o o.mp4", "zero.png is empty"),
    "enormous picture": ("animate huge.png dance -o o.mp4", "megapixels"),
    "folder as picture": ("animate empty dance -o o.mp4", "empty is a folder"),
    "one input": ("animate grey.png -o o.mp4", "then a driver"),
    "unknown motion": ("animate grey.png moonwalk -o o.mp4", "built-in motions: dance"),
    "missing driver": ("animate grey.png clips/a.mp4 -o o.mp4", "there is no file or folder 'clips/a.mp4'"),
    "empty driver folder": ("animate grey.png empty -o o.mp4", "empty holds no pictures"),
    "driver is text": ("animate grey.png file -o o.mp4", "file"),
    "hostile document": ("animate grey.png bad.json -o o.mp4", "bad.json is not valid JSON"),
    "nobody in the driver": ("animate grey.png grey.png -o o.mp4", "no person found in grey.png"),
    "nobody in the reference": ("animate grey.png dance -o o.mp4", "--align off"),
    "output exists": ("animate grey.png dance -o there.mp4", "pass --overwrite"),
    "output is an input": ("animate grey.png dance -o grey.png --overwrite", "grey.png"),
    "output below a file": ("animate grey.png dance -o file/o.mp4", "cannot write file/o.mp4"),
    "unknown suffix": ("animate grey.png dance -o o.avi", ".mp4"),
    "unknown model": ("animate grey.png dance -o o.mp4 --model huge", "unknown model 'huge': choose tiny"),
    "model not on the hub": ("animate grey.png dance -o o.mp4 --model no/body", "model 'no/body' is no folder"),
    "no steps": ("animate grey.png dance -o o.mp4 --steps 0", "at least 1"),
    "odd person": ("animate grey.png dance -o o.mp4 --person left", "--person must be"),
    "odd size": ("animate grey.png dance -o o.mp4 --size big", "512x768"),
    "unknown preset": ("animate grey.png dance -o o.mp4 --preset slow", "'balanced'"),
    "unknown scheduler": ("animate grey.png dance -o o.mp4 --align off --scheduler warp", "unknown scheduler 'warp'"),
    "unknown option": ("animate grey.png dance -o o.mp4 --foo", "--foo"),
    "no output": ("animate grey.png dance", "--output"),
    "backwards": ("animate grey.png dance -o o.mp4 --start 2 --end 1", "nothing lies between"),
    "unknown verb": ("fly", "choose one of animate"),
    "detect nobody": ("detect grey.png -o o.json", "no person found in grey.png"),
    "draw what exists": ("draw dance -o there.mp4", "exists already"),
    "retarget to nobody": ("retarget grey.png dance -o o.json", "no person found in grey.png"),
    "odd canvas": ("retarget grey.png poses.json -o o.json --canvas 12", "--canvas must look like 512x768"),
    "canvas of a motion": ("animate grey.png dance -o o.mp4 --canvas 64x64", "dance is no pose document"),
    "no canvas": ("retarget grey.png poses.json -o o.json", "poses.json: the body is in fractions of a canvas"),
    "convert nothing": ("convert nothing.ckpt -o o", "nothing.ckpt"),
    "unknown setting": ("train run.yaml", "unknown key 'speed'"),
    "odd override": ("train run.yaml steps", "KEY=VALUE"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, complaint = BAD[case]
    before = {path.name for path in folder.rglob("*")}
    arguments = command.split()
    if arguments[0] == "animate" and "--model" not in arguments:
        arguments += ["--model", "hollow"]  # all this is noticed before a model is loaded
    assert run(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, lines
    assert complaint in lines[0]
    assert {path.name for path in folder.rglob("*")} == before, "something was left behind"
    assert (folder / "there.mp4").read_text() == "mine"


@pytest.fixture
def person(folder: Path) -> None:
    """me.png shows somebody; huge.json moves somebody forty times as large, clip.json the same person."""
    clip = render_clip(30, frames=4, size=256, framing="knee")
    Image.fromarray(np.asarray(clip.frames[0])).save("me.png")
    points = clip.track.stacked()
    save_people("clip.json", [clip.track], layout="comfyui")
    points[..., :2] *= 40
    save_people("huge.json", [PoseTrack.from_stacked(points, clip.track.size)], layout="comfyui")


@pytest.mark.usefixtures("person")
def test_retarget_stops_where_animate_stops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("animate me.png huge.json -o o.mp4 --model hollow", "retarget me.png huge.json -o o.json"):
        assert run(*command.split()) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert "this driver does not fit this reference: the driver's person must be scaled" in last
    assert not Path("o.json").exists()
    assert run("retarget", "me.png", "huge.json", "-o", "o.json", "--align", "off") == 0


@pytest.mark.usefixtures("person")
def test_repair_is_a_choice_of_retarget_for_what_was_detected(folder: Path) -> None:
    folder.joinpath("frames").mkdir()
    for n in range(4):
        Image.open("me.png").rotate(4 * (n % 2)).save(f"frames/{n}.png")
    for name, more in (("raw", "--no-repair"), ("fixed", "--repair")):
        assert run("retarget", "me.png", "frames", "-o", f"{name}.json", more) == 0
        assert run("retarget", "me.png", "clip.json", "-o", f"{name}_given.json", more) == 0
    assert Path("raw.json").read_text() != Path("fixed.json").read_text()
    assert Path("raw_given.json").read_text() == Path("fixed_given.json").read_text(), (
        "documents are taken at their word"
    )


@pytest.mark.usefixtures("person")
def test_a_second_reference_without_a_person_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("animate", "me.png", "grey.png", "me.png", "wave", "-o", "o.mp4", "--model", "hollow")
    notes = [line for line in capsys.readouterr().err.splitlines() if "no person found in" in line]
    assert len(notes) == 1 and notes[0].startswith("note: no person found in grey.png")


def test_a_real_process_says_it_in_one_line_without_a_traceback(folder: Path) -> None:
    done = cli("animate", "text.png", "dance", "-o", "o.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert cli("--version").stdout == f"magicpose {__version__}\n"


def test_overlays_and_maps_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("draw", "wave", "-o", "wave.png", "--size", "128x128") == 0
    assert Image.open("wave.png").size == (128, 128)
    assert run("draw", "wave", "-o", "wave.gif", "--fps", "4") == 0
    writes: Callable[[str], bool] = lambda name: (folder / name).stat().st_size > 1000  # noqa: E731
    assert writes("wave.png") and writes("wave.gif")
    for name in ("wave.png", "wave.gif"):
        assert read_metadata(name)["driver"] == "wave"
