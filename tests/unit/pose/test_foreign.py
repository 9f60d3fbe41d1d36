"""Files as other programs write them, made by hand from their documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magicpose import PoseTrack
from magicpose.errors import UserError
from magicpose.pose.documents.document import load_people, save_people
from magicpose.pose.keypoints import BODY_NAMES

BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear", *(f"foot {n}" for n in range(6)),
)  # fmt: skip
COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip


def flat(count: int, start: float = 10, score: float = 0.9) -> list[float]:
    """Points (start, 1), (start + 1, 1), ... as a flat list."""
    return [number for n in range(count) for number in (start + n, 1.0, score)]


def save(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def frame(x: float = 10, **more: Any) -> dict[str, Any]:
    return {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat(18, x)}], **more}


def test_body_25_points_find_their_places_by_name(tmp_path: Path) -> None:
    (track,) = load_people(save(tmp_path / "a.json", {"people": [{"pose_keypoints_2d": flat(25)}]}))
    for index, name in enumerate(BODY_NAMES):
        assert track[0].body[index, 0] == 10 + BODY_25.index(name)


def test_coco_18_hands_and_68_face_points(tmp_path: Path) -> None:
    person = {
        "pose_keypoints_2d": flat(18), "hand_left_keypoints_2d": flat(21, 200), "hand_right_keypoints_2d": None,
        "face_keypoints_2d": flat(68, 300),
    }  # fmt: skip
    (track,) = load_people(save(tmp_path / "a.json", {"people": [person]}))
    pose = track[0]
    assert pose.body[17].tolist() == [27, 1, np.float32(0.9)]
    assert pose.left_hand[20, 0] == 220 and not pose.right_hand.any()
    assert pose.face[67, 0] == 367 and not pose.face[68:].any()


def test_a_folder_is_one_clip_in_natural_order(tmp_path: Path) -> None:
    for n in (10, 2, 1):
        save(tmp_path / f"v_{n}_keypoints.json", frame(x=n))
    save(tmp_path / "notes.json", {})
    (track,) = load_people(tmp_path, size=(640, 480), fps=12.5)
    assert [pose.body[0, 0] for pose in track] == [1, 2, 10]
    assert (track.size, track.fps) == ((640, 480), 12.5)


def test_a_bad_file_of_a_folder_is_named(tmp_path: Path) -> None:
    save(tmp_path / "v_0_keypoints.json", frame())
    save(tmp_path / "v_1_keypoints.json", {"people": [{"pose_keypoints_2d": [1, 2, 3]}]})
    with pytest.raises(UserError, match=r"v_1_keypoints\.json\.people\[0\].* must hold 54 or 75 numbers, not 3"):
        load_people(tmp_path)
    save(tmp_path / "v_1_keypoints.json", [])
    with pytest.raises(UserError, match=r"v_1_keypoints\.json is no OpenPose frame"):
        load_people(tmp_path)


def test_comfyui_frames_in_pixels_and_in_fractions_are_the_same(tmp_path: Path) -> None:
    canvas = {"canvas_width": 512, "canvas_height": 768}
    pixels = [frame(10, **canvas), {"people": [], **canvas}, frame(20, **canvas)]
    fractions = json.loads(json.dumps(pixels))
    for each in (fractions[0], fractions[2]):
        points = np.reshape(each["people"][0]["pose_keypoints_2d"], (18, 3)) / (512, 768, 1)
        each["people"][0]["pose_keypoints_2d"] = points.ravel().tolist()
    (one,) = load_people(save(tmp_path / "p.json", pixels))
    (other,) = load_people(save(tmp_path / "f.json", fractions))
    assert one.size == other.size == (512, 768) and len(one) == 3
    assert not one[1].stacked().any() and one[2].body[0, 0] == 20
    assert np.allclose(one.stacked(), other.stacked(), atol=1e-3)


def test_a_canvas_nobody_states_is_guessed_or_asked_for(tmp_path: Path) -> None:
    (track,) = load_people(save(tmp_path / "a.json", frame(1000)))
    assert track.size == (1024, 8)
    body = (np.reshape(flat(18, 0), (18, 3)) / (100, 100, 1)).ravel().tolist()
    path = save(tmp_path / "fractions.json", {"people": [{"pose_keypoints_2d": body}]})
    with pytest.raises(UserError, match=r"fractions\.json.* give the canvas size"):
        load_people(path)
    assert load_people(path, size=(100, 100))[0][0].body[17, 0] == pytest.approx(17)


def test_points_outside_of_the_canvas_are_no_fractions(tmp_path: Path) -> None:
    (track,) = load_people(save(tmp_path / "a.json", frame(-200, canvas_width=64, canvas_height=64)))
    assert track[0].body[0, 0] == -200


def test_frames_of_different_sizes_are_no_clip(tmp_path: Path) -> None:
    frames = [frame(canvas_width=64, canvas_height=64), frame(canvas_width=64, canvas_height=32)]
    with pytest.raises(UserError, match="different sizes"):
        load_people(save(tmp_path / "a.json", frames))


def coco(**changes: Any) -> dict[str, Any]:
    person = {
        "image_id": 7, "keypoints": flat(17, 10, 2), "foot_kpts": flat(6), "face_kpts": flat(68, 100, 1),
        "lefthand_kpts": flat(21, 200, 1), "righthand_kpts": flat(21, 300, 0),
    }  # fmt: skip
    images = [{"id": 3, "width": 640, "height": 480}, {"id": 7, "width": 640, "height": 480}]
    return {"images": images, "annotations": [person | changes]}


def test_coco_wholebody_points_find_their_places_by_name(tmp_path: Path) -> None:
    (track,) = load_people(save(tmp_path / "a.json", coco()))
    assert track.size == (640, 480) and len(track) == 2 and not track[0].stacked().any()
    pose = track[1]
    for index, name in enumerate(BODY_NAMES):
        if name != "neck":
            assert pose.body[index].tolist() == [10 + COCO_17.index(name), 1, 1]
    assert pose.body[1].tolist() == [10 + 5.5, 1, 1]  # between the shoulders
    assert pose.face[67, 0] == 167 and not pose.face[68:].any()
    assert pose.left_hand[0, 0] == 200 and not pose.right_hand.any()


def test_coco_with_all_133_points_in_one_list(tmp_path: Path) -> None:
    split = coco()
    person = split["annotations"][0]
    parts = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
    whole = coco()
    whole["annotations"] = [{"image_id": 7, "keypoints": [v for part in parts for v in person[part]]}]
    (one,), (other,) = (load_people(save(tmp_path / f"{n}.json", doc)) for n, doc in enumerate((split, whole)))
    assert (one.stacked() == other.stacked()).all()


def test_coco_without_a_shoulder_has_no_neck(tmp_path: Path) -> None:
    keypoints = flat(17)
    keypoints[3 * COCO_17.index("left_shoulder") + 2] = 0
    (track,) = load_people(save(tmp_path / "a.json", coco(keypoints=keypoints)))
    assert not track[1].body[1].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"image_id": 9}, "image_id is none"), ({"image_id": [1]}, "image_id is none"), ({"face_kpts": [1]}, "face_kpts")],
)
def test_bad_coco_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_people(save(tmp_path / "a.json", coco(**changes)))


def points(frames: int) -> PoseTrack:
    return PoseTrack.from_stacked(np.full((frames, 130, 3), (5, 7, 1), np.float32), (64, 48))


def test_an_openpose_folder_has_openposes_names(tmp_path: Path) -> None:
    save_people(tmp_path / "clip", [points(2)], layout="openpose")
    names = sorted(path.name for path in (tmp_path / "clip").iterdir())
    assert names == ["clip_000000000000_keypoints.json", "clip_000000000001_keypoints.json"]
    person = json.loads((tmp_path / "clip" / names[0]).read_text())["people"][0]
    assert {key: len(value) for key, value in person.items()} == {
        "person_id": 1, "pose_keypoints_2d": 54, "face_keypoints_2d": 210,
        "hand_left_keypoints_2d": 63, "hand_right_keypoints_2d": 63,
    }  # fmt: skip


def test_an_openpose_folder_replaces_only_its_like(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    save_people(folder, [points(3)], layout="openpose")
    with pytest.raises(UserError, match="--overwrite"):
        save_people(folder, [points(1)], layout="openpose")
    save_people(folder, [points(1)], layout="openpose", overwrite=True)
    assert len(list(folder.iterdir())) == 1
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="other files"):
        save_people(folder, [points(1)], layout="openpose", overwrite=True)
    assert (folder / "thesis.txt").exists() and [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_a_single_frame_may_be_a_single_openpose_file(tmp_path: Path) -> None:
    save_people(tmp_path / "a.json", [points(1)], layout="openpose")
    assert (load_people(tmp_path / "a.json")[0].stacked() == (5, 7, 1)).all()
    with pytest.raises(UserError, match="one frame; name a folder"):
        save_people(tmp_path / "b.json", [points(2)], layout="openpose")


def test_coco_files_have_what_coco_readers_need(tmp_path: Path) -> None:
    save_people(tmp_path / "a.json", [points(2)], layout="coco-wholebody")
    document = json.loads((tmp_path / "a.json").read_text())
    assert [len(document[key]) for key in ("images", "annotations", "categories")] == [2, 2, 1]
    lengths = {key: len(document["annotations"][0][key]) for key in ("keypoints", "foot_kpts", "face_kpts")}
    assert lengths == {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204}
