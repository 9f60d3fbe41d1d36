"""Many pictures as one: rows of labelled cells, contact sheets, enlarged tiles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from magicpose.media.decode import Frame

Picture = Frame | Image.Image
Colour = tuple[int, int, int]

GAP_PX = 4  # between the cells of a labelled sheet
PAPER: Colour = (255, 255, 255)
_INK: Colour = (40, 40, 40)
_BLACK: Colour = (0, 0, 0)


def as_image(picture: Picture) -> Image.Image:
    """An RGB image of a picture in either form."""
    return picture.convert("RGB") if isinstance(picture, Image.Image) else Image.fromarray(picture)


def row(pictures: Sequence[Picture], labels: Sequence[str] = (), gap_px: int = GAP_PX) -> Image.Image:
    """Pictures side by side, as high as the first, with `labels` (possibly fewer) above them."""
    height = as_image(pictures[0]).height
    cells = [_scaled(as_image(picture), height) for picture in pictures]
    letters = max(10, height // 20)
    font = ImageFont.load_default(letters)
    band = letters * 3 // 2 if labels else 0
    canvas = Image.new("RGB", (sum(cell.width + gap_px for cell in cells) - gap_px, height + band), PAPER)
    draw = ImageDraw.Draw(canvas)
    left = 0
    for cell, label in itertools.zip_longest(cells, labels):
        canvas.paste(cell, (left, band))
        if label:
            draw.text((left + 2, band // 2), label, _INK, font, anchor="lm")
        left += cell.width + gap_px
    return canvas


def stack(rows: Sequence[Image.Image], gap_px: int = GAP_PX, paper: Colour = PAPER) -> Image.Image:
    """Rows one under the other, from the left edge; `paper` shows where a row is shorter than the widest."""
    height = sum(each.height + gap_px for each in rows) - gap_px
    sheet = Image.new("RGB", (max(each.width for each in rows), height), paper)
    top = 0
    for each in rows:
        sheet.paste(each, (0, top))
        top += each.height + gap_px
    return sheet


def contact_sheet(rows: Sequence[Sequence[Picture]], labels: Sequence[str] = (), count: int = 8) -> Image.Image:
    """One picture: a row per clip with `count` of its frames, evenly spread from the first to the last."""
    if not rows or not all(len(clip) for clip in rows) or (labels and len(labels) != len(rows)):
        raise ValueError("a contact sheet needs rows with frames, and as many labels as rows or none")
    height = as_image(rows[0][0]).height
    strips = []
    for index, clip in enumerate(rows):
        cells = [_scaled(as_image(clip[place]), height) for place in spread(len(clip), min(count, len(clip)))]
        strips.append(row(cells, labels[index : index + 1]))
    return stack(strips)


def spread(length: int, count: int) -> list[int]:
    """`count` indices of `length` frames, evenly spread from the first to the last."""
    return [int(place) for place in np.linspace(0, length - 1, count).round()]


def tiles(pictures: Sequence[Image.Image], width_px: int) -> Image.Image:
    """Pictures of one size in a square grid, enlarged by a whole number to about `width_px` altogether."""
    columns = math.ceil(math.sqrt(len(pictures)))
    factor = max(1, width_px // columns // pictures[0].width)
    width, height = (factor * length for length in pictures[0].size)
    enlarged = [picture.resize((width, height), Image.Resampling.BICUBIC) for picture in pictures]
    rows = [row(enlarged[first : first + columns], gap_px=0) for first in range(0, len(enlarged), columns)]
    return stack(rows, gap_px=0, paper=_BLACK)


def _scaled(image: Image.Image, height: int) -> Image.Image:
    if image.height == height:
        return image
    return image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)
