"""`magicpose animate`, whole, on a tiny model of random weights."""

from __future__ import annotations

import json
import operator
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.animation import run as run_module
from magicpose.animation.drivers import DriverOptions
from magicpose.animation.jobs import work_folder
from magicpose.animation.run import AnimateOptions, animate
from magicpose.checkpoints.hub import check_complete
from magicpose.cli import main
from magicpose.errors import UserError
from magicpose.media import list_images, probe, read_image, read_metadata, read_video
from magicpose.pipeline import MagicPosePipeline
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


def options_for(model: Path, **more: Any) -> AnimateOptions:
    return AnimateOptions(model=str(model), align="off", steps=2, driver=DriverOptions(end=0.5), **more)


def test_a_job_goes_on_with_what_changes_no_frame(reference: Path, tiny_sd: Path, tmp_path: Path) -> None:
    """As after a kill for want of memory: smaller batches, another device, less memory."""
    output = tmp_path / "out"
    with pytest.raises(Stop):
        animate([reference], "nod", output, options_for(tiny_sd, size=(64, 72)), StopsBeforeWriting())
    again = options_for(tiny_sd, size=(64, 72), batch=1, device="cpu:0", low_memory=True, preview=True, grid=True)
    result = animate([reference], "nod", output, again)
    assert (result.made, result.frames) == (0, 8)


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def with_hook(monkeypatch: pytest.MonkeyPatch, part: str, refuse: Callable[[Any], bool]) -> None:
    """The model's `part` runs out of memory for the inputs that `refuse` names."""
    load = run_module._load

    def hook(_module: Any, inputs: tuple[Any, ...]) -> None:
        if refuse(inputs[0]):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def loaded(options: AnimateOptions, scheduler: str) -> Any:
        pipe = load(options, scheduler)
        operator.attrgetter(part)(pipe).register_forward_pre_hook(hook)
        return pipe

    monkeypatch.setattr(run_module, "_load", loaded)


def test_memory_that_denoising_lacks_is_won_by_smaller_calls_alone(
    reference: Path, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    animate([reference], "nod", tmp_path / "plain", options_for(tiny_sd, batch=2))
    with_hook(monkeypatch, "model.unet", lambda x: len(x) > 2)
    listener = Listener()
    result = animate([reference], "nod", tmp_path / "short", options_for(tiny_sd), listener)
    assert [line for line in listener.said if "memory" in line] == [
        "out of memory: going on with 4 at a time",
        "out of memory: going on with 2 at a time",
    ]
    assert result.made == 8
    assert np.array_equal(frames_of(tmp_path / "short"), frames_of(tmp_path / "plain"))
    with_hook(monkeypatch, "model.unet", lambda x: True)
    with pytest.raises(UserError, match="not enough memory for even one frame"):
        animate([reference], "nod", tmp_path / "none", options_for(tiny_sd), listener)
    assert not any("tiles" in line for line in listener.said)


def test_memory_that_decoding_lacks_is_won_by_tiles_for_all_frames(
    reference: Path, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of one video are decoded alike, an interrupted one goes on alike, and the output tells."""
    options = options_for(tiny_sd, batch=1)
    animate([reference], "nod", tmp_path / "plain", options)
    with pytest.raises(Stop):
        animate([reference], "nod", tmp_path / "tiled", options, StopsBeforeWriting())
    animate([reference], "nod", tmp_path / "tiled", replace(options, low_memory=True))
    tiled = frames_of(tmp_path / "tiled")
    assert not np.array_equal(frames_of(tmp_path / "plain"), tiled), "tiles would not be seen here"
    whole: list[int] = []

    def whole_after_the_third(latents: Any) -> bool:
        whole.extend([1] * (latents.shape[-1] == 8))
        return latents.shape[-1] == 8 and len(whole) > 3

    with_hook(monkeypatch, "vae.decoder", whole_after_the_third)
    listener, output = Listener(), tmp_path / "out"
    with pytest.raises(Stop):
        animate([reference], "nod", output, options, StopsBeforeWriting())
    assert len(whole) == 4
    (work_folder(output) / "000005.png").unlink()  # as if it had been stopped there
    result = animate([reference], "nod", output, options, listener)
    assert result.made == 0 and not any("memory" in line for line in listener.said)
    assert np.array_equal(frames_of(output), tiled)
    about = [read_metadata(list_images(tmp_path / name)[0]) for name in ("plain", "tiled", "out")]
    assert [each["tiles"] for each in about if each is not None] == [False, True, True]


def test_a_run_with_less_memory_goes_on_with_the_references_of_the_first(
    reference: Path, tiny_sd: Path, tmp_path: Path
) -> None:
    """A reference encoded in tiles is another one: its frames must not meet the first run's in one video."""
    options = replace(options_for(tiny_sd), driver=DriverOptions(end=1.1))
    kept = []
    for name, again in (("whole", options), ("less", replace(options, low_memory=True))):
        output = tmp_path / name
        with pytest.raises(Stop):
            animate([reference], "nod", output, options, StopsBeforeWriting())
        (work_folder(output) / "latents-000016.safetensors").unlink()
        with pytest.raises(Stop):
            animate([reference], "nod", output, again, StopsBeforeWriting())
        kept.append((work_folder(output) / "latents-000016.safetensors").read_bytes())
    assert kept[0] == kept[1]


@pytest.mark.parametrize("scheduler", ["ddim", "lcm"])
def test_a_long_clip_is_the_whole_clip_at_once(reference: Path, tiny_sd: Path, tmp_path: Path, scheduler: str) -> None:
    """The job's groups of frames leave no mark: each frame has the noise it has in a single call."""
    maps = tmp_path / "maps"
    with pytest.raises(SystemExit):
        main(["draw", "dance", "-o", str(maps), "--size", "64x64", "--end", "1.15"])
    options = AnimateOptions(model=str(tiny_sd), steps=2, scheduler=scheduler, guidance=2.0, seed=3)
    animate([reference], maps, tmp_path / "out", options)
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    track = [read_image(path) for path in list_images(maps)]
    assert len(track) > 16
    whole = pipe(read_image(reference), track, 2, 2.0, seed=3, scheduler=scheduler).frames
    apart = frames_of(tmp_path / "out").astype(int) - np.stack([np.asarray(frame) for frame in whole])
    assert np.abs(apart).max() <= 1
