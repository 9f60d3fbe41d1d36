"""The production detector: DWPose/RTMW whole-body networks through rtmlib and ONNX Runtime (extra `detect`).

The networks are not in the package: on first use rtmlib downloads its `performance` pair (a YOLOX person detector and
RTMW-x at 384 x 288, about 450 MB) to its own cache; or `folder` names a folder with DWPose's own two files. Written
against rtmlib 0.0.16; the networks themselves have not been run by this project's tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.detection.mediapipe.crop import Floats, Frame
from magicpose.pose.keypoints import Pose

DWPOSE_FILES = ("yolox_l.onnx", "dw-ll_ucoco_384.onnx")  # as published by DWPose's authors
PACKAGES = ("rtmlib", "onnxruntime")

# COCO-WholeBody's 133 points: 17 body, 6 feet, 68 face, 21 left hand, 21 right hand.
COCO_18 = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)  # the neck (1) is made from 5 and 6
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)


def is_installed() -> bool:
    """Whether the packages of the extra `detect` are there."""
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES)


def is_present(folder: Path | None = None) -> bool:
    """Whether the detector would run without downloading anything."""
    return is_installed() and all(path.is_file() for path in _files(folder))


class DwposeDetector:
    """Everybody in a frame; each frame on its own. `folder` holds DWPOSE_FILES; None: rtmlib's files."""

    name = "dwpose"

    def __init__(self, folder: Path | None = None) -> None:
        if not is_installed():
            raise UserError("detector dwpose needs the extra packages: pip install 'magicpose[detect]'")
        missing = [path for path in _files(folder) if folder is not None and not path.is_file()]
        if missing:
            raise UserError(f"{folder} holds no {missing[0].name}; put {' and '.join(DWPOSE_FILES)} there")
        self.folder = folder

    @cached_property
    def version(self) -> str:
        """rtmlib's version, names and sizes of the networks."""
        files = [f"{path.name}:{path.stat().st_size if path.is_file() else 0}" for path in _files(self.folder)]
        return " ".join([metadata.version("rtmlib"), *files])

    @cached_property
    def _networks(self) -> tuple[Any, Any]:
        import onnxruntime
        import rtmlib

        on_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        how = {"backend": "onnxruntime", "device": "cuda" if on_gpu else "cpu"}
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # rtmlib prints where it loads from
                if self.folder is None:
                    both = rtmlib.Wholebody(mode="performance", **how)
                    return both.det_model, both.pose_model
                people, pose = (str(path) for path in _files(self.folder))
                return (
                    rtmlib.YOLOX(people, (640, 640), det_mode="multiclass", **how),
                    rtmlib.RTMPose(pose, (288, 384), **how),
                )
        except OSError as error:
            raise UserError(
                f"the networks of detector dwpose could not be downloaded ({error}); "
                f"connect to the network, or name a folder with {' and '.join(DWPOSE_FILES)}"
            ) from error

    def __call__(self, frame: Frame) -> list[Pose]:
        """The people in `frame` [H, W, 3] uint8 RGB."""
        find, locate = self._networks
        bgr = np.ascontiguousarray(frame[:, :, ::-1])
        boxes = find(bgr)
        if self.folder is not None:  # DWPose's YOLOX knows 80 kinds of things; people are the first
            boxes, kinds = boxes
            boxes = boxes[kinds == 0]
        if not len(boxes):  # rtmlib would take the whole frame for a person
            return []
        points, scores = locate(bgr, bboxes=boxes)
        return [from_coco_133(p, s, frame) for p, s in zip(points, scores)]


def from_coco_133(points: NDArray[Any], scores: NDArray[Any], frame: Frame) -> Pose:
    """COCO-WholeBody's points [133, 2] (the first pixel's centre at 0) and scores [133] as a pose.

    Pupils are not among them: the middle of each eye stands in.
    """
    height, width = frame.shape[:2]
    xy = np.asarray(points, np.float32) + 0.5
    inside = ((xy >= 0) & (xy < (width, height))).all(1)
    rows = np.concatenate([xy, (np.clip(scores, 0, 1) * inside)[:, None]], 1).astype(np.float32)
    body = rows[list(COCO_18)]
    body[1] = _middle(rows[[5, 6]])
    face = rows[FACE]
    face = np.concatenate([face, [_middle(face[RIGHT_EYE]), _middle(face[LEFT_EYE])]])
    return Pose(body, rows[LEFT_HAND], rows[RIGHT_HAND], face)


def _middle(rows: Floats) -> Floats:
    """The mean point, as sure as the least sure of them."""
    return np.append(rows[:, :2].mean(0), rows[:, 2].min()).astype(np.float32)


def _files(folder: Path | None) -> list[Path]:
    """Person detector and whole-body network on this machine, there or not."""
    if folder is not None:
        return [folder / name for name in DWPOSE_FILES]
    import rtmlib

    row = rtmlib.Wholebody.MODE["performance"]
    cache = Path(os.getenv("TORCH_HOME") or Path(os.getenv("XDG_CACHE_HOME", "~/.cache")) / "rtmlib")
    checkpoints = cache.expanduser() / "hub" / "checkpoints"
    return [checkpoints / Path(row[part]).with_suffix(".onnx").name for part in ("det", "pose")]
