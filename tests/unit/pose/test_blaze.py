"""Anchors, decoding and heat maps against the plainest way to write them."""

from __future__ import annotations

import numpy as np
import pytest

from magicpose.pose.detection.mediapipe import body as mediapipe
from magicpose.pose.detection.mediapipe import face as mediapipe_face
from magicpose.pose.detection.mediapipe import hands as mediapipe_hands
from magicpose.pose.detection.mediapipe.blaze import anchor_centres, decode, overlap, refine, sigmoid


def test_anchors_stand_in_the_middle_of_the_cells_in_the_networks_order() -> None:
    expected = []
    for stride, count in ((8, 2), (16, 6)):
        for y in range(32 // stride):
            for x in range(32 // stride):
                expected += [((x + 0.5) * stride / 32, (y + 0.5) * stride / 32)] * count
    np.testing.assert_allclose(anchor_centres(32, ((8, 2), (16, 6))), expected)


@pytest.mark.parametrize(
    ("size_px", "layers", "count"),
    [(224, mediapipe.ANCHORS, 2254), (128, mediapipe_face.ANCHORS, 896), (192, mediapipe_hands.ANCHORS, 2016)],
)
def test_there_are_as_many_anchors_as_the_networks_have_outputs(
    size_px: int, layers: tuple[tuple[int, int], ...], count: int
) -> None:
    assert len(anchor_centres(size_px, layers)) == count


def _naive_overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def test_overlap_is_intersection_over_union() -> None:
    corners = np.sort(np.random.default_rng(0).uniform(0, 1, (20, 2, 2)), axis=1).reshape(20, 4).astype(np.float32)
    expected = [_naive_overlap(corners[0], other) for other in corners]
    np.testing.assert_allclose(overlap(corners[0], corners), expected, atol=1e-6)


def _naive_decode(
    raw: np.ndarray, logits: np.ndarray, anchors: np.ndarray, size: int
) -> list[tuple[float, list[float]]]:
    """Every answer in turn, all of the input's side as unit; overlapping ones averaged by score."""
    answers = []
    for values, logit, (ax, ay) in zip(raw / size, logits, anchors):
        score = 1 / (1 + np.exp(-logit))
        if score >= 0.5:
            x, y, w, h = values[0] + ax, values[1] + ay, values[2], values[3]
            points = [v + (ax, ay)[i % 2] for i, v in enumerate(values[4:])]
            answers.append((score, np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2, *points])))
    answers.sort(key=lambda answer: -answer[0])
    found = []
    while answers:
        best = answers[0]
        same = [a for a in answers if a is best or _naive_overlap(best[1], a[1]) > 0.3]
        mean = sum(score * row for score, row in same) / sum(score for score, _ in same)
        found.append((best[0], list(mean)))
        answers = [a for a in answers if not any(a is other for other in same)]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_decoding_is_the_naive_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    anchors = anchor_centres(64, ((16, 2), (32, 2)))
    raw = generator.normal(0, 6, (len(anchors), 8)).astype(np.float32)
    raw[:, 2:4] = generator.uniform(8, 40, (len(anchors), 2))
    logits = generator.normal(0, 2, len(anchors)).astype(np.float32)
    expected = _naive_decode(raw, logits, anchors, 64)
    found = decode(raw, logits, anchors, 64)
    assert len(found) == len(expected) > 1
    for detection, (score, row) in zip(found, expected):
        assert detection.score == pytest.approx(score, abs=1e-6)
        np.testing.assert_allclose([*detection.box, *detection.keypoints.ravel()], row, atol=1e-5)


def test_nothing_sure_is_nothing_found() -> None:
    anchors = anchor_centres(32, ((16, 1),))
    assert decode(np.ones((4, 8), np.float32), np.full(4, -1, np.float32), anchors, 32) == []


def test_a_box_without_area_is_found_once() -> None:
    anchors = anchor_centres(32, ((16, 1),))
    assert len(decode(np.zeros((4, 8), np.float32), np.array([3, -9, -9, -9], np.float32), anchors, 32)) == 1


def test_refinement_moves_to_the_peak_and_leaves_points_without_one() -> None:
    heat = np.full((16, 16, 3), -8, np.float32)
    heat[5, 9, 0] = 9  # a peak near the first point
    heat[2, 2, 1] = 9  # a peak far from the second
    points = np.array([[10.2, 6.3], [12, 12], [-1, 3]], np.float32) / 16
    refined = refine(points, heat)
    np.testing.assert_allclose(refined[0] * 16, [9, 5], atol=0.05)
    np.testing.assert_array_equal(refined[1:], points[1:])


def test_refinement_is_the_weighted_mean_of_the_window() -> None:
    heat = np.random.default_rng(1).normal(0, 3, (16, 16, 1)).astype(np.float32)
    x, y = 1, 8  # the window is cut off at the left
    weights = {(i, j): float(sigmoid(heat[j, i, 0])) for j in range(y - 3, y + 4) for i in range(x + 4)}
    expected = [sum(w * at[k] for at, w in weights.items()) / sum(weights.values()) / 16 for k in (0, 1)]
    np.testing.assert_allclose(refine(np.array([[1.5, 8.5]], np.float32) / 16, heat)[0], expected, rtol=1e-5)
