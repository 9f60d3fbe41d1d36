"""`magicpose animate`, whole, on a tiny model of random weights."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magicpose.animation.drivers import DriverOptions
from magicpose.animation.jobs import work_folder
from magicpose.animation.run import AnimateOptions, animate
from magicpose.checkpoints.hub import check_complete
from magicpose.cli import main
from magicpose.errors import UserError
from magicpose.media import list_images, probe, read_image, read_metadata, read_video
from magicpose.progress import Silent


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "me.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


class Stop(Exception):
    pass


class StopsBeforeWriting(Silent):
    def stage(self, name: str):  # type: ignore[no-untyped-def]
        if name == "write":
            raise Stop
        return super().stage(name)


def command(reference: Path, driver: str, output: Path, model: Path, *more: str) -> list[str]:
    inputs = ["animate", str(reference), driver, "-o", str(output), "--model", str(model)]
    return [*inputs, "--align", "off", "--steps", "2", *more]


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def frames_of(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(read_image(path)) for path in list_images(folder)])


def test_a_motion_becomes_a_video_with_its_story(
    reference: Path, tiny_sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    more = ("--end", "0.5", "--seed", "3", "--grid")
    assert run(command(reference, "wave", output, tiny_sd, *more)) == 0
    info = probe(output)
    assert (info.fps, info.frames) == (Fraction(16), 8)
    assert info.size[0] > 3 * info.size[1] * 0.8, "reference | pose | result"
    about = read_metadata(output)
    assert about is not None
    assert (about["seed"], about["driver"], about["steps"], about["references"]) == (3, "wave", 2, ["me.png"])
    assert not work_folder(output).exists()
    assert "8 frames of 64x64 at 16 fps" in capsys.readouterr().err
    assert run(command(reference, "wave", output, tiny_sd, *more)) == 2
    assert "exists already" in capsys.readouterr().err
    assert run([*command(reference, "wave", output, tiny_sd, "--end", "0.25"), "--overwrite"]) == 0
    assert len(list(read_video(output))) == 4


def test_maps_are_used_as_they_are_whatever_their_form(reference: Path, tiny_sd: Path, tmp_path: Path) -> None:
    """A motion, and the maps drawn from it, move the person alike."""
    with pytest.raises(SystemExit):
        main(["draw", "dance", "-o", str(tmp_path / "maps"), "--size", "64x64", "--end", "0.25"])
    for driver, more in (("dance", ("--end", "0.25")), (str(tmp_path / "maps"), ())):
        run(command(reference, driver, tmp_path / f"from_{Path(driver).name}", tiny_sd, *more))
    assert np.array_equal(frames_of(tmp_path / "from_dance"), frames_of(tmp_path / "from_maps"))


def test_killed_at_any_moment_it_goes_on_to_the_same_frames(reference: Path, tiny_sd: Path, tmp_path: Path) -> None:
    output = tmp_path / "killed"
    arguments = command(reference, "turn", output, tiny_sd, "--end", "2.1")
    process = subprocess.Popen([sys.executable, "-m", "magicpose.cli", *arguments], stderr=subprocess.PIPE)
    kept = work_folder(output) / "latents-000000.safetensors"
    deadline = time.monotonic() + 300
    while not kept.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert kept.exists() and not output.exists()
    assert run(arguments) == 0
    assert not work_folder(output).exists()
    whole = tmp_path / "whole"
    assert run(command(reference, "turn", whole, tiny_sd, "--end", "2.1")) == 0
    assert np.array_equal(frames_of(output), frames_of(whole))
    assert len(frames_of(whole)) == 34


@pytest.mark.slow
def test_compiled_it_makes_the_same_frames_and_keeps_its_kernels(
    reference: Path, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGICPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    for name, more in (("plain", ()), ("compiled", ("--compile",))):
        arguments = command(reference, "nod", tmp_path / name, tiny_sd, "--end", "0.2", *more)
        # Processes of their own: torch decides once per process where it keeps kernels.
        subprocess.run([sys.executable, "-m", "magicpose.cli", *arguments], check=True)
    difference = frames_of(tmp_path / "compiled").astype(int) - frames_of(tmp_path / "plain")
    assert np.abs(difference).max() <= 1
    assert any((tmp_path / "cache" / "kernels").rglob("*")), "the next start would compile again"


@pytest.mark.parametrize(("part", "words"), [("pose_controlnet", "pose ControlNet"), ("appearance", "appearance")])
def test_an_incomplete_model_is_noticed_before_the_driver_is_read(
    reference: Path, tiny_sd: Path, tmp_path: Path, part: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "incomplete"
    shutil.copytree(tiny_sd, model, ignore=shutil.ignore_patterns(part))
    (tmp_path / "broken.mp4").write_text("no video: reading it would be the next complaint")
    assert run(command(reference, str(tmp_path / "broken.mp4"), tmp_path / "out.mp4", model)) == 2
    said = capsys.readouterr().err
    assert f"has no {words}" in said and said.count("\n") == 1


def test_a_model_larger_than_the_memory_is_noticed_early(tiny_sd: Path) -> None:
    check_complete(tiny_sd, "tiny")
    with pytest.raises(UserError, match=r"needs 0\.0 GiB of memory, 0\.0 GiB are free: close other programs"):
        check_complete(tiny_sd, "tiny", available_bytes=1000)


def test_a_preview_stands_beside_the_job_while_it_runs(
    reference: Path, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magicpose.animation.jobs import Job

    sheets: list[tuple[int, int]] = []
    closing = Job.close

    def look(job: Job) -> None:
        sheets.append(read_image(job.folder / "preview.png").size)
        closing(job)

    monkeypatch.setattr(Job, "close", look)
    output = tmp_path / "shown"
    more = ("--end", "0.25", "--preview", "--low-memory", "--arithmetic", "winograd")
    assert run(command(reference, "nod", output, tiny_sd, *more)) == 0
    assert sheets == [(1024, 1024)]
    assert len(frames_of(output)) == 4 and not work_folder(output).exists()


def test_what_is_kept_is_not_made_again(
    reference: Path, tiny_sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame that an earlier run left is the one in the output."""
    output = tmp_path / "out"
    options = AnimateOptions(model=str(tiny_sd), align="off", steps=1, driver=DriverOptions(end=0.25))
    with pytest.raises(Stop):
        animate([reference], "nod", output, options, StopsBeforeWriting())
    Image.new("RGB", (64, 64), "red").save(work_folder(output) / "000002.png")
    result = animate([reference], "nod", output, options)
    assert (result.made, result.frames) == (0, 4)
    assert (frames_of(output)[2] == (255, 0, 0)).all()


def test_a_job_does_not_go_on_when_the_models_own_settings_have_changed(
    reference: Path, tiny_sd: Path, tmp_path: Path
) -> None:
    """Frames of two temperatures must not meet in one video."""
    model = tmp_path / "model"
    shutil.copytree(tiny_sd, model)
    options = AnimateOptions(model=str(model), align="off", steps=1, driver=DriverOptions(end=0.25))
    with pytest.raises(Stop):
        animate([reference], "nod", tmp_path / "out", options, StopsBeforeWriting())
    index = model / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"temperature": 0.5}))
    with pytest.raises(UserError, match="overwrite"):
        animate([reference], "nod", tmp_path / "out", options)


def test_an_impossible_temperature_is_refused_before_the_driver_is_read(
    reference: Path, tiny_sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_text("no video: reading it would be the next complaint")
    driver = str(tmp_path / "broken.mp4")
    assert run(command(reference, driver, tmp_path / "out.mp4", tiny_sd, "--temperature=-1")) == 2
    assert "temperature must be 0 or more, not -1" in capsys.readouterr().err
