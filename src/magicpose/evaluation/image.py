"""Distances between a picture and the truth, over the whole frame or inside a region.

Pictures are RGB uint8 [H, W, 3]; a region is a boolean mask [H, W]. Errors are in grey levels (0..255), PSNR in
dB of the true range: subtracting uint8 pictures as they are wraps around, which is how published PSNRs of this
field came to be 10 dB too high.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import Pose

Picture = NDArray[np.uint8]
Region = NDArray[np.bool_]

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # Wang et al. 2004


def mean_absolute_error(picture: Picture, truth: Picture, region: Region | None = None) -> float:
    """Mean |difference| in grey levels."""
    return float(np.abs(_difference(picture, truth, region)).mean())


def psnr(picture: Picture, truth: Picture, region: Region | None = None) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures."""
    squared = float(np.square(_difference(picture, truth, region)).mean())
    return float("inf") if squared == 0 else float(10 * np.log10(255**2 / squared))


def ssim(picture: Picture, truth: Picture, region: Region | None = None) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of sigma 1.5, 11 taps, mean over RGB."""
    a, b = picture.astype(np.float64), truth.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)) / (
        (mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2)
    )
    inner = similarity[5:-5, 5:-5]  # windows that lie inside the picture
    if region is None:
        return float(inner.mean())
    inside = region[5:-5, 5:-5]
    return float(inner[inside].mean()) if inside.any() else float("nan")


METRICS: dict[str, Callable[[Picture, Picture, Region | None], float]] = {
    "mae": mean_absolute_error,
    "psnr": psnr,
    "ssim": ssim,
}


def face_region(pose: Pose, size: tuple[int, int], margin: float = 0.15) -> Region | None:
    """The box of the visible face points, `margin` of its size wider on each side; None without a face.

    `size` = (width, height) of the picture the pose's coordinates refer to.
    """
    points = pose.face[pose.face[:, 2] > 0, :2]
    if len(points) < 10:
        return None
    low, high = points.min(0), points.max(0)
    grown = margin * (high - low)
    left, top = np.floor(np.maximum(low - grown, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(high + grown, size)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return None
    region = np.zeros((size[1], size[0]), bool)
    region[top:bottom, left:right] = True
    return region


def _difference(picture: Picture, truth: Picture, region: Region | None) -> NDArray[np.float64]:
    if picture.shape != truth.shape:
        raise ValueError(f"pictures differ in shape: {picture.shape} and {truth.shape}")
    difference = picture.astype(np.float64) - truth.astype(np.float64)
    return difference if region is None else difference[region]


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian of sigma 1.5 over 11 taps along both axes; the outermost five pixels are not valid."""
    taps = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    taps /= taps.sum()
    for axis in (0, 1):
        moved = [np.roll(values, shift, axis) * tap for shift, tap in zip(range(-5, 6), taps, strict=True)]
        values = np.sum(moved, axis=0)
    return values
