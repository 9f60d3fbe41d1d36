"""Our own pose document, `*.pose.json`: docs/poses.md describes it, docs/pose.schema.json is its schema."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from magicpose.pose.documents.assembly import Unstated
from magicpose.pose.documents.jsonfile import (
    MAX_SIDE,
    Malformed,
    as_list,
    as_number,
    as_object,
    as_points,
    as_whole,
    lines,
    readable,
)
from magicpose.pose.keypoints import N_BODY, N_FACE, N_HAND, Points, Pose
from magicpose.pose.people import MAX_DOCUMENT_FRAMES, MAX_PEOPLE_IN_CLIP, Scene

FORMAT, VERSION = "magicpose.pose", 1
MIN_FPS, MAX_FPS = 0.01, 1000.0
MAX_SOURCE = 200  # characters

_PARTS = {"body": N_BODY, "left_hand": N_HAND, "right_hand": N_HAND, "face": N_FACE}
_TOP_KEYS = frozenset({"format", "version", "size", "fps", "source", "frames"})
_FRAME_KEYS = frozenset({"people"})
_PERSON_KEYS = frozenset({"id", *_PARTS})


def is_native(document: Any) -> bool:
    return isinstance(document, dict) and "format" in document


def read_native(document: Any, _: Unstated) -> Scene:
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
    frames = as_list(top.get("frames"), "frames", MAX_DOCUMENT_FRAMES)
    return Scene(
        tuple(_read_frame(frame, f"frames[{n}]") for n, frame in enumerate(frames)),
        (as_whole(size[0], "size[0]", 1, MAX_SIDE), as_whole(size[1], "size[1]", 1, MAX_SIDE)),
        as_number(top.get("fps"), "fps", MIN_FPS, MAX_FPS),
        source,
    )


def _read_frame(frame: Any, at: str) -> dict[int, Pose]:
    people: dict[int, Pose] = {}
    fields = as_object(frame, at, _FRAME_KEYS)
    for n, value in enumerate(as_list(fields.get("people"), f"{at}.people", MAX_PEOPLE_IN_CLIP)):
        where = f"{at}.people[{n}]"
        person = as_object(value, where, _PERSON_KEYS)
        number = as_whole(person.get("id"), f"{where}.id", 0, MAX_PEOPLE_IN_CLIP - 1)
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


def dump_native(scene: Scene) -> str:
    head = {"format": FORMAT, "version": VERSION, "size": scene.size, "fps": scene.fps, "source": scene.source}
    frames = lines({"people": [_person_out(number, pose) for number, pose in frame.items()]} for frame in scene.frames)
    return f'{json.dumps(head)[:-1]}, "frames": {frames}}}\n'


def _person_out(number: int, pose: Pose) -> dict[str, Any]:
    """Parts of which no point is there are left out."""
    parts = {name: readable(getattr(pose, name)) for name in _PARTS}
    return {"id": number} | {name: points for name, points in parts.items() if any(p[2] for p in points)}
