"""Drivers of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from magicpose.animation.drivers import DriverOptions, fingerprint, looks_like_map, read_driver, resample
from magicpose.errors import UserError
from magicpose.media import write_video
from magicpose.pose.documents.document import save_people
from magicpose.pose.drawing.draw import draw_poses
from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.motions import MOTIONS, load_motion, save_motion

NO_OPTIONS = DriverOptions()


@pytest.mark.parametrize("name", MOTIONS)
def test_built_in_motions_show_a_whole_person_moving(name: str) -> None:
    track = load_motion(name)
    points = track.stacked()
    seen = points[..., 2] > 0
    assert len(track) >= 32
    assert seen[:, 1].all(), "the neck is always there"
    assert seen.mean() > 0.8
    assert (points[seen][:, :2] >= 0).all() and (points[seen][:, :2] <= track.size).all()
    steps = np.abs(np.diff(points[:, :, :2], axis=0))[seen[1:] & seen[:-1]]
    assert steps.max() < track.size[0] / 5, "no jumps"
    spread = np.ptp(np.where(seen[..., None], points[..., :2], np.nan)[:, seen.all(axis=0)], axis=0)
    assert spread.max() > 4, "something moves"


def test_motions_are_small() -> None:
    folder = Path(load_motion.__globals__["FOLDER"])
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    assert {path.stem for path in folder.iterdir()} == set(MOTIONS)


def test_motion_files_round_trip(tmp_path: Path) -> None:
    track = load_motion("wave")
    save_motion(tmp_path / "again.npz", track)
    with np.load(tmp_path / "again.npz", allow_pickle=False) as stored:
        assert stored["points"].dtype == np.int16
    noisy = PoseTrack.from_stacked(track.stacked() + np.float32(0.003), track.size, track.fps)
    save_motion(tmp_path / "noisy.npz", noisy)
    kept = np.load(tmp_path / "noisy.npz", allow_pickle=False)["points"] / 64
    assert np.abs(kept - noisy.stacked()[..., :2])[noisy.stacked()[..., 2] > 0].max() <= 1 / 128


def test_a_motion_by_name_cut_and_slowed() -> None:
    whole = load_motion("nod")
    driver = read_driver("nod", DriverOptions(start=0.5, end=1.5, fps=8))
    assert driver.track is not None and driver.maps is None
    assert (len(driver.track), driver.fps) == (8, 8)
    assert np.array_equal(driver.track.stacked()[0], whole.stacked()[8])


def test_documents_and_openpose_folders(tmp_path: Path) -> None:
    track = resample(load_motion("wave"), end=0.5)
    save_people(tmp_path / "a.pose.json", [track])
    save_people(tmp_path / "frames", [track], layout="openpose")
    for source, fps in (("a.pose.json", 16), ("frames", 30)):
        driver = read_driver(str(tmp_path / source), NO_OPTIONS)
        assert driver.track is not None
        assert len(driver.track) == 8 and driver.fps == fps
        assert np.abs(driver.track.stacked()[..., :2] - track.stacked()[..., :2]).max() < 0.02


def test_rendered_maps_are_taken_as_they_are(tmp_path: Path) -> None:
    maps = draw_poses(resample(load_motion("dance"), end=0.5), (160, 160))
    assert all(looks_like_map(frame) for frame in maps)
    write_video(tmp_path / "maps.mp4", maps, 12)
    Image.fromarray(maps[0]).save(tmp_path / "map.png")
    (tmp_path / "folder").mkdir()
    for index, frame in enumerate(maps):
        Image.fromarray(frame).save(tmp_path / "folder" / f"{index}.jpg", quality=80)
    for source, count in (("maps.mp4", 8), ("map.png", 1), ("folder", 8)):
        driver = read_driver(str(tmp_path / source), NO_OPTIONS)
        assert driver.track is None and driver.maps is not None
        read = list(driver.maps())
        assert len(read) == count
        assert np.abs(read[0].astype(int) - maps[0]).mean() < 8


def test_photos_are_no_maps() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
    night = np.zeros((64, 64, 3), np.uint8)
    night[20:30, 20:40] = (200, 150, 120)  # skin in the dark
    red = np.zeros((64, 64, 3), np.uint8)
    red[20:30, 20:40] = (220, 10, 20)  # one colour only
    assert not any(map(looks_like_map, (noise, night, red, np.zeros((64, 64, 3), np.uint8))))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("moonwalk", "built-in motions: dance"), ("no/such.mp4", "there is no file or folder"), ("empty", "no pictures")],
)
def test_what_is_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=complaint):
        read_driver(name, NO_OPTIONS)


def test_nobody_and_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "grey.png")
    with pytest.raises(UserError, match="no person found"):
        read_driver(str(tmp_path / "grey.png"), NO_OPTIONS)
    nobody = PoseTrack.from_stacked(np.zeros((2, 130, 3), np.float32), (64, 64))
    save_people(tmp_path / "nobody.json", [nobody])
    with pytest.raises(UserError):
        read_driver(str(tmp_path / "nobody.json"), NO_OPTIONS)
    (tmp_path / "broken.json").write_text(json.dumps({"frames": "many"}))
    with pytest.raises(UserError, match=r"broken\.json"):
        read_driver(str(tmp_path / "broken.json"), NO_OPTIONS)
    with pytest.raises(UserError, match="lasts 3"):
        read_driver("nod", DriverOptions(start=5))


@given(st.integers(2, 9), st.floats(1, 60), st.floats(1, 60))
def test_resampling_keeps_time_and_stays_between_neighbours(frames: int, fps: float, wanted: float) -> None:
    points = np.ones((frames, 130, 3), np.float32)
    points[..., 0] = np.arange(frames)[:, None]
    track = PoseTrack.from_stacked(points, (64, 64), fps)
    out = resample(track, wanted)
    assert out.fps == wanted
    assert len(out) == max(1, round(frames / fps * wanted))
    expected = np.minimum(np.arange(len(out)) / wanted * fps, frames - 1)
    assert np.allclose(out.stacked()[:, 0, 0], expected, atol=1e-3)


def test_fingerprints_follow_the_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.write_bytes(b"x")
    second.write_bytes(b"x")
    assert fingerprint(str(first)) == fingerprint(str(second))
    second.write_bytes(b"y")
    assert fingerprint(str(first)) != fingerprint(str(second))
    before = fingerprint(str(tmp_path))
    first.write_bytes(b"z")
    assert before != fingerprint(str(tmp_path))
