"""MagicPose: one photo of a person and any driver of motion in, a video of that person doing it out.

The public names are loaded on first use, so `import magicpose` costs nothing and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AppearanceControl": "magicpose.networks.appearance",
    "MagicPoseModel": "magicpose.networks.model",
    "MagicPosePipeline": "magicpose.pipeline",
    "Pose": "magicpose.pose.keypoints",
    "PoseTrack": "magicpose.pose.keypoints",
    "TrainConfig": "magicpose.training.config",
    "animate": "magicpose.animation.run",
    "convert": "magicpose.checkpoints.convert",
    "detect_people": "magicpose.pose.detection.detect",
    "detect_pose": "magicpose.pose.detection.detect",
    "detect_poses": "magicpose.pose.detection.detect",
    "draw_overlay": "magicpose.pose.drawing.overlay",
    "draw_pose": "magicpose.pose.drawing.draw",
    "draw_poses": "magicpose.pose.drawing.draw",
    "export_original": "magicpose.checkpoints.original.export",
    "load_original": "magicpose.checkpoints.original.read",
    "read_image": "magicpose.media",
    "retarget": "magicpose.pose.retargeting.retarget",
    "sample": "magicpose.sampling",
    "train": "magicpose.training.loop",
    "write_video": "magicpose.media",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'magicpose' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
