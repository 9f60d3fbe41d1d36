"""Pose documents: our own `*.pose.json`, and the JSON of OpenPose, DWPose/ComfyUI and COCO-WholeBody.

Our document holds one frame per line and numbers a person can read and change (0.01 px, 0.001 of score).
docs/poses.md describes it, docs/pose.schema.json is its schema. Files of others are recognised by their
content, never by their name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from magicpose.errors import UserError
from magicpose.media.files import PathLike, natural_key
from magicpose.pose.documents import foreign
from magicpose.pose.documents.jsonfile import (
    MAX_BYTES,
    MAX_COORDINATE,
    MAX_SIDE,
    Malformed,
    as_list,
    as_number,
    as_object,
    as_points,
    as_whole,
    read_json,
    readable,
    write_text,
)
from magicpose.pose.keypoints import N_BODY, N_FACE, N_HAND, Points, Pose, PoseTrack
from magicpose.pose.people import MAX_FRAMES, MAX_PEOPLE, Person, Scene, pick_person

FORMAT, VERSION = "magicpose.pose", 1
MIN_FPS, MAX_FPS = 0.01, 1000.0
MAX_SOURCE = 200  # characters

_PARTS = {"body": N_BODY, "left_hand": N_HAND, "right_hand": N_HAND, "face": N_FACE}
_TOP_KEYS = frozenset({"format", "version", "size", "fps", "source", "frames"})
_FRAME_KEYS = frozenset({"people"})
_PERSON_KEYS = frozenset({"id", *_PARTS})

Layout = Literal["magicpose", "openpose", "comfyui", "coco-wholebody"]


@dataclass(frozen=True)
class _Format:
    recognises: Callable[[Any], bool]
    read: Callable[[Any, foreign.Unstated], Scene]
    write: Callable[[Path, Scene, bool], None]  # the bool allows overwriting


def load_people(path: PathLike, *, size: tuple[int, int] | None = None, fps: float = 30.0) -> list[PoseTrack]:
    """Everybody in a pose document or in a folder of `*_keypoints.json`, in order of id, on one timeline.

    `size` (width, height) and `fps` are used where the file does not state its own. Without either size, the
    smallest canvas with sides a multiple of 8 that holds all points is taken.

    Raises UserError naming the file if it cannot be read, is of no known format, or breaks its format's rules.
    """
    return list(_load(Path(path), foreign.Unstated(size, fps)).tracks().values())


def load_person(
    path: PathLike, person: Person = "largest", *, size: tuple[int, int] | None = None, fps: float = 30.0
) -> PoseTrack:
    """One person of a document: the largest, the one nearest the centre, or by id. See `load_people`."""
    scene = _load(Path(path), foreign.Unstated(size, fps))
    try:
        return pick_person(scene.tracks(), person)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def save_people(
    path: PathLike, people: Sequence[PoseTrack], *, overwrite: bool = False, layout: Layout = "magicpose"
) -> None:
    """Write the people of one clip (ids are their places in `people`) as one document.

    `layout` "openpose" writes a folder with a file per frame (one file for a single frame where `path` ends in
    .json), all others one file. Points of score 0 are written as [0, 0, 0] and scores above 1 as 1.
    Raises UserError if it cannot be written or the tracks do not belong together.
    """
    path = Path(path)
    try:
        scene = _checked(people)
    except Malformed as error:
        raise UserError(f"{path} was not written: {error}") from error
    if layout not in _FORMATS:
        raise UserError(f"there is no pose format {layout!r}; choose one of {', '.join(_FORMATS)}")
    _FORMATS[layout].write(path, scene, overwrite)


def _load(path: Path, unstated: foreign.Unstated) -> Scene:
    try:
        scene = _read_folder(path, unstated) if path.is_dir() else _read_file(path, unstated)
        if not scene.frames:
            raise Malformed("it holds no frames")
        return scene
    except Malformed as error:
        raise UserError(f"{path}: {error}") from error


def _read_file(path: Path, unstated: foreign.Unstated) -> Scene:
    document = read_json(path)
    for form in _FORMATS.values():
        if form.recognises(document):
            return form.read(document, unstated)
    raise Malformed("this JSON is no pose document; give a *.pose.json, OpenPose, ComfyUI or COCO-WholeBody file")


def _read_folder(folder: Path, unstated: foreign.Unstated) -> Scene:
    """The OpenPose files of a folder, in natural order of their names, as the frames of one clip."""
    files = [file for file in folder.glob("*_keypoints.json") if file.is_file()]
    files.sort(key=lambda file: natural_key(file.name))
    if not files:
        raise Malformed("the folder holds no *_keypoints.json files as OpenPose writes them")
    if len(files) > MAX_FRAMES or sum(file.stat().st_size for file in files) > MAX_BYTES:
        raise Malformed(f"more than {MAX_FRAMES} frames or {MAX_BYTES >> 20} MiB: split it into shorter clips")
    frames = [read_json(file) for file in files]
    for file, frame in zip(files, frames):
        if not foreign.is_openpose(frame):
            raise Malformed(f"{file.name} is no OpenPose frame; take it out of the folder")
    return foreign.read_frames(frames, [file.name for file in files], unstated)


def _is_native(document: Any) -> bool:
    return isinstance(document, dict) and "format" in document


def _read_native(document: Any, _: foreign.Unstated) -> Scene:
    if document["format"] != FORMAT:
        raise Malformed(f'its "format" must be "{FORMAT}"')
    version = as_whole(document.get("version"), "version", 1, 1_000_000)
    if version > VERSION:
        raise Malformed(f"it was written by a newer magicpose (document version {version}): update magicpose")
    top = as_object(document, "the document", _TOP_KEYS)
    size = as_list(top.get("size"), "size", 2)
    if len(size) != 2:
        raise Malformed("size must be [width, height]")
    source = top.get("source")
    if source is not None and not (isinstance(source, str) and len(source) <= MAX_SOURCE):
        raise Malformed(f"source must be null or a text of at most {MAX_SOURCE} characters")
    frames = as_list(top.get("frames"), "frames", MAX_FRAMES)
    return Scene(
        tuple(_read_frame(frame, f"frames[{n}]") for n, frame in enumerate(frames)),
        (as_whole(size[0], "size[0]", 1, MAX_SIDE), as_whole(size[1], "size[1]", 1, MAX_SIDE)),
        as_number(top.get("fps"), "fps", MIN_FPS, MAX_FPS),
        source,
    )


def _read_frame(frame: Any, at: str) -> dict[int, Pose]:
    people: dict[int, Pose] = {}
    fields = as_object(frame, at, _FRAME_KEYS)
    for n, value in enumerate(as_list(fields.get("people"), f"{at}.people", MAX_PEOPLE)):
        where = f"{at}.people[{n}]"
        person = as_object(value, where, _PERSON_KEYS)
        number = as_whole(person.get("id"), f"{where}.id", 0, MAX_PEOPLE - 1)
        if number in people:
            raise Malformed(f"{where}.id is {number}, which another person of the frame has: give it another")
        people[number] = Pose(
            **{
                part: _read_part(person[part], count, f"{where}.{part}")
                for part, count in _PARTS.items()
                if part in person
            }
        )
    return people


def _read_part(value: Any, count: int, at: str) -> Points:
    rows = as_list(value, at, 10 * count)
    if len(rows) != count:
        raise Malformed(f"{at} must hold {count} points, not {len(rows)}")
    if not all(isinstance(row, list) and len(row) == 3 for row in rows):
        raise Malformed(f"{at} must hold points [x, y, score]")
    points = as_points([number for row in rows for number in row], at)
    if not ((points[:, 2] >= 0) & (points[:, 2] <= 1)).all():
        raise Malformed(f"{at} holds a score outside of 0..1")
    return points.astype(np.float32)


def _dump_native(scene: Scene) -> str:
    head = {"format": FORMAT, "version": VERSION, "size": scene.size, "fps": scene.fps, "source": scene.source}
    frames = foreign.lines(
        {"people": [_person_out(number, pose) for number, pose in frame.items()]} for frame in scene.frames
    )
    return f'{json.dumps(head)[:-1]}, "frames": {frames}}}\n'


def _person_out(number: int, pose: Pose) -> dict[str, Any]:
    """Parts of which no point is there are left out."""
    parts = {name: readable(getattr(pose, name)) for name in _PARTS}
    return {"id": number} | {name: points for name, points in parts.items() if any(p[2] for p in points)}


def _checked(people: Sequence[PoseTrack]) -> Scene:
    """The scene of tracks that may be written."""
    if not 1 <= len(people) <= MAX_PEOPLE:
        raise Malformed(f"a pose document holds 1 to {MAX_PEOPLE} people, not {len(people)}")
    if len({(len(track), track.size, track.fps) for track in people}) > 1:
        raise Malformed("its people must have the same number of frames, canvas size and fps")
    first = people[0]
    as_whole(len(first), "the number of frames", 1, MAX_FRAMES)
    as_number(float(first.fps), "fps", MIN_FPS, MAX_FPS)
    for side in first.size:
        as_whole(int(side), "a side of the canvas", 1, MAX_SIDE)
    for number, track in enumerate(people):
        if not (np.abs(track.stacked()) <= MAX_COORDINATE).all():
            raise Malformed(f"person {number} has points that are not finite or beyond {MAX_COORDINATE:g} px")
    return Scene.from_tracks(people)


def _to_file(dump: Callable[[Scene], str]) -> Callable[[Path, Scene, bool], None]:
    def write(path: Path, scene: Scene, overwrite: bool) -> None:
        write_text(path, dump(scene), overwrite=overwrite)

    return write


# A file is read by the first format that recognises it.
_FORMATS: dict[str, _Format] = {
    "magicpose": _Format(_is_native, _read_native, _to_file(_dump_native)),
    "coco-wholebody": _Format(foreign.is_coco, foreign.read_coco, _to_file(foreign.dump_coco)),
    "comfyui": _Format(foreign.is_comfyui, foreign.read_comfyui, _to_file(foreign.dump_comfyui)),
    "openpose": _Format(foreign.is_openpose, foreign.read_openpose, foreign.write_openpose),
}
