"""The pose JSON of others: OpenPose, DWPose/ComfyUI `POSE_KEYPOINT` and COCO-WholeBody, read and written.

Each reader takes parsed JSON and what the caller knows beyond it, and gives a Scene or raises Malformed.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magicpose.errors import UserError
from magicpose.media.files import explained, umask
from magicpose.pose.documents.jsonfile import (
    MAX_SIDE,
    Malformed,
    as_list,
    as_object,
    as_points,
    as_whole,
    readable,
    write_text,
)
from magicpose.pose.keypoints import N_BODY, N_FACE, N_HAND, Points, Pose
from magicpose.pose.people import MAX_FRAMES, MAX_PEOPLE, Scene, identify

# For each length of a flat list [x, y, score, ...] the rows that make ours; -1 is a point that is absent.
Rows = Mapping[int, Sequence[int]]
_HAND_ROWS: Rows = {63: range(N_HAND)}
_FACE_ROWS: Rows = {210: range(N_FACE), 204: (*range(68), -1, -1)}  # 68 points have no pupils
_OPENPOSE_ROWS: dict[str, tuple[int, Rows]] = {
    "pose_keypoints_2d": (N_BODY, {54: range(N_BODY), 75: (*range(8), *range(9, 19))}),  # COCO-18, BODY_25
    "hand_left_keypoints_2d": (N_HAND, _HAND_ROWS),
    "hand_right_keypoints_2d": (N_HAND, _HAND_ROWS),
    "face_keypoints_2d": (N_FACE, _FACE_ROWS),
}

_COCO_BODY = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip
# Ours in rows of COCO's 17; the neck, which COCO lacks, is made of the shoulders (rows 5 and 6).
_COCO_ROWS: Rows = {51: (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)}
_COCO_PARTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
_COCO_ALL = 3 * sum(_COCO_PARTS.values())  # numbers, where all 133 points are in one list

_NORMALISED_LIMIT = 2.0  # coordinates that never exceed this are fractions of the canvas, not pixels


@dataclass(frozen=True)
class Unstated:
    """What the caller says about a clip, for files that do not."""

    size: tuple[int, int] | None = None  # (width, height) pixels
    fps: float = 30.0


Found = list[tuple[int | None, Points]]  # the people of one frame: own id if any, stacked points [130, 3]


def is_openpose(document: Any) -> bool:
    """One frame as OpenPose writes it."""
    return isinstance(document, dict) and "people" in document


def is_comfyui(document: Any) -> bool:
    """A list of such frames: ComfyUI's POSE_KEYPOINT."""
    return isinstance(document, list) and all(is_openpose(frame) for frame in document)


def is_coco(document: Any) -> bool:
    return isinstance(document, dict) and "annotations" in document and "images" in document


def read_openpose(document: Any, unstated: Unstated) -> Scene:
    return read_frames([document], ["the frame"], unstated)


def read_comfyui(document: Any, unstated: Unstated) -> Scene:
    frames = as_list(document, "the list of frames", MAX_FRAMES)
    return read_frames(frames, [f"[{n}]" for n in range(len(frames))], unstated)


def read_frames(frames: Sequence[Any], names: Sequence[str], unstated: Unstated) -> Scene:
    """A Scene of OpenPose frames; `names` are what messages call them.

    Pixels or fractions of the canvas; BODY_25 or COCO-18 bodies, 68 or 70 face points; any part may be
    missing, null or empty.
    """
    found: list[Found] = []
    stated: set[tuple[int, int]] = set()
    for frame, name in zip(frames, names, strict=True):
        fields = as_object(frame, name)
        if fields.get("canvas_width") is not None:
            stated.add(
                (
                    as_whole(fields.get("canvas_width"), f"{name}.canvas_width", 1, MAX_SIDE),
                    as_whole(fields.get("canvas_height"), f"{name}.canvas_height", 1, MAX_SIDE),
                )
            )
        people = as_list(fields["people"] or [], f"{name}.people", MAX_PEOPLE)
        found.append([_openpose_person(person, f"{name}.people[{n}]") for n, person in enumerate(people)])
    size = _one_size(stated) or unstated.size
    return _scene(found, size, unstated.fps)


def _openpose_person(person: Any, at: str) -> tuple[int | None, Points]:
    fields = as_object(person, at)
    parts = [_part(fields.get(key), rows, count, f"{at}.{key}") for key, (count, rows) in _OPENPOSE_ROWS.items()]
    ids = fields.get("person_id")
    own = ids[0] if isinstance(ids, list) and len(ids) == 1 and type(ids[0]) is int else None
    return own if own is not None and 0 <= own < MAX_PEOPLE else None, np.concatenate(parts)


def _part(value: Any, rows: Rows, count: int, at: str) -> Points:
    """`count` points [x, y, score] out of a flat list of any of the lengths `rows` knows."""
    if value is None or value == []:
        return np.zeros((count, 3), np.float32)
    numbers = as_list(value, at, max(rows))
    if len(numbers) not in rows:
        raise Malformed(f"{at} must hold {' or '.join(map(str, rows))} numbers, not {len(numbers)}")
    points = np.concatenate([as_points(numbers, at), np.zeros((1, 3))])[list(rows[len(numbers)])]
    points[:, 2] = np.clip(points[:, 2], 0, 1)
    points[points[:, 2] == 0] = 0
    return points.astype(np.float32)


def _one_size(stated: set[tuple[int, int]]) -> tuple[int, int] | None:
    if len(stated) > 1:
        listed = ", ".join(f"{width}x{height}" for width, height in sorted(stated)[:3])
        raise Malformed(f"its frames are of different sizes ({listed}): a clip has one size; resize them first")
    return next(iter(stated), None)


def _scene(found: list[Found], size: tuple[int, int] | None, fps: float) -> Scene:
    """People get their ids, fractions become pixels, and a missing size is taken from the points."""
    places = np.concatenate([np.zeros((1, 2)), *(points[:, :2] for frame in found for _, points in frame)])
    reach = places.max(axis=0)
    if 0 < np.abs(places).max() <= _NORMALISED_LIMIT:
        if size is None:
            raise Malformed("its coordinates are fractions of a canvas it does not state: give the canvas size")
        for frame in found:
            for _, points in frame:
                points[:, :2] *= np.array(size, np.float32)
    if size is None:
        if reach.max() > MAX_SIDE:
            raise Malformed(f"it has points further out than {MAX_SIDE} px and no canvas size: give the size")
        size = (8 * max(1, math.ceil(reach[0] / 8)), 8 * max(1, math.ceil(reach[1] / 8)))
    poses = [[(own, Pose.from_stacked(points)) for own, points in frame] for frame in found]
    return Scene(identify(poses), size, fps)


def read_coco(document: Any, unstated: Unstated) -> Scene:
    """COCO-WholeBody annotations: a frame per entry of `images`, in their order.

    Keypoints are split by part as the data set has it, or one list of 133. Visibility above 1 counts as score 1.
    """
    at = "images"
    images = [as_object(image, at) for image in as_list(document["images"], at, MAX_FRAMES)]
    stated = {
        (
            as_whole(image.get("width"), f"{at}[{n}].width", 1, MAX_SIDE),
            as_whole(image.get("height"), f"{at}[{n}].height", 1, MAX_SIDE),
        )
        for n, image in enumerate(images)
    }
    order = {as_whole(image.get("id"), f"{at}[{n}].id", 0, 2**53): n for n, image in enumerate(images)}
    if len(order) < len(images):
        raise Malformed("two of its images have the same id: number them")
    found: list[Found] = [[] for _ in images]
    for n, annotation in enumerate(as_list(document["annotations"], "annotations", MAX_PEOPLE * MAX_FRAMES)):
        at = f"annotations[{n}]"
        fields = as_object(annotation, at)
        frame = order.get(fields["image_id"]) if type(fields.get("image_id")) is int else None
        if frame is None:
            raise Malformed(f"{at}.image_id is none of the ids in images")
        own = fields.get("track_id")
        found[frame].append((own if type(own) is int and 0 <= own < MAX_PEOPLE else None, _coco_person(fields, at)))
    return _scene(found, _one_size(stated) or unstated.size, unstated.fps)


def _coco_person(fields: dict[str, Any], at: str) -> Points:
    values = {name: fields.get(name) for name in _COCO_PARTS}
    whole = values["keypoints"]
    if isinstance(whole, list) and len(whole) == _COCO_ALL:
        ends = [3 * int(end) for end in np.cumsum(list(_COCO_PARTS.values()))]
        values = {name: whole[start:end] for name, start, end in zip(_COCO_PARTS, [0, *ends], ends)}
    body = _part(values["keypoints"], _COCO_ROWS, N_BODY, f"{at}.keypoints")
    shoulders = body[[2, 5]]
    if shoulders[:, 2].min() > 0:
        body[1] = (*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min())
    left = _part(values["lefthand_kpts"], _HAND_ROWS, N_HAND, f"{at}.lefthand_kpts")
    right = _part(values["righthand_kpts"], _HAND_ROWS, N_HAND, f"{at}.righthand_kpts")
    return np.concatenate([body, left, right, _part(values["face_kpts"], _FACE_ROWS, N_FACE, f"{at}.face_kpts")])


def _flat(points: Points) -> list[float]:
    return [number for point in readable(points) for number in point]


def _openpose_frame(scene: Scene, frame: Mapping[int, Pose]) -> dict[str, Any]:
    """One frame for OpenPose's readers; the canvas, which OpenPose leaves out, is stated as ComfyUI does."""
    people = [
        {
            "person_id": [person],
            "pose_keypoints_2d": _flat(pose.body),
            "face_keypoints_2d": _flat(pose.face),
            "hand_left_keypoints_2d": _flat(pose.left_hand),
            "hand_right_keypoints_2d": _flat(pose.right_hand),
        }
        for person, pose in frame.items()
    ]
    return {"version": 1.3, "people": people, "canvas_width": scene.size[0], "canvas_height": scene.size[1]}


def lines(items: Iterable[Any]) -> str:
    """A JSON list with an item per line, so that changing one frame changes one line."""
    return "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]"


def dump_comfyui(scene: Scene) -> str:
    return lines(_openpose_frame(scene, frame) for frame in scene.frames) + "\n"


def dump_coco(scene: Scene) -> str:
    """COCO-WholeBody annotations with scores in place of visibility; neck and pupils have no place in them."""
    images = [
        {"id": n, "file_name": f"{n:06d}.png", "width": scene.size[0], "height": scene.size[1]}
        for n in range(len(scene.frames))
    ]
    people = [(n, person, pose) for n, frame in enumerate(scene.frames) for person, pose in frame.items()]
    annotations = [_coco_annotation(count, *each) for count, each in enumerate(people)]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(_COCO_BODY)}
    return (
        f'{{"images": {lines(images)},\n"annotations": {lines(annotations)},\n'
        f'"categories": {json.dumps([category])}}}\n'
    )


def _coco_annotation(number: int, frame: int, person: int, pose: Pose) -> dict[str, Any]:
    body = np.zeros((17, 3), np.float32)
    for ours, theirs in enumerate(_COCO_ROWS[51]):
        if theirs >= 0:
            body[theirs] = pose.body[ours]
    points = pose.stacked()
    seen = points[points[:, 2] > 0, :2].astype(np.float64)
    left, top, right, bottom = (*seen.min(axis=0), *seen.max(axis=0)) if len(seen) else (0.0, 0.0, 0.0, 0.0)
    parts = (body, np.zeros((6, 3), np.float32), pose.face[:68], pose.left_hand, pose.right_hand)
    return {
        "id": number,
        "image_id": frame,
        "track_id": person,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [round(float(v), 2) for v in (left, top, right - left, bottom - top)],
        "area": round(float((right - left) * (bottom - top)), 2),
        "num_keypoints": int((body[:, 2] > 0).sum()),
        **{name: _flat(part) for name, part in zip(_COCO_PARTS, parts, strict=True)},
    }


def write_openpose(path: Path, scene: Scene, overwrite: bool) -> None:
    """A folder with a file per frame, or the only frame as one file where `path` ends in .json."""
    if path.suffix != ".json":
        _write_folder(path, scene, overwrite)
    elif len(scene.frames) == 1:
        write_text(path, json.dumps(_openpose_frame(scene, scene.frames[0])) + "\n", overwrite=overwrite)
    else:
        raise UserError(f"{path}: an OpenPose file holds one frame; name a folder for a clip")


_FRAME_NAME = re.compile(r".*_keypoints\.json")


def _write_folder(folder: Path, scene: Scene, overwrite: bool) -> None:
    """`folder`/NAME_000000000000_keypoints.json and so on, complete or not at all.

    Raises UserError if the folder exists (unless `overwrite` and it holds nothing but such files) or cannot
    be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; OpenPose JSON of a clip needs a folder: choose another name")
    if folder.is_dir():
        if not overwrite:
            raise UserError(f"{folder} exists already; choose another name or pass --overwrite")
        if not all(_FRAME_NAME.fullmatch(entry.name) for entry in folder.iterdir()):
            raise UserError(f"{folder} holds other files than OpenPose frames; choose another name")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            for n, frame in enumerate(scene.frames):
                text = json.dumps(_openpose_frame(scene, frame)) + "\n"
                (draft / f"{folder.name}_{n:012d}_keypoints.json").write_text(text, encoding="utf-8")
            if folder.is_dir():
                shutil.rmtree(folder)
            draft.chmod(0o777 & ~umask())
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
