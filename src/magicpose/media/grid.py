"""Pictures side by side: grids of running frames, and contact sheets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from magicpose.media.decode import Frame

Picture = Frame | Image.Image

_GAP = 4  # pixels between cells
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def grid(columns: Sequence[Picture | Iterable[Picture]], labels: Sequence[str] = ()) -> Iterator[Frame]:
    """Frames that show all `columns` side by side, as high as the first, each under its label.

    A column is a running sequence, or a single picture that stays. Ends with the shortest running column; all
    stills give one frame. Frames are taken as they come: nothing is held but the current row.
    """
    if not columns or (labels and len(labels) != len(columns)):
        raise ValueError(f"{len(columns)} columns need as many labels, or none, not {len(labels)}")
    stills = [_is_picture(column) for column in columns]
    running = [itertools.repeat(column) if still else column for column, still in zip(columns, stills, strict=True)]
    rows: Iterable[tuple[Picture, ...]] = zip(*running, strict=False)
    for row in itertools.islice(rows, 1 if all(stills) else None):
        yield np.asarray(_row([_image(cell) for cell in row], labels))


def contact_sheet(rows: Sequence[Sequence[Picture]], labels: Sequence[str] = (), count: int = 8) -> Image.Image:
    """One picture: a row per clip with `count` of its frames, evenly spread from the first to the last."""
    if not rows or not all(len(row) for row in rows) or (labels and len(labels) != len(rows)):
        raise ValueError("a contact sheet needs rows with frames, and as many labels as rows or none")
    height = _image(rows[0][0]).height
    strips = []
    for index, row in enumerate(rows):
        chosen = np.linspace(0, len(row) - 1, min(count, len(row))).round().astype(int)
        cells = [_scaled(_image(row[place]), height) for place in chosen]
        strips.append(_row(cells, labels[index : index + 1]))
    sheet = Image.new(
        "RGB", (max(strip.width for strip in strips), sum(s.height + _GAP for s in strips) - _GAP), _PAPER
    )
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + _GAP
    return sheet


def _is_picture(column: object) -> bool:
    return isinstance(column, Image.Image) or (isinstance(column, np.ndarray) and column.ndim == 3)


def _image(picture: Picture) -> Image.Image:
    return picture.convert("RGB") if isinstance(picture, Image.Image) else Image.fromarray(picture)


def _scaled(image: Image.Image, height: int) -> Image.Image:
    if image.height == height:
        return image
    return image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)


def _row(cells: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    """`cells` side by side, as high as the first, `labels` (fewer than the cells is fine) above them."""
    height = cells[0].height
    cells = [_scaled(cell, height) for cell in cells]
    letters = max(10, height // 20)
    font = ImageFont.load_default(letters)
    band = letters * 3 // 2 if labels else 0
    row = Image.new("RGB", (sum(cell.width + _GAP for cell in cells) - _GAP, height + band), _PAPER)
    draw = ImageDraw.Draw(row)
    left = 0
    for cell, label in itertools.zip_longest(cells, labels):
        row.paste(cell, (left, band))
        if label:
            draw.text((left + 2, band // 2), label, _INK, font, anchor="lm")
        left += cell.width + _GAP
    return row
