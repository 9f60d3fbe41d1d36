"""Reading the answers of the MediaPipe family's networks: single-shot detections, heat maps, logits.

Each anchor of a single-shot detector predicts one box and a few keypoints, relative to its own centre and in pixels
of the input; overlapping answers are averaged by score, which steadies them from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detection:
    """One find, in units of the input's side: `box` (left, top, right, bottom), `keypoints` [K, 2]."""

    score: float
    box: Floats
    keypoints: Floats


def anchor_centres(size_px: int, layers: tuple[tuple[int, int], ...]) -> Floats:
    """[anchors, 2] in units of the side; `layers`: (stride in pixels, anchors per cell) in the network's order."""
    grids = []
    for stride, count in layers:
        cells = size_px // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        grids.append(np.repeat(centres, count, axis=0))
    return np.concatenate(grids).astype(np.float32)


def decode(
    raw: Floats, logits: Floats, anchors: Floats, size_px: int, min_score: float = 0.5, max_overlap: float = 0.3
) -> list[Detection]:
    """The finds, best first.

    `raw` [anchors, 4 + 2K]: offset x, y, width, height and K keypoint offsets in pixels of the input;
    `logits` [anchors].
    """
    scores = sigmoid(logits)
    kept = np.flatnonzero(scores >= min_score)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    values = raw.reshape(len(raw), -1, 2)[kept] / size_px
    centre, half = values[:, 0] + anchors[kept], values[:, 1] / 2
    points = values[:, 2:] + anchors[kept][:, None]
    rows = np.concatenate([centre - half, centre + half, points.reshape(len(kept), raw.shape[1] - 4)], 1)
    return _merge(rows.astype(np.float32), scores[kept], max_overlap)


def _merge(rows: Floats, scores: Floats, max_overlap: float) -> list[Detection]:
    """Non-maximum suppression in which the suppressed ones vote: `rows` [N, 4 + 2K], `scores` descending."""
    found: list[Detection] = []
    while len(rows):
        same = overlap(rows[0, :4], rows[:, :4]) > max_overlap
        same[0] = True  # a box without area overlaps nothing, itself included
        mean = np.average(rows[same], axis=0, weights=scores[same]).astype(np.float32)
        found.append(Detection(float(scores[0]), mean[:4], mean[4:].reshape(-1, 2)))
        rows, scores = rows[~same], scores[~same]
    return found


def overlap(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of `box` [4] with `boxes` [N, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    union = np.clip(box[2:] - box[:2], 0, None).prod() + areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def sigmoid(logits: Floats) -> Floats:
    """The logistic function."""
    return (1 / (1 + np.exp(-np.clip(logits, -100, 100).astype(np.float64)))).astype(np.float32)


def refine(points: Floats, heat: Floats, window: int = 7, min_peak: float = 0.5) -> Floats:
    """Points [N, 2] of the unit square moved to the mean of their heat map [h, w, >= N] (logits) around them.

    Where the map stays below `min_peak` there, the point stays. A cell's coordinate is its left upper corner:
    the networks were trained so (measured on people with known joints).
    """
    height, width = heat.shape[:2]
    refined, half = points.copy(), window // 2
    for i, (x, y) in enumerate(np.floor(points * (width, height)).astype(int)):
        if not (0 <= x < width and 0 <= y < height):
            continue
        rows = np.arange(max(0, y - half), min(height, y + half + 1))
        columns = np.arange(max(0, x - half), min(width, x + half + 1))
        weights = sigmoid(heat[rows[:, None], columns, i])
        if weights.max() >= min_peak:
            mean = np.array([(weights @ columns).sum() / width, (rows @ weights).sum() / height]) / weights.sum()
            refined[i] = mean
    return refined
