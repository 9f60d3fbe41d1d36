from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magicpose import Pose, PoseTrack
from magicpose.errors import UserError
from magicpose.pose.documents import document, jsonfile
from magicpose.pose.documents.document import load_people, load_person, save_people


def track(x: float = 10, frames: int = 2, size: tuple[int, int] = (100, 80), spread: float = 20) -> PoseTrack:
    points = np.ones((frames, 130, 3), np.float32)
    points[..., :2] = np.linspace(x, x + spread, 130)[:, None]
    return PoseTrack.from_stacked(points, size, 25.0)


def test_a_track_saves_and_loads_itself(tmp_path: Path) -> None:
    track().save(tmp_path / "clip.pose.json")
    loaded = PoseTrack.load(str(tmp_path / "clip.pose.json"))
    assert np.allclose(loaded.stacked(), track().stacked(), atol=0.006)
    assert (loaded.size, loaded.fps, loaded.source) == ((100, 80), 25.0, None)


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "clip.pose.json"
    track().save(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"clip\.pose\.json exists.*--overwrite"):
        track(30).save(path)
    assert path.read_bytes() == before
    track(30).save(path, overwrite=True)
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path]


def test_one_of_several_people_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "three.pose.json"
    save_people(path, [track(0, spread=30), track(40, spread=5), track(60, spread=10)])
    assert len(load_people(path)) == 3
    assert PoseTrack.load(path)[0].body[0, 0] == 0
    assert PoseTrack.load(path, person="center")[0].body[0, 0] == 40
    assert PoseTrack.load(path, person=2)[0].body[0, 0] == 60
    with pytest.raises(UserError, match=r"three\.pose\.json.*no person 7; choose one of 0, 1, 2"):
        load_person(path, 7)
    with pytest.raises(UserError, match="largest, center or a number"):
        load_person(path, "tallest")  # type: ignore[arg-type]


def test_a_person_away_in_a_frame_is_absent_there(tmp_path: Path) -> None:
    hand = [[1, 2, 1]] * 21
    (tmp_path / "a.pose.json").write_text(
        json.dumps(
            {
                "format": "magicpose.pose", "version": 1, "size": [64, 64], "fps": 30,
                "frames": [{"people": []}, {"people": [{"id": 4, "right_hand": hand}]}],
            }
        )
    )  # fmt: skip
    (person,) = load_people(tmp_path / "a.pose.json")
    assert not person[0].stacked().any() and person[1].right_hand[:, :2].tolist() == [[1, 2]] * 21
    assert PoseTrack.load(tmp_path / "a.pose.json", person=4).fps == 30


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([], "1 to 64 people"),
        ([track(), track(frames=3)], "same number of frames"),
        ([track(), track(size=(64, 64))], "canvas size"),
        ([PoseTrack((), (64, 64))], "number of frames"),
        ([PoseTrack((Pose(),), (64, 64), fps=float("nan"))], "fps"),
        ([PoseTrack((Pose(body=np.full((18, 3), np.nan, np.float32)),), (64, 64))], "not finite"),
    ],
)
def test_what_no_document_can_hold_is_not_written(tmp_path: Path, people: list[PoseTrack], message: str) -> None:
    with pytest.raises(UserError, match=message):
        save_people(tmp_path / "a.pose.json", people)
    assert not list(tmp_path.iterdir())


def native(**changes: Any) -> str:
    return json.dumps({"format": "magicpose.pose", "version": 1, "size": [8, 8], "fps": 30, "frames": []} | changes)


def person(**fields: Any) -> str:
    return native(frames=[{"people": []}, {"people": [{"id": 0} | fields]}])


HOSTILE = {
    "empty": ("", "is empty"),
    "not JSON": ("{pose", "not valid JSON"),
    "other JSON": ('{"a": 1}', "no pose document"),
    "a number": ("17", "no pose document"),
    "no frames": (native(), "no frames"),
    "NaN": (person(body=[[float("nan"), 0, 0]] * 18), "NaN is not a number"),
    "Infinity": (native(fps=float("inf")), "Infinity is not a number"),
    "1e999": (native().replace("30", "1e999"), "fps must be a number from 0.01 to 1000"),
    "1e999 point": (person(body=[[1, 0, 0]] * 18).replace("[1,", "[1e999,"), "beyond 1e[+]06"),
    "huge integer": (person(body=[[10**400, 0, 0]] * 18), "huge number"),
    "endless integer": (native(fps=0).replace('"fps": 0', '"fps": ' + "9" * 10_000), "not valid JSON"),
    "deep nesting": ("[" * 200_000, "nested too deeply"),
    "too few points": (person(face=[[1, 2, 1]] * 69), r"frames\[1\]\.people\[0\]\.face must hold 70 points, not 69"),
    "too many points": (person(body=[[0, 0, 0]] * 100_000), "body has 100000 items"),
    "not points": (person(body=[[1, 2]] * 18), r"body must hold points \[x, y, score\]"),
    "text in points": (person(body=[["1", 2, 1]] * 18), "numbers only, not text"),
    "true in points": (person(body=[[True, 2, 1]] * 18), "numbers only, not true"),
    "score above 1": (person(body=[[1, 2, 1.5]] * 18), "score outside of 0..1"),
    "unknown key": (person(bodies=[]), "unknown key 'bodies': the keys are body, face, id"),
    "bad id": (person(id=-1), "id must be a number from 0 to 63, not -1"),
    "same id twice": (native(frames=[{"people": [{"id": 1}, {"id": 1}]}]), "another person"),
    "too many people": (native(frames=[{"people": [{"id": 1}] * 65}]), "65 items, more than the 64"),
    "size": (native(size=[8]), r"\[width, height\]"),
    "huge size": (native(size=[8, 10**9]), "from 1 to 16384"),
    "no fps": (native(fps=None), "fps must be a number .*missing"),
    "source": (native(source=7), "source must be null or a text"),
    "newer": (native(version=2), "newer magicpose"),
    "another format": (native(format="pdf"), "must be \"magicpose.pose\""),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_bad_documents_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    text, message = HOSTILE[case]
    path = tmp_path / "bad.pose.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_people(path)
    assert "bad.pose.json" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_files_too_large_to_read_are_refused_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(jsonfile.MAX_BYTES + 1)  # sparse: takes no room on the disk
    with pytest.raises(UserError, match=r"big\.json is larger than 128 MiB"):
        load_people(path)
    monkeypatch.setattr(jsonfile, "MAX_CONTAINERS", 1000)
    path.write_text("[" + "[]," * 1000 + "[]]")
    with pytest.raises(UserError, match="more than 1000 lists"):
        load_people(path)


def test_too_many_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_FRAMES", 3)
    (tmp_path / "long.pose.json").write_text(native(frames=[{"people": []}] * 4))
    with pytest.raises(UserError, match="frames has 4 items, more than the 3"):
        load_people(tmp_path / "long.pose.json")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json does not exist"):
        load_people(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"holds no \*_keypoints\.json"):
        load_people(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="not a plain file"):
        load_people(tmp_path / "pipe.json")


def test_nobody_in_it_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "empty.pose.json").write_text(native(frames=[{"people": []}]))
    assert load_people(tmp_path / "empty.pose.json") == []
    with pytest.raises(UserError, match=r"empty\.pose\.json: there is nobody"):
        PoseTrack.load(tmp_path / "empty.pose.json")


def test_a_folder_cannot_be_overwritten_by_a_document(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        track().save(tmp_path, overwrite=True)


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose one of magicpose, coco-wholebody, comfyui, openpose"):
        save_people(tmp_path / "a", [track()], layout="bvh")  # type: ignore[arg-type]
