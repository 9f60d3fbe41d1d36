"""Clips on disk and the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("numba")

from magicpose.errors import UserError
from magicpose.pose.keypoints import PoseTrack
from synthetic_people import cli
from synthetic_people.clip import render_clip
from synthetic_people.dataset import DatasetSettings, framing_of, write_dataset


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> DatasetSettings:
    out = tmp_path_factory.mktemp("people")
    settings = DatasetSettings(out, clips=2, frames=2, size=48, first_seed=40, style="plain", masks=True, places=True)
    assert list(write_dataset(settings)) == [40, 41]
    return settings


def test_a_folder_holds_what_the_clip_is(written: DatasetSettings) -> None:
    folder = written.folder(40)
    about = json.loads((folder / "clip.json").read_text())
    clip = render_clip(40, 2, 48, about["framing"], "plain")
    assert about["caption"] == clip.caption and about["seed"] == 40 and about["size"] == [48, 48]
    with np.load(folder / "keypoints.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["keypoints"], clip.track.stacked())
        assert stored["size"].tolist() == [48, 48] and float(stored["fps"]) == 8
    track = PoseTrack.load(folder / "clip.pose.json")
    np.testing.assert_allclose(track.stacked(), clip.track.stacked(), atol=0.01)
    with np.load(folder / "masks.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["masks"], clip.masks)
    with np.load(folder / "places.npz", allow_pickle=False) as stored:
        np.testing.assert_allclose(stored["places"], clip.places, atol=1e-3)  # metres
    pictures = [np.asarray(Image.open(folder / f"{i:04d}.jpg")) for i in range(2)]
    assert np.abs(np.stack(pictures).astype(int) - clip.frames).mean() < 4


def test_complete_clips_are_left_alone_and_broken_ones_are_made_again(written: DatasetSettings) -> None:
    kept, broken = written.folder(40) / "clip.json", written.folder(41) / "clip.json"
    before = kept.stat().st_mtime_ns
    content = json.loads(broken.read_text())
    broken.unlink()
    (broken.parent / "0007.jpg").write_bytes(b"left over")
    assert list(write_dataset(written)) == [40, 41]
    assert kept.stat().st_mtime_ns == before
    assert json.loads(broken.read_text()) == content
    assert not (broken.parent / "0007.jpg").exists()


def test_a_clip_without_what_is_asked_for_is_made_again(written: DatasetSettings) -> None:
    missing = written.folder(40) / "places.npz"
    missing.unlink()
    assert sorted(write_dataset(written)) == [40, 41]
    assert missing.is_file()


def test_other_settings_are_refused(written: DatasetSettings) -> None:
    with pytest.raises(UserError, match="another frames"):
        list(write_dataset(replace(written, frames=3)))


def test_framings_are_drawn_by_weight_and_seed_alone() -> None:
    table = (("half", 0.75), ("face", 0.25), ("full", 0.0))
    drawn = [framing_of(seed, table) for seed in range(400)]
    assert drawn == [framing_of(seed, table) for seed in range(400)]
    assert 0.65 < drawn.count("half") / 400 < 0.85 and "full" not in drawn


@pytest.mark.parametrize("text", ["bob", "half:x", "half:-1", "half:0", "", "half:nan", "half:inf"])
def test_bad_framings_are_the_users(text: str) -> None:
    with pytest.raises(UserError, match="framings"):
        cli.parse_framings(text)


@pytest.mark.parametrize("change", [{"clips": 0}, {"frames": 0}, {"size": 5000}, {"fps": 0.0}, {"first_seed": -1}])
def test_bad_sizes_are_the_users(tmp_path: Path, change: dict[str, float]) -> None:
    with pytest.raises(UserError, match="give"):
        replace(DatasetSettings(tmp_path, 1), **change)


def test_the_command_renders_and_sheets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lambda *arguments: (monkeypatch.setattr(sys, "argv", ["synthetic-people", *arguments]), cli.main())  # noqa: E731
    run("render", "--out", str(tmp_path / "d"), "--clips", "1", "--frames", "1", "--size", "32", "--simple", "--png")
    assert (tmp_path / "d/00000000/0000.png").is_file()
    assert "1 clips of 1 frames" in capsys.readouterr().out
    sheet = tmp_path / "sheet.png"
    run("sheet", "--out", str(sheet), "--people", "1", "--frames", "2", "--size", "32", "--framings", "head")
    with Image.open(sheet) as picture:
        assert picture.size == (64, 64)
    with pytest.raises(SystemExit) as stopped:
        run("sheet", "--out", str(sheet))
    assert stopped.value.code == 2 and "--overwrite" in capsys.readouterr().err
