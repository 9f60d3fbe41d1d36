"""Where the pictures of one clip are shown: upright RGB of one size, whatever the file does in between."""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import numpy as np
from PIL import Image

from magicpose.errors import UserError
from magicpose.media.canvas import Canvas, Size
from magicpose.media.decode import Frame, upright
from magicpose.media.files import MediaWarning
from magicpose.media.image import MAX_PIXELS


class Screen:
    """Shows pictures of the clip at `path` in its `size` (width, height) and says once what that took."""

    def __init__(self, path: Path, size: Size) -> None:
        self._path, self._size = path, size
        self._told: set[str] = set()

    def show(self, frame: av.VideoFrame, size: Size) -> Frame:
        """`frame`, displayed in its own `size`, as uint8 RGB [height, width, 3] of the clip's size.

        Transparent parts are laid on white. A picture of another size is shown whole, in its shape, its border
        pixels repeated.
        """
        if size[0] * size[1] > MAX_PIXELS:
            raise UserError(f"{self._path} has frames of more than {MAX_PIXELS // 10**6} megapixels; scale it down")
        pixels = upright(frame, size)
        if pixels.shape[2] == 4:
            pixels = self._on_white(pixels)
        if size == self._size:
            return pixels
        self._tell("changes its size on the way; all of it is shown in that of its first frame")
        placed = Canvas(*self._size).place_whole(size).apply(Image.fromarray(pixels))
        return np.array(placed)

    def _on_white(self, pixels: Frame) -> Frame:
        alpha = pixels[..., 3:].astype(np.uint16)
        if alpha.min() == 255:
            return np.ascontiguousarray(pixels[..., :3])
        self._tell("is transparent in places, which are shown white")
        return ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

    def _tell(self, what: str) -> None:
        if what not in self._told:
            warnings.warn(f"{self._path} {what}", MediaWarning, stacklevel=4)
        self._told.add(what)
