"""Pose documents: what is written is read back, and nothing that can be in a file does harm."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magicpose import PoseTrack
from magicpose.errors import UserError
from magicpose.pose.documents.document import load_people, save_people

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "pose.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def random_people(seed: int, frames: int, people: int) -> list[PoseTrack]:
    """Tracks with points in and out of the canvas, absent points, parts and people."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-100, 2000, (people, frames, 130, 3))
    points[..., 2] = rng.choice([0, 0.0001, 0.2, 0.77777, 1], points.shape[:3])
    for start, stop in ((0, 18), (18, 39), (39, 60), (60, 130), (0, 130)):
        points[rng.random((people, frames)) < 0.3, start:stop, 2] = 0
    source = rng.choice(["ab" * 32, None])
    return [PoseTrack.from_stacked(p.astype(np.float32), (640, 361), 29.97, source) for p in points]


def rounded(track: PoseTrack) -> np.ndarray:
    """What a document keeps of a track's points."""
    points = track.stacked().astype(float)
    points = np.concatenate([points[..., :2].round(2), points[..., 2:].round(3)], axis=-1)
    points[points[..., 2] == 0] = 0
    return points.astype(np.float32)


@few
@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_a_document_gives_back_what_was_saved(folder: Path, seed: int, frames: int, people: int) -> None:
    tracks = random_people(seed, frames, people)
    save_people(folder / "a.pose.json", tracks, overwrite=True)
    loaded = load_people(folder / "a.pose.json")
    assert len(loaded) == people
    for before, after in zip(tracks, loaded):
        assert (after.size, after.fps, after.source) == (before.size, before.fps, before.source)
        assert (after.stacked() == rounded(before)).all()
    save_people(folder / "b.pose.json", loaded, overwrite=True)
    assert (folder / "a.pose.json").read_bytes() == (folder / "b.pose.json").read_bytes()


@few
@given(SEEDS, st.integers(1, 3))
def test_documents_obey_their_schema_and_have_a_line_per_frame(folder: Path, seed: int, frames: int) -> None:
    save_people(folder / "s.pose.json", random_people(seed, frames, 2), overwrite=True)
    text = (folder / "s.pose.json").read_text()
    VALIDATOR.validate(json.loads(text))
    assert len(text.splitlines()) == frames + 2


@few
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["openpose", "comfyui", "coco-wholebody"]))
def test_formats_of_others_give_back_what_they_can_hold(
    folder: Path, seed: int, frames: int, people: int, layout: Any
) -> None:
    tracks = random_people(seed, frames, people)
    path = folder / layout
    save_people(path, tracks, overwrite=True, layout=layout)
    loaded = load_people(path, fps=29.97)
    assert len(loaded) == people
    for before, after in zip(tracks, loaded):
        kept = np.ones(130, bool)
        kept[[1, 128, 129]] = layout != "coco-wholebody"  # no neck and no pupils there
        assert (after.size, after.fps, len(after)) == (before.size, before.fps, len(before))
        assert (after.stacked()[:, kept] == rounded(before)[:, kept]).all()


@few
@given(SEEDS, st.integers(0, 2), st.integers(0, 17), st.floats(-500, 500))
def test_an_edit_by_hand_changes_just_that(folder: Path, seed: int, frame: int, joint: int, x: float) -> None:
    path = folder / "e.pose.json"
    save_people(path, random_people(seed, 3, 1), overwrite=True)
    before = load_people(path)[0].stacked()
    document = json.loads(path.read_text())
    person = document["frames"][frame]["people"][0]
    person.setdefault("body", [[0, 0, 0]] * 18)[joint] = [round(x, 2), 7, 1]
    path.write_text(json.dumps(document, indent=2))
    after = load_people(path)[0]
    before[frame, joint] = (round(x, 2), 7, 1)
    assert (after.stacked() == before).all()
    after.save(path, overwrite=True)
    assert (load_people(path)[0].stacked() == before).all()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400)
keys = st.sampled_from(
    ["format", "version", "size", "frames", "people", "id", "body", "face", "images", "annotations", "image_id",
     "keypoints", "pose_keypoints_2d", "face_keypoints_2d", "canvas_width", "canvas_height", "width", "height"]
)  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=12
)


def load_or_explain(path: Path) -> list[PoseTrack] | str:
    """What was loaded, or the one line that says why not."""
    try:
        return load_people(path)
    except UserError as error:
        line = str(error)
        assert path.name in line and "\n" not in line and len(line) < 500
        return line


@settings(max_examples=80, deadline=None)
@given(anything)
def test_any_json_is_read_or_refused_in_one_line(folder: Path, value: Any) -> None:
    (folder / "any.json").write_text(json.dumps(value))
    load_or_explain(folder / "any.json")


@few
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(folder: Path, data: bytes) -> None:
    (folder / "bytes.json").write_bytes(data)
    assert isinstance(load_or_explain(folder / "bytes.json"), str)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value in a JSON document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


DOCUMENT: Any = {
    "format": "magicpose.pose", "version": 1, "size": [64, 48], "fps": 25.0, "source": None,
    "frames": [
        {"people": [{"id": 0, "body": [[1.5, 2, 1]] * 18}, {"id": 3}]},
        {"people": [{"id": 3, "left_hand": [[1, 2, 0.5]] * 21, "face": [[0, 0, 0]] * 70}]},
    ],
}  # fmt: skip
COMFYUI: Any = [
    {"people": [{"person_id": [0], "pose_keypoints_2d": [5, 6, 1] * 25, "face_keypoints_2d": None}],
     "canvas_width": 64, "canvas_height": 48},
    {"people": [], "canvas_width": 64, "canvas_height": 48},
]  # fmt: skip
COCO: Any = {
    "images": [{"id": 1, "width": 64, "height": 48}],
    "annotations": [{"image_id": 1, "track_id": 2, "keypoints": [5, 6, 1] * 17, "face_kpts": [1, 2, 2] * 68}],
}


@st.composite
def broken(draw: st.DrawFn, original: Any) -> Any:
    """`original` with one value replaced, deleted or doubled."""
    document = copy.deepcopy(original)
    *way, last = draw(st.sampled_from([place for place in places(document) if place]))
    parent = document
    for key in way:
        parent = parent[key]
    change = draw(st.sampled_from(["set", "delete", "double"]))
    if change == "set":
        parent[last] = draw(anything | st.integers(-2, 100))
    elif change == "delete":
        del parent[last]
    elif isinstance(parent, list):
        parent.append(copy.deepcopy(parent[last]))
    return document


@settings(max_examples=100, deadline=None)
@given(broken(COMFYUI) | broken(COMFYUI[0]) | broken(COCO))
def test_a_broken_file_of_another_format_is_read_or_refused_in_one_line(folder: Path, document: Any) -> None:
    (folder / "broken.json").write_text(json.dumps(document))
    load_or_explain(folder / "broken.json")


@settings(max_examples=100, deadline=None)
@given(broken(DOCUMENT))
def test_a_broken_document_is_accepted_exactly_if_the_schema_accepts_it(folder: Path, document: Any) -> None:
    path = folder / "broken.pose.json"
    path.write_text(json.dumps(document))
    result = load_or_explain(path)
    finite = "Infinity" not in path.read_text() and "NaN" not in path.read_text()
    valid = finite and VALIDATOR.is_valid(json.loads(path.read_text()))
    own_rule = isinstance(result, str) and "another person" in result  # ids are unique: no schema can say so
    assert isinstance(result, list) == (valid and not own_rule), result
