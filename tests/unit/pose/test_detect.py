"""Detection on a real picture and a moving one, and the cache before it."""

from __future__ import annotations

import logging
import threading
import warnings
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import magicpose as mp
from magicpose.errors import UserError
from magicpose.media import MediaWarning, write_video
from magicpose.pose.detection.detect import choose_detector, detect_people
from magicpose.pose.detection.mediapipe.body import MediaPipeDetector
from magicpose.pose.detection.mediapipe.crop import Frame
from magicpose.pose.keypoints import Pose

# Labelled by hand in scikit-image's astronaut.png, in pixels.
ASTRONAUT_BODY = {0: (224, 126), 2: (100, 255), 3: (61, 412), 14: (204, 101), 15: (247, 103)}
ASTRONAUT_FACE = {8: (225, 179), 30: (224, 126), 48: (204, 140), 54: (243, 141), 51: (224, 140), 57: (223, 154)}
PUPILS = [(204.3, 100.6), (247, 103.4)]
EYE_DISTANCE = 43


@pytest.fixture(scope="session")
def astronaut() -> Path:
    spec = util.find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image, whose astronaut picture this test uses, is not installed")
    return Path(spec.origin).parent / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def astronaut_pose(astronaut: Path) -> Pose:
    return mp.detect_pose(astronaut, "mediapipe", cache=False)


class MarkerDetector:
    """People that are bright rectangles: a detector of the user's own."""

    name, version = "marker", "1"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: Frame) -> list[Pose]:
        self.calls += 1
        lit = frame[:, :, 0] > 128
        if not lit.any():
            return []
        rows, columns = np.nonzero(lit)
        body = np.full((18, 3), 0.7654321, np.float32)
        body[:, 0] = np.linspace(columns.min(), columns.max() + 1, 18)
        body[:, 1] = np.linspace(rows.min(), rows.max() + 1, 18)
        return [Pose(body)]


def frames_with_marker(lefts: list[int | None]) -> list[np.ndarray]:
    frames = []
    for left in lefts:
        frame = np.zeros((64, 96, 3), np.uint8)
        if left is not None:
            frame[16:48, left : left + 16] = 255
        frames.append(frame)
    return frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_video(path, frames_with_marker([0, 8, 16, None, None, 40, 48, 56]), fps=12)
    return path


def test_points_of_the_astronaut_are_where_one_sees_them(astronaut_pose: Pose) -> None:
    for points, labels, tolerance in (
        (astronaut_pose.face, ASTRONAUT_FACE, 0.12),
        (astronaut_pose.body, ASTRONAUT_BODY, 0.3),
    ):
        for index, label in labels.items():
            assert np.hypot(*(points[index, :2] - label)) < tolerance * EYE_DISTANCE, index
            assert points[index, 2] > 0.3
    for found, label in zip(astronaut_pose.face[68:, :2], PUPILS):
        assert np.hypot(*(found - label)) < 0.05 * EYE_DISTANCE


def test_what_the_astronaut_hides_is_not_there(astronaut_pose: Pose) -> None:
    assert (astronaut_pose.body[[8, 9, 10, 12, 13], 2] < 0.1).all()  # below the frame
    assert not astronaut_pose.left_hand[:, 2].any()
    assert not astronaut_pose.right_hand[:, 2].any()


def test_a_mirrored_picture_gives_the_mirrored_pose(astronaut: Path, astronaut_pose: Pose) -> None:
    mirrored = mp.detect_pose(Image.open(astronaut).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "mediapipe")
    assert abs(512 - mirrored.body[15, 0] - astronaut_pose.body[14, 0]) < 0.1 * EYE_DISTANCE
    assert abs(512 - mirrored.face[69, 0] - astronaut_pose.face[68, 0]) < 0.1 * EYE_DISTANCE


def test_a_small_person_in_a_large_picture_is_found_by_parts(astronaut: Path, astronaut_pose: Pose) -> None:
    frame = np.zeros((1000, 1600, 3), np.uint8)
    frame[600:800, 1100:1300] = np.asarray(Image.open(astronaut).convert("RGB").resize((200, 200)))
    pose = mp.detect_pose(frame, "mediapipe")
    expected = astronaut_pose.face[:, :2] * 200 / 512 + (1100, 600)
    assert np.linalg.norm(pose.face[:, :2] - expected, axis=1).mean() < 0.15 * EYE_DISTANCE * 200 / 512


def test_following_finds_what_looking_anew_finds(astronaut: Path, astronaut_pose: Pose) -> None:
    frame = np.asarray(Image.open(astronaut).convert("RGB"))
    detector = MediaPipeDetector(follow=True)
    detector(frame)
    (moved,) = detector(np.roll(frame, 12, axis=1))
    apart = moved.face[:, :2] - astronaut_pose.face[:, :2] - (12, 0)
    assert np.linalg.norm(apart, axis=1).mean() < 0.05 * EYE_DISTANCE
    assert detector(np.zeros_like(frame)) == []
    assert len(detector(frame)) == 1


def test_nobody_is_one_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (200, 120), (90, 120, 90)).save(tmp_path / "wall.png")
    with pytest.raises(UserError, match=r"no person found in .*wall\.png"):
        mp.detect_pose(tmp_path / "wall.png", "mediapipe", cache_folder=tmp_path)


def test_a_clip_keeps_its_rate_and_who_is_away_has_an_empty_pose(clip: Path) -> None:
    track = mp.detect_poses(clip, MarkerDetector(), cache=False)
    assert (track.fps, track.size, len(track)) == (12, (96, 64), 8)
    lefts = [float(pose.body[0, 0]) if pose.body[:, 2].any() else None for pose in track]
    assert lefts == [
        pytest.approx(left, abs=1) if left is not None else None for left in [0, 8, 16, None, None, 40, 48, 56]
    ]


def test_the_second_run_detects_nothing_and_gives_the_same(clip: Path, tmp_path: Path) -> None:
    first, second = MarkerDetector(), MarkerDetector()
    track = mp.detect_poses(clip, first, cache_folder=tmp_path / "cache")
    renamed = clip.rename(tmp_path / "other name.mp4")
    again = mp.detect_poses(renamed, second, cache_folder=tmp_path / "cache")
    assert (first.calls, second.calls) == (8, 0)
    np.testing.assert_array_equal(track.stacked(), again.stacked())
    assert (track.size, track.fps, track.source) == (again.size, again.fps, again.source)


def test_another_detector_version_or_selection_is_another_entry(clip: Path, tmp_path: Path) -> None:
    mp.detect_poses(clip, MarkerDetector(), cache_folder=tmp_path)
    newer = MarkerDetector()
    newer.version = "2"
    mp.detect_poses(clip, newer, cache_folder=tmp_path)
    shorter = MarkerDetector()
    mp.detect_poses(clip, shorter, max_frames=3, cache_folder=tmp_path)
    assert (newer.calls, shorter.calls) == (8, 3)


def test_a_damaged_entry_is_made_again(clip: Path, tmp_path: Path) -> None:
    mp.detect_poses(clip, MarkerDetector(), cache_folder=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_text("{")
    detector = MarkerDetector()
    mp.detect_poses(clip, detector, cache_folder=tmp_path / "cache")
    assert detector.calls == 8


def test_a_cache_that_cannot_be_written_costs_no_result(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(mp.detect_poses(clip, MarkerDetector(), cache_folder=tmp_path / "file" / "cache")) == 8
    assert "not cached" in caplog.text


def test_many_at_once_share_the_cache(clip: Path, tmp_path: Path) -> None:
    lengths: list[int] = []

    def run() -> None:
        lengths.append(len(mp.detect_poses(clip, MarkerDetector(), cache_folder=tmp_path / "c")))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [8] * 4
    assert [path.suffix for path in (tmp_path / "c").iterdir()] == [".json"]


def test_progress_counts_to_the_end(clip: Path) -> None:
    seen: list[tuple[int, int]] = []
    detect_people(clip, MarkerDetector(), cache=False, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n + 1, 8) for n in range(8)]


def test_a_folder_of_pictures_is_a_clip(tmp_path: Path) -> None:
    for n, frame in enumerate(frames_with_marker([0, 10])):
        Image.fromarray(frame).save(tmp_path / f"{n}.png")
    assert len(mp.detect_poses(tmp_path, MarkerDetector(), fps=10, cache=False)) == 2
    Image.new("RGB", (8, 8)).save(tmp_path / "2.png")
    with pytest.raises(UserError, match=r"2\.png is 8x8"):
        mp.detect_poses(tmp_path, MarkerDetector(), cache=False)


def test_the_wrong_number_of_a_person_is_one_sentence(clip: Path) -> None:
    with pytest.raises(UserError, match=r"clip\.mp4: there is no person 3"):
        mp.detect_poses(clip, MarkerDetector(), person=3, cache=False)


def test_auto_says_what_it_took(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO):
        chosen = choose_detector("auto", weights=tmp_path)  # no networks of dwpose there
    assert chosen == "mediapipe"
    assert "mediapipe" in caplog.text
    with pytest.raises(UserError, match="no detector 'openpose'"):
        choose_detector("openpose")


def test_a_missing_or_wrong_picture_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        mp.detect_pose(tmp_path / "none.png")
    with pytest.raises(UserError, match="uint8"):
        mp.detect_pose(np.zeros((4, 4), np.uint8))


class TwoPeople:
    """Always the same two, one larger."""

    name, version = "two", "1"

    def __call__(self, frame: Frame) -> list[Pose]:
        small, large = np.full((18, 3), 0.9, np.float32), np.full((18, 3), 0.9, np.float32)
        small[:, 0], small[:, 1] = np.linspace(2, 10, 18), np.linspace(2, 20, 18)
        large[:, 0], large[:, 1] = np.linspace(30, 60, 18), np.linspace(2, 60, 18)
        return [Pose(small), Pose(large)]


def test_two_people_are_said_unless_one_was_asked_for() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.warns(MediaWarning, match="shows 2 people; the largest is taken"):
        assert mp.detect_pose(picture, TwoPeople()).body[0, 0] == pytest.approx(30, abs=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mp.detect_pose(picture, TwoPeople(), person=0).body[0, 0] == pytest.approx(2, abs=0.1)
