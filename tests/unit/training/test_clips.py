"""Training folders are checked as any input is: what cannot be used is one line that names file and fix."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magicpose.errors import UserError
from magicpose.media import MediaWarning
from magicpose.pose.keypoints import PoseTrack
from magicpose.training.data import find_clips
from magicpose.training.data.clips import KEYPOINTS
from training_clips import write_clips


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_clips(tmp_path / "data", clips=2)


def _keypoints(clip: Path, **changed: object) -> None:
    with np.load(clip / "keypoints.npz") as stored:
        arrays = dict(stored)
    np.savez(clip / "keypoints.npz", **{k: v for k, v in {**arrays, **changed}.items() if v is not None})


def _points(frame: int, value: float, column: int = 0) -> np.ndarray:
    points = np.ones((4, 130, 3), np.float32)
    points[frame, 7, column] = value
    return points


def test_frames_are_in_natural_order(tmp_path: Path) -> None:
    folder = write_clips(tmp_path, clips=1, frames=12) / "0000"
    for path in sorted(folder.glob("*.png")):
        path.rename(folder / f"dance{int(path.stem)}.png")
    assert [path.stem for path in find_clips(tmp_path)[0].frames] == [f"dance{n}" for n in range(12)]


def test_a_pose_document_is_as_good_as_arrays(root: Path) -> None:
    before = find_clips(root)[0]
    PoseTrack.from_stacked(before.keypoints, before.size, 8.0).save(root / "0000/dance.pose.json")
    assert len(find_clips(root)) == 2, "arrays and document of one clip"
    (root / "0000/keypoints.npz").unlink()
    after = find_clips(root)[0]
    assert after.folder.name == "0000" and after.size == before.size and after.caption == before.caption
    assert np.abs(after.keypoints - before.keypoints).max() < 0.01


def test_a_turned_picture_has_the_size_it_is_read_with(tmp_path: Path) -> None:
    clip = write_clips(tmp_path, clips=1) / "0000"
    _keypoints(clip, size=np.array([24, 32]))
    for path in clip.glob("*.png"):
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(path) as picture:
            picture.resize((32, 24)).save(path.with_suffix(".jpg"), exif=exif)
        path.unlink()
    found = find_clips(tmp_path)[0]
    assert found.size == (24, 32) == found.picture(0).size


def test_folders_without_keypoints_are_said_to_be_left_out(root: Path) -> None:
    (root / "0000/keypoints.npz").unlink()
    (root / "latents-32-abc").mkdir()
    with pytest.warns(MediaWarning, match="1 of the folders .* left out .0000 first"):
        assert [clip.folder.name for clip in find_clips(root)] == ["0001"]


BREAK: dict[str, tuple[Callable[[Path], object], str]] = {
    "pictures of another size": (
        lambda clip: [Image.new("RGB", (64, 64)).save(path) for path in clip.glob("*.png")],
        r"0000.png is 64x64 but the clip's keypoints are for 32x32: scale",
    ),
    "one picture of another size": (
        lambda clip: Image.new("RGB", (16, 32)).save(clip / "0002.png"),
        r"0002.png is 16x32 but the clip's keypoints are for 32x32: scale",
    ),
    "no picture": (lambda clip: (clip / "0001.png").write_text("nothing"), r"0001.png is not a picture"),
    "an empty picture": (lambda clip: (clip / "0001.png").write_bytes(b""), r"0001.png is empty"),
    "too few pictures": (lambda clip: (clip / "0001.png").unlink(), r"3 frames but keypoints for 4 .*npz.: remove"),
    "too many pictures": (
        lambda clip: shutil.copy(clip / "0001.png", clip / "0009.webp"),
        r"holds 5 frames but keypoints for 4",
    ),
    "no pictures": (lambda clip: [path.unlink() for path in clip.glob("*.png")], r"0000 holds no pictures"),
    "NaN": (lambda clip: _keypoints(clip, keypoints=_points(2, np.nan)), r"keypoints.npz: frame 2 has points .*NaN"),
    "a NaN score": (lambda clip: _keypoints(clip, keypoints=_points(1, np.nan, 2)), r"frame 1 has points .*NaN"),
    "infinity": (lambda clip: _keypoints(clip, keypoints=_points(3, -np.inf)), r"frame 3 has points .*infinite"),
    "other points": (lambda clip: _keypoints(clip, keypoints=np.ones((4, 133, 3))), r"\[frames, 130, 3\], not .*133"),
    "text": (lambda clip: _keypoints(clip, keypoints=np.full((4, 130, 3), "a")), r"\[frames, 130, 3\], not <U1"),
    "objects": (
        lambda clip: _keypoints(clip, keypoints=np.full((4, 130, 3), None)),
        r"keypoints.npz is damaged or no .npz file: write it again",
    ),
    "no size": (lambda clip: _keypoints(clip, size=None), r"keypoints.npz holds no array 'size'"),
    "a wrong size": (lambda clip: _keypoints(clip, size=np.array([32, 0])), r"size must be width .*not \[32, 0"),
    "cut short": (
        lambda clip: (clip / "keypoints.npz").write_bytes((clip / "keypoints.npz").read_bytes()[:900]),
        r"keypoints.npz is damaged",
    ),
    "an empty archive": (lambda clip: zipfile.ZipFile(clip / KEYPOINTS, "w").close(), "holds no array 'keypoints'"),
    "a broken caption": (lambda clip: (clip / "clip.json").write_text("{"), r"clip.json is not a JSON object"),
    "a list for a caption": (lambda clip: (clip / "clip.json").write_text("[1]"), r"clip.json is not a JSON object"),
    "a number for a caption": (lambda clip: (clip / "clip.json").write_text('{"caption": 3}'), r"must be text, not 3"),
    "a broken document": (
        lambda clip: [(clip / "keypoints.npz").unlink(), (clip / "a.pose.json").write_text("{")],
        r"a.pose.json is not valid JSON",
    ),
    "two documents": (
        lambda clip: [(clip / "keypoints.npz").unlink(), *((clip / f"{n}.pose.json").write_text("{}") for n in "ab")],
        r"several pose documents .a.pose.json, b.pose.json.: keep",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAK)
def test_what_cannot_be_used_is_named(case: str, root: Path) -> None:
    spoil, message = BREAK[case]
    spoil(root / "0000")
    with pytest.raises(UserError, match=message) as raised:
        find_clips(root)
    assert "0000" in str(raised.value)


def test_damage_behind_the_header_is_named_when_the_frame_is_read(root: Path) -> None:
    path = root / "0000/0003.png"
    path.write_bytes(path.read_bytes()[:-40])
    clip = find_clips(root)[0]
    assert clip.picture(0).size == (32, 32)
    with pytest.raises(UserError, match=r"0003.png is damaged or cut short"):
        clip.picture(3)


def test_a_document_for_another_canvas_is_refused(root: Path) -> None:
    clip = find_clips(root)[0]
    PoseTrack.from_stacked(clip.keypoints, (64, 64), 8.0).save(root / "0000/a.pose.json")
    (root / "0000/keypoints.npz").unlink()
    with pytest.raises(UserError, match=r"0000\.png is 32x32 but the clip's keypoints are for 64x64"):
        find_clips(root)


def test_an_absent_folder_and_a_clip_in_place_of_its_folder_are_told_apart(root: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: check data.train"):
        find_clips(root / "nowhere")
    with pytest.raises(UserError, match=rf"it is a clip itself: name the folder above it .{root}"):
        find_clips(root / "0001")


@pytest.mark.parametrize("shape", [(3, 8, 8, 3), (4, 8, 8, 2), (4, 8, 8)])
def test_surface_coordinates_must_be_those_of_the_frames(root: Path, shape: tuple[int, ...]) -> None:
    np.savez(root / "0000/places.npz", places=np.zeros(shape, np.float16))
    with pytest.raises(UserError, match=r"0000/places.npz holds .* not 4 x h x w x 3: render it again"):
        find_clips(root)[0].surface()


def test_captions_are_read(root: Path) -> None:
    (root / "0000/clip.json").write_text(json.dumps({"caption": "a person, ümläut"}, ensure_ascii=False), "utf-8")
    (root / "0001/clip.json").unlink()
    assert [clip.caption for clip in find_clips(root)] == ["a person, ümläut", ""]
