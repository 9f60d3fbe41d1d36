"""Flicker, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from magicpose.evaluation.video import background_flicker, temporal_error


def clip(*levels: int, size: int = 4) -> NDArray[np.uint8]:
    """One grey level a frame."""
    return np.stack([np.full((size, size, 3), level, np.uint8) for level in levels])


def test_a_constant_error_is_no_flicker() -> None:
    assert temporal_error(clip(40, 50, 60), clip(10, 20, 30)) == 0
    assert temporal_error(clip(200, 200), clip(10, 10)) == 0


def test_changes_that_the_truth_has_not_are_counted_in_grey_levels() -> None:
    assert temporal_error(clip(0, 255, 0), clip(9, 9, 9)) == 255  # up and down: bytes would wrap around to 1
    assert temporal_error(clip(9, 9, 9), clip(0, 10, 0)) == 10  # and motion that is missing as well
    assert temporal_error(clip(0, 10, 10), clip(0, 0, 0)) == 5


def test_only_inside_the_person_if_asked() -> None:
    frames, masks = clip(0, 0), np.zeros((2, 4, 4), bool)
    frames[1, :2] = 8  # upper half flickers
    masks[0, :1] = True  # seen in the first frame only
    assert temporal_error(frames, clip(0, 0)) == 4
    assert temporal_error(frames, clip(0, 0), masks) == 8


def test_the_background_is_where_nobody_is_in_either_frame() -> None:
    frames, masks = clip(0, 0, 0), np.zeros((3, 4, 4), bool)
    frames[1, :2] = 200
    masks[1, :2] = True  # a person passing through one frame
    assert background_flicker(frames, masks) == 0
    frames[2, 3] = 6  # one of two rows
    assert background_flicker(frames, masks) == 6 * 4 / (2 * 2 * 4)
    assert math.isnan(background_flicker(frames, np.ones((3, 4, 4), bool)))


def test_impossible_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="one frame"):
        background_flicker(clip(1), np.zeros((1, 4, 4), bool))
    with pytest.raises(ValueError, match="shape"):
        temporal_error(clip(1, 2), clip(1, 2, 3))
