"""Squares of a frame: there and back, and the pixels they hold."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from magicpose.pose.detection.mediapipe.crop import Roi, circle, crop, turn_to, whole

squares = st.builds(
    Roi,
    x=st.floats(-200, 800),
    y=st.floats(-200, 800),
    size=st.floats(2, 1500),
    angle=st.floats(-4, 4),
)
points = st.lists(st.tuples(st.floats(-2, 3), st.floats(-2, 3)), min_size=1, max_size=5).map(
    lambda rows: np.array(rows, np.float32)
)


@given(squares, points)
def test_to_the_frame_and_back(roi: Roi, square: np.ndarray) -> None:
    np.testing.assert_allclose(roi.from_frame(roi.to_frame(square)), square, atol=2e-3)


@given(squares)
def test_corners_are_as_far_apart_as_the_side_and_in_the_middle_is_the_centre(roi: Roi) -> None:
    upper_left, upper_right, centre = roi.to_frame(np.array([[0, 0], [1, 0], [0.5, 0.5]], np.float32))
    assert math.isclose(math.dist(upper_left, upper_right), roi.size, rel_tol=1e-3, abs_tol=1e-2)
    np.testing.assert_allclose(centre, (roi.x, roi.y), atol=1e-3)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(-3, 3), st.floats(1, 50))
def test_a_square_turned_to_a_direction_sees_it_so(x: float, y: float, direction: float, length: float) -> None:
    start = np.array([x, y], np.float32)
    end = start + np.array([math.cos(direction), -math.sin(direction)], np.float32) * length
    roi = circle(start, end, math.pi / 2)
    low, high = roi.from_frame(start), roi.from_frame(end)
    np.testing.assert_allclose(low, (0.5, 0.5), atol=1e-3)
    np.testing.assert_allclose(high, (0.5, 0), atol=2e-3)  # upwards, to the rim
    assert abs(turn_to(start, end, direction)) < 1e-2


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(25, 35),
    y=st.floats(25, 35),
    size=st.floats(6, 32),
    angle=st.floats(-3.2, 3.2),
    size_px=st.sampled_from([4, 8, 48]),
)
def test_a_crop_shows_what_is_there(x: float, y: float, size: float, angle: float, size_px: int) -> None:
    """On a ramp every pixel tells its own coordinates (times 4), whatever the scale."""
    columns, rows = np.meshgrid(np.arange(60), np.arange(60))
    frame = np.stack([4 * columns, 4 * rows, np.full_like(rows, 7)], -1).astype(np.uint8)
    roi = Roi(x, y, size, angle)
    pixels = np.asarray(crop(frame, roi, size_px), np.float32)
    v, u = np.mgrid[:size_px, :size_px]
    expected = roi.to_frame(((np.stack([u, v], -1) + 0.5) / size_px).astype(np.float32)) - 0.5
    apart = pixels[..., :2] / 4 - expected
    assert np.abs(apart).max() < 0.4  # values are rounded when averaged, and cut down to whole numbers: up to 3/8
    assert -0.3 < apart.mean() < 0.15
    assert (pixels[..., 2] == 7).all()


@settings(max_examples=40, deadline=None)
@given(squares, st.sampled_from([8, 32]))
def test_beyond_the_frame_its_border_repeats(roi: Roi, size_px: int) -> None:
    frame = np.full((60, 80, 3), 200, np.uint8)
    assert (np.asarray(crop(frame, roi, size_px)) == 200).all()


def test_beyond_the_frame_the_canvas_is_black_where_asked() -> None:
    frame = np.full((60, 120, 3), 200, np.uint8)
    pixels = np.asarray(crop(frame, whole(frame), 12, replicate_border=False))
    assert (pixels[:3] == 0).all() and (pixels[9:] == 0).all() and (pixels[4:8] == 200).all()
