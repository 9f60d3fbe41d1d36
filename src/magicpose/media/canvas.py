"""One canvas for everything: its size, and how pictures of other shapes are laid on it.

Size: a number S asks for about S x S pixels in the shape (width : height) of the reference; a pair is taken as it
is. Both sides are multiples of 8, because the autoencoder works on 8 x 8 pixels.
Placement: shapes are kept. A picture is scaled to fill the canvas and its overhang is cut off evenly, if that costs
at most a tenth of it; otherwise, and always for drivers (a cut could take a hand), it is scaled to fit and centred,
and the rest is filled with its border pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.errors import UserError

Size = tuple[int, int]  # (width, height)

MULTIPLE = 8
MIN_SIDE, MAX_SIDE = 64, 4096
MAX_LOSS = 0.1  # share of a picture that may be cut off


@dataclass(frozen=True)
class Placement:
    """A picture of `source` size, scaled to `scaled` and laid on a `canvas` with its corner at `offset`.

    All sizes and the offset are (x, y) in whole pixels; a negative offset cuts. In coordinates whose pixel centres
    lie at 0.5, a point moves by x' = x * scaled / source + offset.
    """

    source: Size
    canvas: Size
    scaled: Size
    offset: tuple[int, int]

    def forward(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points [..., 2 or more] (x, y, then anything, which is kept) of the picture, on the canvas."""
        moved = np.array(points, np.float64)
        moved[..., :2] = moved[..., :2] * self._scale() + self.offset
        return moved

    def inverse(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """The way back: points of the canvas in the picture."""
        moved = np.array(points, np.float64)
        moved[..., :2] = (moved[..., :2] - self.offset) / self._scale()
        return moved

    def apply(self, image: Image.Image, fill: tuple[int, int, int] | None = None) -> Image.Image:
        """`image` (RGB, of the `source` size) on the canvas; outside it `fill`, or its border pixels repeated."""
        if image.size != self.source:
            raise ValueError(f"this placement is for pictures of {self.source}, not {image.size}")
        x, y = self.offset
        width, height = self.canvas
        if self.scaled != self.source:
            image = image.resize(self.scaled, Image.Resampling.LANCZOS)
        image = image.crop((max(0, -x), max(0, -y), min(image.width, width - x), min(image.height, height - y)))
        left, top = max(0, x), max(0, y)
        if fill is not None:
            canvas = Image.new("RGB", self.canvas, fill)
            canvas.paste(image, (left, top))
            return canvas
        margins = ((top, height - top - image.height), (left, width - left - image.width), (0, 0))
        return Image.fromarray(np.pad(np.asarray(image), margins, mode="edge"))

    def _scale(self) -> NDArray[np.float64]:
        return np.divide(self.scaled, self.source)


@dataclass(frozen=True)
class Canvas:
    """The size in pixels of the frames to make."""

    width: int
    height: int

    @classmethod
    def for_reference(cls, reference: Size, size: int | Size, multiple: int = MULTIPLE) -> Canvas:
        """The canvas for a reference picture of `reference` size: see the rule at the top.

        UserError when a pair is no multiple of `multiple`, or a side is outside MIN_SIDE..MAX_SIDE.
        """
        if isinstance(size, int):
            shape = (reference[0] / reference[1]) ** 0.5
            ideal = (size * shape, size / shape)
            width, height = (_clamped(_nearest(side, multiple), multiple) for side in ideal)
            if not MIN_SIDE <= size <= MAX_SIDE:
                raise UserError(f"size must be {MIN_SIDE} to {MAX_SIDE} pixels, not {size}")
            return cls(width, height)
        width, height = size
        if not all(MIN_SIDE <= side <= MAX_SIDE and side % multiple == 0 for side in size):
            near = "x".join(str(_clamped(_nearest(side, multiple), multiple)) for side in size)
            raise UserError(
                f"size {width}x{height} must have sides of {MIN_SIDE} to {MAX_SIDE} pixels, "
                f"multiples of {multiple}; try {near}"
            )
        return cls(width, height)

    @property
    def size(self) -> Size:
        return self.width, self.height

    def place(self, source: Size) -> Placement:
        """Fills the canvas where that cuts off at most MAX_LOSS of the picture, else shows it whole."""
        ratios = self.width / source[0], self.height / source[1]
        loss = 1 - min(ratios) / max(ratios)
        return self._scaled_by(source, max(ratios) if loss <= MAX_LOSS else min(ratios))

    def place_whole(self, source: Size) -> Placement:
        """Shows the whole picture, as large as it goes."""
        return self._scaled_by(source, min(self.width / source[0], self.height / source[1]))

    def _scaled_by(self, source: Size, scale: float) -> Placement:
        width, height = (max(1, round(side * scale)) for side in source)
        return Placement(source, self.size, (width, height), ((self.width - width) // 2, (self.height - height) // 2))


def parse_size(text: str) -> int | Size:
    """`--size`: "512" (about 512 x 512 pixels, in the reference's shape) or "512x768" (width x height)."""
    match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", text.strip().lower())
    if match is None:
        raise UserError(f"size must look like 512 or 512x768 (width x height), not {text!r}")
    width, height = match.groups()
    return int(width) if height is None else (int(width), int(height))


def _nearest(side: float, multiple: int) -> int:
    return round(side / multiple) * multiple


def _clamped(side: int, multiple: int) -> int:
    """Inside the allowed sides, still a multiple."""
    return min(max(side, -(-MIN_SIDE // multiple) * multiple), MAX_SIDE // multiple * multiple)
