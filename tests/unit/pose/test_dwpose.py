"""COCO-WholeBody's 133 points as a pose; the networks themselves are not run here."""

from __future__ import annotations

import numpy as np
import pytest

from magicpose.errors import UserError
from magicpose.pose.detection import dwpose
from magicpose.pose.keypoints import BODY_NAMES

COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
FRAME = np.zeros((300, 300, 3), np.uint8)


def test_every_point_finds_its_place() -> None:
    points = np.stack([np.arange(133), np.arange(133) + 100], 1).astype(np.float64)
    pose = dwpose.from_coco_133(points, np.linspace(0.2, 1.2, 133), FRAME)
    for i, name in enumerate(BODY_NAMES):
        if name != "neck":
            assert pose.body[i, 0] - 0.5 == COCO_17.index(name)
    assert pose.body[1, 0] - 0.5 == (5 + 6) / 2
    assert list(pose.face[[0, 67], 0] - 0.5) == [23, 90]
    assert list(pose.left_hand[[0, 20], 0] - 0.5) == [91, 111]
    assert list(pose.right_hand[[0, 20], 0] - 0.5) == [112, 132]
    assert pose.face[68, 0] < pose.face[69, 0]  # the right pupil comes first
    assert pose.stacked()[:, 2].max() == 1


def test_points_outside_the_frame_are_not_there() -> None:
    points = np.full((133, 2), 400.0)
    points[0] = 10
    pose = dwpose.from_coco_133(points, np.ones(133), FRAME)
    assert pose.body[0, 2] == 1
    assert pose.stacked()[1:, 2].sum() == 0


@pytest.mark.skipif(dwpose.is_installed(), reason="the extra `detect` is installed")
def test_without_the_extra_the_fix_is_named() -> None:
    with pytest.raises(UserError, match=r"pip install 'magicpose\[detect\]'"):
        dwpose.DwposeDetector()
    assert not dwpose.is_present()
