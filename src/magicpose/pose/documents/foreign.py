"""The pose JSON of others: OpenPose, DWPose/ComfyUI `POSE_KEYPOINT` and COCO-WholeBody, read and written.

Each reader takes parsed JSON and what the caller knows beyond it, and gives a Scene or raises Malformed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from magicpose.errors import UserError
from magicpose.files import replacing_folder
from magicpose.media.canvas import Size
from magicpose.media.files import explained
from magicpose.pose.documents.assembly import Frame, Unstated, assemble, own_id
from magicpose.pose.documents.jsonfile import (
    MAX_SIDE,
    Malformed,
    as_list,
    as_object,
    as_whole,
    readable,
    write_text,
)
from magicpose.pose.documents.layouts import BODY_LAYOUT, COCO_17, FACE_LAYOUT, HAND_LAYOUT, Layout, read_part
from magicpose.pose.keypoints import Points, Pose
from magicpose.pose.people import MAX_DOCUMENT_FRAMES, MAX_PEOPLE_IN_CLIP, Scene

_OPENPOSE_PARTS: dict[str, Layout] = {
    "pose_keypoints_2d": BODY_LAYOUT,
    "hand_left_keypoints_2d": HAND_LAYOUT,
    "hand_right_keypoints_2d": HAND_LAYOUT,
    "face_keypoints_2d": FACE_LAYOUT,
}
_OPENPOSE_KEYS = frozenset({"people", "canvas_width", "canvas_height"})  # any of these makes an object a frame

_COCO_BODY = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip
_COCO_COUNTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
_COCO_PARTS: dict[str, Layout] = {
    "keypoints": BODY_LAYOUT,
    "lefthand_kpts": HAND_LAYOUT,
    "righthand_kpts": HAND_LAYOUT,
    "face_kpts": FACE_LAYOUT,
}


def is_openpose(document: Any) -> bool:
    """One frame as OpenPose writes it."""
    return isinstance(document, dict) and "people" in document


def is_comfyui(document: Any) -> bool:
    """A list of such frames: ComfyUI's POSE_KEYPOINT. Single entries may be something else: reading names them."""
    return isinstance(document, list) and (not document or any(is_frame(frame) for frame in document))


def is_frame(value: Any) -> bool:
    """What stands for a frame among others: one of OpenPose, or null or {} for a frame without anybody."""
    return value is None or (isinstance(value, dict) and (not value or not _OPENPOSE_KEYS.isdisjoint(value)))


def is_coco(document: Any) -> bool:
    return isinstance(document, dict) and "annotations" in document and "images" in document


def read_openpose(document: Any, unstated: Unstated) -> Scene:
    return read_frames([document], ["the frame"], unstated)


def read_comfyui(document: Any, unstated: Unstated) -> Scene:
    frames = as_list(document, "the list of frames", MAX_DOCUMENT_FRAMES)
    return read_frames(frames, [f"[{n}]" for n in range(len(frames))], unstated)


def read_frames(frames: Sequence[Any], names: Sequence[str], unstated: Unstated) -> Scene:
    """A Scene of OpenPose frames; `names` are what messages call them.

    Pixels, fractions or percent of the canvas, decided by `units`; bodies, hands and faces of the known `layouts`; any
    part may be missing, null or empty, and so may a frame: null and {} are frames without anybody.
    """
    found = []
    for frame, name in zip(frames, names, strict=True):
        if not is_frame(frame):
            raise Malformed(f'{name} is no frame of OpenPose, which is an object with "people": take it out')
        fields = frame or {}
        people = as_list(fields.get("people") or [], f"{name}.people", MAX_PEOPLE_IN_CLIP)
        read = [_openpose_person(person or {}, f"{name}.people[{n}]", unstated) for n, person in enumerate(people)]
        found.append(Frame(_openpose_canvas(fields, name), read))
    return assemble(found, unstated)


def _openpose_canvas(fields: dict[str, Any], name: str) -> Size | None:
    if fields.get("canvas_width") is None:
        return None
    return (
        as_whole(fields.get("canvas_width"), f"{name}.canvas_width", 1, MAX_SIDE),
        as_whole(fields.get("canvas_height"), f"{name}.canvas_height", 1, MAX_SIDE),
    )


def _openpose_person(person: Any, at: str, unstated: Unstated) -> tuple[int | None, Points]:
    fields = as_object(person, at)
    parts = [
        read_part(fields.get(key), layout, f"{at}.{key}", unstated.note) for key, layout in _OPENPOSE_PARTS.items()
    ]
    ids = fields.get("person_id")
    return own_id(ids[0] if isinstance(ids, list) and len(ids) == 1 else None), np.concatenate(parts)


def read_coco(document: Any, unstated: Unstated) -> Scene:
    """COCO-WholeBody annotations: a frame per entry of `images`, in their order.

    Keypoints are split by part as the data set has it, or one list of 133. Visibility above 1 counts as score 1.
    """
    at = "images"
    images = [as_object(image, at) for image in as_list(document["images"], at, MAX_DOCUMENT_FRAMES)]
    found = [
        Frame(
            (
                as_whole(image.get("width"), f"{at}[{n}].width", 1, MAX_SIDE),
                as_whole(image.get("height"), f"{at}[{n}].height", 1, MAX_SIDE),
            ),
            [],
        )
        for n, image in enumerate(images)
    ]
    order = {as_whole(image.get("id"), f"{at}[{n}].id", 0, 2**53): n for n, image in enumerate(images)}
    if len(order) < len(images):
        raise Malformed("two of its images have the same id: number them")
    most = MAX_PEOPLE_IN_CLIP * MAX_DOCUMENT_FRAMES
    for n, annotation in enumerate(as_list(document["annotations"], "annotations", most)):
        at = f"annotations[{n}]"
        fields = as_object(annotation, at)
        frame = order.get(fields["image_id"]) if type(fields.get("image_id")) is int else None
        if frame is None:
            raise Malformed(f"{at}.image_id is none of the ids in images")
        found[frame].people.append((own_id(fields.get("track_id")), _coco_person(fields, at, unstated)))
    return assemble(found, unstated)


def _coco_person(fields: dict[str, Any], at: str, unstated: Unstated) -> Points:
    values = {name: fields.get(name) for name in _COCO_COUNTS}
    whole = values["keypoints"]
    if isinstance(whole, list) and len(whole) == 3 * sum(_COCO_COUNTS.values()):
        ends = [3 * int(end) for end in np.cumsum(list(_COCO_COUNTS.values()))]
        values = {name: whole[start:end] for name, start, end in zip(_COCO_COUNTS, [0, *ends], ends)}
    return np.concatenate(
        [read_part(values[name], layout, f"{at}.{name}", unstated.note) for name, layout in _COCO_PARTS.items()]
    )


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
    for ours, theirs in enumerate(COCO_17):
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
        **{name: _flat(part) for name, part in zip(_COCO_COUNTS, parts, strict=True)},
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
    with explained(folder), replacing_folder(folder, new=not overwrite) as draft:
        for n, frame in enumerate(scene.frames):
            text = json.dumps(_openpose_frame(scene, frame)) + "\n"
            (draft / f"{folder.name}_{n:012d}_keypoints.json").write_text(text, encoding="utf-8")
