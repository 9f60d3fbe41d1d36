"""The crop that all pictures and keypoints of a clip share in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Square:
    """The largest central square, resized: the same for reference, target and pose map."""

    left: float
    top: float
    side: float

    @classmethod
    def of(cls, size: tuple[int, int]) -> Square:
        """The square of frames of `size` (width, height)."""
        side = min(size)
        return cls((size[0] - side) / 2, (size[1] - side) / 2, side)

    def image(self, picture: Image.Image, size_px: int) -> NDArray[np.uint8]:
        """RGB uint8 [size_px, size_px, 3]"""
        box = (self.left, self.top, self.left + self.side, self.top + self.side)
        if picture.size != (size_px, size_px):
            picture = picture.resize((size_px, size_px), Image.Resampling.LANCZOS, box=box)
        return np.asarray(picture)

    def keypoints(self, points: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
        """The same crop of [..., 130, 3] keypoints."""
        moved = points.copy()
        moved[..., 0] = (points[..., 0] - self.left) * size_px / self.side
        moved[..., 1] = (points[..., 1] - self.top) * size_px / self.side
        return moved
