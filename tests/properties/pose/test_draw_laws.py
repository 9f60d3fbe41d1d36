"""Pose maps against a slow, independent renderer and OpenCV's, and the laws of drawing."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magicpose import Pose, draw_pose
from magicpose.pose.augment import mirrored

SEEDS = st.integers(0, 2**32 - 1)

# The 17 limbs as the paper's authors list them, 1-based, and the rainbow as steps of a third of 255.
LIMBS = "2-3 2-6 3-4 4-5 6-7 7-8 2-9 9-10 10-11 2-12 12-13 13-14 2-1 1-15 15-17 1-16 16-18"
PAIRS = [tuple(int(end) - 1 for end in limb.split("-")) for limb in LIMBS.split()]
RAINBOW = np.round([np.multiply(255, colorsys.hsv_to_rgb(i / 18, 1, 1)) for i in range(18)])
BONES = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10), (10, 11), (11, 12),
         (0, 13), (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19), (19, 20)]  # fmt: skip


def random_pose(seed: int, size: float, *, parts: tuple[str, ...] = ("body", "hands", "face")) -> Pose:
    """Points anywhere on the canvas and a little beyond it, a quarter of them absent."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-0.1, 1.1, (130, 2)) * size, rng.choice([0, 0.2, 0.5, 1], (130, 1))], 1)
    spans = {"body": slice(0, 18), "hands": slice(18, 60), "face": slice(60, 130)}
    for part, span in spans.items():
        if part not in parts:
            points[span, 2] = 0
    return Pose.from_stacked(points)


def oracle(pose: Pose, size: int, samples: int) -> np.ndarray:
    """Every shape tested at samples x samples points of every pixel of the whole canvas; painted one after another."""
    k = size / 604
    grid = (np.arange(size * samples) + 0.5) / samples
    x, y = np.meshgrid(grid, grid)
    canvas = np.zeros((size, size, 3))

    def paint(inside: np.ndarray, colour: np.ndarray) -> None:
        share = inside.reshape(size, samples, size, samples).mean((1, 3))[..., None]
        canvas[:] = share * colour + (1 - share) * canvas

    def disc(point: np.ndarray, radius: float, colour: np.ndarray) -> None:
        paint((x - point[0]) ** 2 + (y - point[1]) ** 2 <= (radius * k) ** 2, colour)

    seen = [point[2] >= 0.3 for point in pose.body]
    for (i, j), colour in zip(PAIRS, RAINBOW, strict=False):
        if seen[i] and seen[j]:
            p, q = pose.body[i, :2].astype(float), pose.body[j, :2].astype(float)
            angle, middle = np.arctan2(*(q - p)[::-1]), (p + q) / 2
            u = (x - middle[0]) * np.cos(angle) + (y - middle[1]) * np.sin(angle)
            v = (y - middle[1]) * np.cos(angle) - (x - middle[0]) * np.sin(angle)
            a = np.linalg.norm(q - p) / 2 + 0.6 * k
            paint((u / a) ** 2 + (v / (4.6 * k)) ** 2 <= 1, 0.6 * colour)
    for point, colour, there in zip(pose.body, RAINBOW, seen, strict=True):
        if there:
            disc(point, 4, colour)
    for hand in (pose.left_hand, pose.right_hand):
        for n, (i, j) in enumerate(BONES):
            if hand[i, 2] >= 0.3 and hand[j, 2] >= 0.3:
                p, q = hand[i, :2].astype(float), hand[j, :2].astype(float)
                along = ((x - p[0]) * (q - p)[0] + (y - p[1]) * (q - p)[1]) / ((q - p) @ (q - p))
                nearest = p + np.clip(along, 0, 1)[..., None] * (q - p)
                inside = np.hypot(x - nearest[..., 0], y - nearest[..., 1]) <= 1.5 * k
                paint(inside, 255 * np.array(colorsys.hsv_to_rgb(n / 20, 1, 1)))
        for point in hand:
            if point[2] >= 0.3:
                disc(point, 4, np.array([0, 0, 255]))
    for point in pose.face:
        if point[2] >= 0.3:
            disc(point, 3, np.array([255, 255, 255]))
    return canvas


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("size", "parts", "worst", "mean"),
    [
        (300, ("body",), 40, 3),
        (300, ("hands",), 40, 8),
        (300, ("face",), 40, 9),
        (64, ("body",), 40, 6),
    ],
)
def test_a_map_is_what_testing_every_pixel_gives(
    size: int, parts: tuple[str, ...], worst: float, mean: float, seed: int
) -> None:
    pose = random_pose(seed, size, parts=parts)
    drawn, true = draw_pose(pose, (size, size)).astype(float), oracle(pose, size, samples=4 if size > 100 else 10)
    error = np.abs(drawn - true)
    assert error.max() <= worst  # of 255: edges are antialiased in another way
    assert error[true > 0].mean() <= mean
    assert abs(drawn.mean() / true.mean() - 1) < 0.01  # as much is painted, whatever the size


def opencv_map(pose: Pose, size: int) -> np.ndarray:
    """The original's hard-edged drawing calls at its native 604 px, then scaled to `size`."""
    cv2 = pytest.importorskip("cv2")
    canvas = np.zeros((604, 604, 3), np.uint8)
    body, *hands, face = (
        np.where(part[:, 2:] >= 0.3, part[:, :2] * 604 / size, np.nan)
        for part in (pose.body, pose.left_hand, pose.right_hand, pose.face)
    )
    for (i, j), colour in zip(PAIRS, RAINBOW, strict=False):
        if np.isfinite(body[[i, j]]).all():
            (y0, y1), (x0, x1) = body[[i, j], 1], body[[i, j], 0]
            middle, angle = (int((x0 + x1) / 2), int((y0 + y1) / 2)), np.degrees(np.arctan2(y0 - y1, x0 - x1))
            axes = (int(np.hypot(x0 - x1, y0 - y1) / 2), 4)
            cv2.fillConvexPoly(canvas, cv2.ellipse2Poly(middle, axes, int(angle), 0, 360, 1), colour.tolist())
    canvas = (canvas * 0.6).astype(np.uint8)
    dots = [(point, 4, colour) for point, colour in zip(body, RAINBOW, strict=True)]
    for hand in hands:
        for n, (i, j) in enumerate(BONES):
            if np.isfinite(hand[[i, j]]).all():
                colour = [255 * v for v in colorsys.hsv_to_rgb(n / 20, 1, 1)]
                cv2.line(canvas, hand[i].astype(int).tolist(), hand[j].astype(int).tolist(), colour, thickness=2)
        dots += [(point, 4, np.array([0, 0, 255])) for point in hand]
    for point, radius, colour in [*dots, *((point, 3, np.full(3, 255)) for point in face)]:
        if np.isfinite(point).all():
            cv2.circle(canvas, point.astype(int).tolist(), radius, colour.tolist(), -1)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize("parts", [("body",), ("face",), ("body", "face")])
def test_a_map_at_512_is_what_opencv_draws_natively_and_scales(parts: tuple[str, ...]) -> None:
    pose = random_pose(3, 512, parts=parts)
    drawn, original = draw_pose(pose, (512, 512)), opencv_map(pose, 512)
    assert psnr(drawn, original) > 27
    assert abs(drawn.mean() / original.mean() - 1) < 0.03


def test_hands_at_512_are_what_opencv_draws() -> None:
    pose = random_pose(4, 512, parts=("hands",))  # OpenCV starts lines at whole pixels: less alike
    drawn, original = draw_pose(pose, (512, 512)), opencv_map(pose, 512)
    assert psnr(drawn, original) > 26
    assert abs(drawn.mean() / original.mean() - 1) < 0.06


@pytest.mark.parametrize("size", [128, 256, 768])
def test_a_map_of_any_size_is_the_one_at_512_resized(size: int) -> None:
    pose = random_pose(5, 512)
    drawn = draw_pose(pose, (size, size), (512, 512)).astype(float)
    other = draw_pose(pose, (1536, 1536), (512, 512)).astype(float)
    step = 1536 // size
    resized = other.reshape(size, step, size, step, 3).mean((1, 3))
    assert psnr(drawn, resized) > 30
    assert abs(drawn.mean() / resized.mean() - 1) < 0.02


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(-40, 40), st.integers(-40, 40))
def test_drawing_commutes_with_shifts_by_whole_pixels(seed: int, right: int, down: int) -> None:
    size, margin = 96, 40
    points = random_pose(seed, size).stacked()
    moved = points + np.float32([right, down, 0])
    still = draw_pose(Pose.from_stacked(points + np.float32([margin, margin, 0])), (176, 176))
    # The same scale for both: sizes follow the canvas.
    shifted = draw_pose(Pose.from_stacked(moved + np.float32([margin, margin, 0])), (176, 176))
    there = still[margin : margin + size, margin : margin + size]
    here = shifted[margin + down : margin + down + size, margin + right : margin + right + size]
    assert here.shape == there.shape
    assert np.abs(here.astype(int) - there).max() <= 1


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_drawing_commutes_with_flips(seed: int) -> None:
    points = random_pose(seed, 80).stacked()
    drawn = draw_pose(Pose.from_stacked(points), (80, 80)).astype(int)
    across, upside_down = points.copy(), points.copy()
    across[:, 0] = 80 - across[:, 0]
    upside_down[:, 1] = 80 - upside_down[:, 1]
    assert np.abs(draw_pose(Pose.from_stacked(across), (80, 80)) - drawn[:, ::-1]).max() <= 1
    assert np.abs(draw_pose(Pose.from_stacked(upside_down), (80, 80)) - drawn[::-1]).max() <= 1


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_mirrored_person_covers_the_mirrored_pixels(seed: int) -> None:
    pose = random_pose(seed, 80)
    plain = draw_pose(pose, (80, 80)).max(-1)[:, ::-1]
    swapped = draw_pose(mirrored(pose, 80), (80, 80)).max(-1)
    assert not ((plain > 40) & (swapped == 0)).any()
    assert not ((swapped > 40) & (plain == 0)).any()


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_absent_points_leave_no_trace(seed: int, other: int) -> None:
    pose, noise = random_pose(seed, 64), np.random.default_rng(other)
    points = pose.stacked()
    absent = points[:, 2] < 0.3
    points[absent, :2] = noise.choice([np.nan, np.inf, -3e38, 10, 50], (absent.sum(), 2))
    assert (draw_pose(Pose.from_stacked(points), (64, 64)) == draw_pose(pose, (64, 64))).all()


@pytest.mark.filterwarnings("error")
@settings(max_examples=40, deadline=None)
@given(SEEDS, st.lists(st.floats(width=32), min_size=8, max_size=8), st.integers(1, 40), st.integers(1, 40))
def test_any_numbers_can_be_drawn(seed: int, numbers: list[float], width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.ones((130, 3), np.float32)
    points[:, :2] = rng.choice([*np.array(numbers, np.float32), 0, 10, 20, 999_999], (130, 2))
    assert draw_pose(Pose.from_stacked(points), (width, height)).shape == (height, width, 3)
