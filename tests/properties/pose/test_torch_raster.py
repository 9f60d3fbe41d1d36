"""Drawing on a torch device beside its oracle, `draw_pose`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.drawing.torch_raster import draw_poses_on, recipe
from magicpose.pose.keypoints import Points, Pose
from magicpose.pose.motions import load_motion


def random_people(seed: int, frames: int, side: float) -> Points:
    """Points anywhere in and around the canvas: some absent, far away, on one spot, or not numbers."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.2 * side, 1.2 * side, (frames, 130, 3)).astype(np.float32)
    points[..., 2] = rng.random((frames, 130)) * 1.2
    points[rng.random((frames, 130)) < 0.05, :2] = points[0, 0, :2]
    points[rng.random((frames, 130)) < 0.02, 0] = 1e9
    points[rng.random((frames, 130)) < 0.02, 1] = np.nan
    return points


def oracle(points: Points, size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    return np.stack([draw_pose(Pose.from_stacked(p), size, canvas) for p in points]).transpose(0, 3, 1, 2)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from([(64, 64), (128, 96), (48, 160), (256, 256), (512, 512), (700, 640)]),
    canvas=st.sampled_from([(100, 100), (64, 128), (512, 512)]),
)
def test_every_pixel_is_within_a_grey_level(seed: int, size: tuple[int, int], canvas: tuple[int, int]) -> None:
    points = random_people(seed, 3, min(canvas))
    drawn = draw_poses_on(torch.from_numpy(points), size, canvas, frames_at_once=2).numpy()
    truth = oracle(points, size, canvas)
    assert drawn.dtype == np.uint8 and drawn.shape == truth.shape
    assert truth.any()
    assert np.abs(drawn.astype(int) - truth.astype(int)).max() <= 1


def test_a_person_at_the_size_of_training() -> None:
    track = load_motion("dance")
    points = track.stacked()[::20].astype(np.float32)
    truth = oracle(points, (512, 512), track.size)
    drawn = draw_poses_on(torch.from_numpy(points), (512, 512), track.size).numpy()
    assert truth.any() and np.abs(drawn.astype(int) - truth.astype(int)).max() <= 1


def test_nobody_is_black_and_wrong_shapes_are_told() -> None:
    assert not draw_poses_on(torch.zeros(2, 130, 3), (64, 48)).any()
    assert draw_poses_on(torch.zeros(0, 130, 3), (64, 48)).shape == (0, 3, 48, 64)
    with pytest.raises(ValueError, match="130"):
        draw_poses_on(torch.zeros(2, 18, 3), (64, 48))


def test_the_recipe_paints_every_shape_of_a_person() -> None:
    assert len(recipe().kind) == 17 + 18 + 2 * (20 + 21) + 70
