"""Documents whose numbers mean something else than their neighbours: read right, or told in one line."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magicpose.errors import UserError
from magicpose.media.files import MediaWarning
from magicpose.pose.documents.document import load_people, load_person, save_people
from magicpose.pose.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, PoseTrack
from magicpose.pose.motions import load_motion

BODY_KEY, LEFT_KEY, RIGHT_KEY, FACE_KEY = KEYS = (
    "pose_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "face_keypoints_2d",
)  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> PoseTrack:
    return load_motion("dance")[:6]


@pytest.fixture
def document(truth: PoseTrack, tmp_path: Path) -> Any:
    """Six ComfyUI frames in pixels."""
    save_people(tmp_path / "truth.json", [truth], layout="comfyui")
    return json.loads((tmp_path / "truth.json").read_text())


def scaled(document: Any, keys: tuple[str, ...], scale: float, frames: slice = slice(None)) -> Any:
    """The parts `keys` of some frames in units of 1/`scale` of the canvas."""
    document = copy.deepcopy(document)
    for frame in document[frames]:
        width, height = frame["canvas_width"], frame["canvas_height"]
        for person in frame["people"]:
            for key in keys:
                points = np.reshape(person[key], (-1, 3)) * (scale / width, scale / height, 1)
                person[key] = points.ravel().tolist()
    return document


def loaded(tmp_path: Path, document: Any, **more: Any) -> tuple[PoseTrack, list[str]]:
    """What is read, and the notes that are printed."""
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(document))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", MediaWarning)
        track = load_person(path, **more)
    notes = [str(warning.message) for warning in said if issubclass(warning.category, MediaWarning)]
    assert all(note.startswith(str(path)) and "\n" not in note for note in notes)
    return track, notes


def same(track: PoseTrack, truth: PoseTrack) -> bool:
    return track.size == truth.size and np.allclose(track.stacked(), truth.stacked(), atol=0.05)


@pytest.mark.parametrize(
    "parts", [(BODY_KEY,), (FACE_KEY,), (LEFT_KEY,), (RIGHT_KEY, FACE_KEY), (BODY_KEY, LEFT_KEY), KEYS]
)
def test_each_part_may_be_in_fractions_by_itself(
    tmp_path: Path, document: Any, truth: PoseTrack, parts: tuple[str, ...]
) -> None:
    track, notes = loaded(tmp_path, scaled(document, parts, 1.0))
    assert same(track, truth) and not notes


def test_units_may_change_from_frame_to_frame_which_is_told(tmp_path: Path, document: Any, truth: PoseTrack) -> None:
    track, notes = loaded(tmp_path, scaled(document, KEYS, 1.0, slice(2, 4)))
    assert same(track, truth)
    assert len(notes) == 4 and "the body is in fractions of the canvas in 2 of 6 poses" in notes[0]


@pytest.mark.parametrize("parts", [(FACE_KEY,), (RIGHT_KEY,), KEYS])
def test_percent_is_read_and_told(tmp_path: Path, document: Any, truth: PoseTrack, parts: tuple[str, ...]) -> None:
    track, notes = loaded(tmp_path, scaled(document, parts, 100.0))
    assert same(track, truth)
    assert len(notes) == 1 and "read as percent of the canvas: " in notes[0] and notes[0].count(",") == len(parts) - 1


def test_a_small_person_in_the_corner_is_not_in_percent(tmp_path: Path, truth: PoseTrack) -> None:
    points = truth.stacked()
    points[..., :2] *= 0.12
    small = PoseTrack.from_stacked(points, truth.size)
    save_people(tmp_path / "small.json", [small], layout="comfyui")
    track, notes = loaded(tmp_path, json.loads((tmp_path / "small.json").read_text()))
    assert same(track, small) and not notes


def test_a_part_in_another_scale_is_told(tmp_path: Path, document: Any) -> None:
    for frame in document:
        face = np.reshape(frame["people"][0][FACE_KEY], (-1, 3)) * (7, 7, 1)
        frame["people"][0][FACE_KEY] = face.ravel().tolist()
    _, notes = loaded(tmp_path, document)
    assert any("the face is" in note and "away from the head" in note for note in notes)


def test_a_canvas_the_points_do_not_fit_is_told(tmp_path: Path, document: Any) -> None:
    for frame in document:
        frame.update(canvas_width=64, canvas_height=64)
    _, notes = loaded(tmp_path, document)
    assert len(notes) == 1 and "most points of body, left hand, right hand, face are far outside" in notes[0]


def test_coordinates_about_the_middle_are_refused(tmp_path: Path, document: Any) -> None:
    for frame in document:
        size = np.array([frame["canvas_width"], frame["canvas_height"], 2])
        body = np.reshape(frame["people"][0][BODY_KEY], (-1, 3)) * 2 / size - (1, 1, 0)
        frame["people"][0] = {BODY_KEY: body.ravel().tolist()}
    with pytest.raises(UserError, match=r"clip\.json: the body runs from -1 to 1"):
        loaded(tmp_path, document)


def without_canvas(document: Any) -> Any:
    return [{"people": frame["people"]} for frame in document]


def test_fractions_of_an_unstated_canvas_need_its_size(tmp_path: Path, document: Any, truth: PoseTrack) -> None:
    fractions = without_canvas(scaled(document, (FACE_KEY,), 1.0))
    with pytest.raises(UserError, match=r"the face is in fractions of a canvas .* --canvas 512x768"):
        loaded(tmp_path, fractions)
    track, notes = loaded(tmp_path, fractions, size=truth.size)
    assert same(track, truth) and not notes


def test_a_size_beside_a_stated_canvas_is_not_used_which_is_told(
    tmp_path: Path, document: Any, truth: PoseTrack
) -> None:
    track, notes = loaded(tmp_path, document, size=(1000, 1000))
    assert same(track, truth) and len(notes) == 1 and "1000x1000 is not used" in notes[0]


@pytest.mark.parametrize("scale", [None, 1.0])
def test_a_canvas_that_changes_is_scaled(tmp_path: Path, document: Any, truth: PoseTrack, scale: float | None) -> None:
    for frame in document[1:3]:
        frame["canvas_width"] *= 2
        frame["canvas_height"] *= 2
        for person in frame["people"]:
            for key in KEYS:
                person[key] = (np.reshape(person[key], (-1, 3)) * (2, 2, 1)).ravel().tolist()
    track, notes = loaded(tmp_path, document if scale is None else scaled(document, KEYS, scale))
    assert same(track, truth)
    assert len(notes) == 1 and notes[0].endswith("scaled to fit it: 2")


def test_a_canvas_of_another_shape_keeps_the_person_upright(tmp_path: Path, document: Any, truth: PoseTrack) -> None:
    document[0]["canvas_width"] += 200  # a wider picture, the same person
    track, _ = loaded(tmp_path, document)
    width, height = truth.size
    scale = width / (width + 200)
    expected = truth[0].body[:, :2] * scale + (0, height * (1 - scale) / 2)
    assert np.allclose(track[0].body[:, :2], expected, atol=0.05)


@pytest.mark.parametrize("absent", [(0, 0, 1), (-1, -1, 1), (0, 0, 0.5), (-1, -1, -1), (None, None, 1), (1e9, 5, 0)])
def test_absent_joints_are_absent_whatever_the_score_says(tmp_path: Path, document: Any, absent: Any) -> None:
    for unit in (None, 1.0):
        changed = copy.deepcopy(document) if unit is None else scaled(document, KEYS, unit)
        for frame in changed:
            frame["people"][0][BODY_KEY][3 * 4 : 3 * 5] = absent
            frame["people"][0][FACE_KEY][:3] = absent
        track, notes = loaded(tmp_path, changed)
        points = track.stacked()
        assert not points[:, [4, FACE.start]].any() and points[:, 3, 2].all() and not notes


@pytest.mark.parametrize(
    ("value", "message"),
    [(1e7, "beyond 1e"), (-1e300, "beyond 1e"), (10**400, "huge"), ("1", "numbers only, not text")],
)
def test_impossible_numbers_are_named(tmp_path: Path, document: Any, value: Any, message: str) -> None:
    document[2]["people"][0][LEFT_KEY][0] = value
    with pytest.raises(UserError, match=rf"\[2\]\.people\[0\]\.hand_left_keypoints_2d .*{message}"):
        loaded(tmp_path, document)


@pytest.mark.parametrize("nobody", [None, {}, {"people": []}, {"people": None, "canvas_width": 9, "canvas_height": 9}])
def test_a_frame_without_anybody_is_a_frame(tmp_path: Path, document: Any, truth: PoseTrack, nobody: Any) -> None:
    document[3] = nobody
    track, _ = loaded(tmp_path, document)
    assert len(track) == 6 and not track[3].stacked().any()
    assert np.allclose(track[4].stacked(), truth[4].stacked(), atol=0.05)
    assert loaded(tmp_path, [nobody, *document])[0][0].stacked().sum() == 0


@pytest.mark.parametrize("wrong", ["text", 3, [], {"keypoints": []}])
def test_what_is_no_frame_is_named(tmp_path: Path, document: Any, wrong: Any) -> None:
    document[3] = wrong
    with pytest.raises(UserError, match=r"\[3\] is no frame of OpenPose"):
        loaded(tmp_path, document)


def test_points_may_be_lists_and_may_lack_scores(tmp_path: Path, document: Any, truth: PoseTrack) -> None:
    for width in (3, 2):
        for nested in (True, False):
            changed = copy.deepcopy(document)
            for frame in changed:
                person = frame["people"][0]
                for key in KEYS if nested else (BODY_KEY,):
                    points = np.reshape(person[key], (-1, 3))[:, :width]
                    person[key] = points.tolist() if nested else points.ravel().tolist()
            track, notes = loaded(tmp_path, changed)
            assert np.allclose(track.stacked()[..., :2], truth.stacked()[..., :2], atol=0.05) and not notes


@pytest.mark.parametrize(("count", "rows"), [(68, slice(0, 68)), (51, slice(17, 68))])
def test_faces_without_pupils_or_jaw_find_their_places(
    tmp_path: Path, document: Any, truth: PoseTrack, count: int, rows: slice
) -> None:
    for frame in document:
        face = np.reshape(frame["people"][0][FACE_KEY], (-1, 3))
        frame["people"][0][FACE_KEY] = face[rows].ravel().tolist()
    track, notes = loaded(tmp_path, document)
    faces = track.stacked()[:, FACE]
    assert np.allclose(faces[:, rows], truth.stacked()[:, FACE][:, rows], atol=0.05) and not notes
    assert (faces[..., 2] > 0).sum() == 6 * count


@pytest.mark.parametrize("count", [69, 56, 98, 5])
def test_unknown_faces_are_left_out_and_named(tmp_path: Path, document: Any, truth: PoseTrack, count: int) -> None:
    for frame in document:
        frame["people"][0][FACE_KEY] = [100.0, 100.0, 1.0] * count
    track, notes = loaded(tmp_path, document)
    assert notes == [
        f"{tmp_path}/clip.json: face_keypoints_2d has {count} points; known are 51, 68 or 70: it is left out"
    ]
    assert not track.stacked()[:, FACE].any()
    assert np.allclose(track.stacked()[:, BODY], truth.stacked()[:, BODY], atol=0.05)


def test_unknown_bodies_are_refused(tmp_path: Path, document: Any) -> None:
    document[1]["people"][0][BODY_KEY] = [1.0] * 60
    with pytest.raises(
        UserError, match=r"\[1\]\.people\[0\]\.pose_keypoints_2d has 20 points; known are 17, 18, 19 or 25"
    ):
        loaded(tmp_path, document)


@pytest.mark.parametrize(
    "value", [[[1, 2, 3, 4]] * 18, [[1, 2, 1]] * 17 + [[1, 2]], [1.0] * 55, [[1, 2, 1]] * 17 + [3]]
)
def test_points_of_no_shape_are_refused(tmp_path: Path, document: Any, value: Any) -> None:
    document[1]["people"][0][BODY_KEY] = value
    with pytest.raises(UserError, match=r"\[1\]\.people\[0\]\.pose_keypoints_2d must hold"):
        loaded(tmp_path, document)


def test_a_single_point_takes_the_unit_of_the_rest(tmp_path: Path, document: Any, truth: PoseTrack) -> None:
    keep = ((LEFT_HAND, LEFT_KEY), (RIGHT_HAND, RIGHT_KEY))
    fractions = scaled(document, KEYS, 1.0)
    for frame in fractions:
        for _, key in keep:
            frame["people"][0][key][3:] = [0] * 60
    track, _ = loaded(tmp_path, fractions)
    for rows, _ in keep:
        first = rows.start
        assert np.allclose(track.stacked()[:, first], truth.stacked()[:, first], atol=0.05)


def test_two_people_may_use_different_units(tmp_path: Path, document: Any, truth: PoseTrack) -> None:
    fractions = scaled(document, KEYS, 1.0)
    for frame, other in zip(document, fractions, strict=True):
        other["people"][0]["person_id"] = [1]
        frame["people"].append(other["people"][0])
    path = tmp_path / "two.json"
    path.write_text(json.dumps(document))
    with pytest.warns(MediaWarning, match="in fractions of the canvas in 6 of 12"):
        people = load_people(path)
    assert len(people) == 2 and all(same(track, truth) for track in people)
