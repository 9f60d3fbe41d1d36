"""Moving pictures: animated GIF, WebP, PNG and AVIF, found by their content and read with Pillow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.media.files import stamp_of
from magicpose.media.image import check_size, is_moving, quiet_open
from magicpose.media.rgb import DAMAGED, note, to_rgb

Show = Callable[[], NDArray[np.uint8]]  # gives the picture as RGB [height, width, 3]

_UNSTATED = Fraction(1, 10)  # seconds: how long browsers show a picture that states no time
_TICKS = {"GIF": Fraction(1, 100), "WEBP": Fraction(1, 1000)}  # seconds
_SHORTEST_GIF = Fraction(2, 100)  # browsers take less as not stated


@dataclass(frozen=True)
class Timing:
    """When the pictures of an animation change. Sizes (width, height) pixels, times in seconds."""

    format: str
    size: tuple[int, int]
    first: int  # the first picture that belongs to the animation: a PNG may hold another before it
    lengths: tuple[Fraction, ...]

    @property
    def duration(self) -> Fraction:
        return sum(self.lengths, Fraction(0))

    @property
    def tick(self) -> Fraction:
        """To what the file can state a time."""
        return _TICKS.get(self.format, Fraction(1, 100_000))


def timing(path: Path) -> Timing | None:
    """The times of the animation at `path`; None if it is a still picture, damaged from the start, or a video."""
    return _timing(path, stamp_of(path)) if is_moving(path) else None


@functools.lru_cache(maxsize=16)
def _timing(path: Path, _stamp: tuple[int, int]) -> Timing | None:
    """Kept, because all pictures have to be decoded to know it."""
    with quiet_open(path) as image:
        first, lengths = _first(image), []
        for _ in _steps(path, image, first):
            lengths.append(_length(image))
        return Timing(str(image.format), image.size, first, tuple(lengths)) if lengths else None


def shown(path: Path, moving: Timing) -> Iterator[tuple[Show, Fraction]]:
    """(picture, seconds until which it is shown), one after another; transparency is laid on white."""
    until, told = Fraction(0), False
    with quiet_open(path) as image:
        for _, length in zip(_steps(path, image, moving.first), moving.lengths):
            until += length
            if not told and image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                note(path, "is transparent in places, which are shown white")
                told = True
            yield functools.partial(np.array, to_rgb(path, image)), until


def _first(image: Image.Image) -> int:
    return int(bool(getattr(image, "default_image", False)))


def _steps(path: Path, image: Image.Image, first: int) -> Iterator[None]:
    """Goes from picture to picture up to the end, or to where the file is damaged."""
    for number in range(first, getattr(image, "n_frames", 1)):
        try:
            image.seek(number)
            check_size(path, image.size)
            image.load()
        except DAMAGED:
            if number > first:
                note(path, f"is damaged after {number - first} pictures; the rest is left out")
            return
        yield


def _length(image: Image.Image) -> Fraction:
    """How long the present picture is shown, as browsers do."""
    stated = image.info.get("duration", 0)
    shortest = _SHORTEST_GIF if image.format == "GIF" else Fraction(1, 1000)
    if not isinstance(stated, int | float) or stated < 1000 * shortest:
        return _UNSTATED
    return Fraction(stated).limit_denominator(100_000) / 1000
