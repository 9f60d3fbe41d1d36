"""One canvas for reference, poses and frames: its size, and how pictures and keypoints are put on it.

The rule: frames have the shape of the (first) reference at the model's native area, sides a multiple of the
autoencoder's stride. Whatever has another shape is scaled to fill the canvas and cut evenly on both sides.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps

from magicpose.errors import UserError
from magicpose.pose.keypoints import PoseTrack

Size = tuple[int, int]  # (width, height) in pixels
LONGEST_TO_SHORTEST = 2.0  # a reference longer than this is cut
MAX_SIDE = 4096


def canvas_size(picture: Size, native_side: int, multiple: int, wanted: Size | None = None) -> Size:
    """The frames' size for a reference of size `picture`; `wanted` wins if it is possible."""
    if wanted is not None:
        if any(side % multiple or not multiple <= side <= MAX_SIDE for side in wanted):
            width, height = (min(max(multiple, round(side / multiple) * multiple), MAX_SIDE) for side in wanted)
            raise UserError(
                f"frames of {wanted[0]}x{wanted[1]} cannot be made: sides must be multiples of {multiple} "
                f"up to {MAX_SIDE}; take {width}x{height}"
            )
        return wanted
    aspect = picture[0] / picture[1]
    aspect = min(max(aspect, 1 / LONGEST_TO_SHORTEST), LONGEST_TO_SHORTEST)
    width, height = native_side * math.sqrt(aspect), native_side / math.sqrt(aspect)
    return max(multiple, round(width / multiple) * multiple), max(multiple, round(height / multiple) * multiple)


def fit_picture(picture: Image.Image, size: Size) -> Image.Image:
    """`picture` scaled to fill `size`, what juts out cut evenly."""
    return picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def fit_track(track: PoseTrack, size: Size) -> PoseTrack:
    """`track` moved as `fit_picture` moves the picture it belongs to."""
    scale = max(size[0] / track.size[0], size[1] / track.size[1])
    offset = [(new - scale * old) / 2 for new, old in zip(size, track.size)]
    points = track.stacked().astype(np.float64)
    points[..., :2] = np.where(points[..., 2:] > 0, points[..., :2] * scale + offset, 0.0)
    return PoseTrack.from_stacked(points.astype(np.float32), size, track.fps, track.source)
