"""COCO-WholeBody annotations, read and written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from magicpose.pose.documents.assembly import Frame, Unstated, assemble, own_id
from magicpose.pose.documents.jsonfile import MAX_SIDE, Malformed, as_list, as_object, as_whole, flat, lines
from magicpose.pose.documents.layouts import BODY_LAYOUT, COCO_17, FACE_LAYOUT, HAND_LAYOUT, Layout, read_part
from magicpose.pose.keypoints import Points, Pose
from magicpose.pose.people import MAX_DOCUMENT_FRAMES, MAX_PEOPLE_IN_CLIP, Scene

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


def is_coco(document: Any) -> bool:
    return isinstance(document, dict) and "annotations" in document and "images" in document


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
        values = {name: whole[start:end] for name, start, end in zip(_COCO_COUNTS, [0, *ends[:-1]], ends, strict=True)}
    return np.concatenate(
        [read_part(values[name], layout, f"{at}.{name}", unstated.note) for name, layout in _COCO_PARTS.items()]
    )


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
        **{name: flat(part) for name, part in zip(_COCO_COUNTS, parts, strict=True)},
    }
