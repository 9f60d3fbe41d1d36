"""Many pictures as one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from magicpose.media import contact_sheet
from magicpose.media.sheets import row, spread, stack, tiles
from media_clips import Frame, number_of, numbered


def cells(row: Frame, widths: list[int], top: int = 0) -> list[Frame]:
    starts = [0, *itertools.accumulate(width + 4 for width in widths)]
    return [row[top:, start : start + width] for start, width in zip(starts, widths, strict=False)]


def test_contact_sheets_show_first_to_last() -> None:
    sheet = np.asarray(contact_sheet([[numbered(k) for k in range(29)], [numbered(200)]], count=5))
    assert sheet.shape == (48 * 2 + 4, 64 * 5 + 16, 3)
    assert [number_of(cell) for cell in cells(sheet[:48], [64] * 5)] == [0, 7, 14, 21, 28]
    assert number_of(sheet[52:, :64]) == 200
    assert (sheet[52:, 68:] == 255).all()


def test_contact_sheets_with_labels() -> None:
    rows = [[numbered(1)], [numbered(2)]]
    sheet = contact_sheet(rows, ["one", "two"])
    assert sheet.height > contact_sheet(rows).height
    with pytest.raises(ValueError, match="labels"):
        contact_sheet(rows, ["one"])


@pytest.mark.parametrize(("count", "shape"), [(1, (1024, 768)), (3, (1024, 768)), (16, (1024, 768)), (5, (1020, 510))])
def test_tiles_are_enlarged_in_a_square_grid(count: int, shape: tuple[int, int]) -> None:
    pictures = [Image.new("RGB", (4, 3), (10 * index, 0, 255)) for index in range(count)]
    sheet = tiles(pictures, 1024)
    assert sheet.size == shape
    assert sheet.getpixel((3, 3)) == (0, 0, 255)


def test_rows_without_gaps_are_the_pictures_themselves() -> None:
    pictures = [[numbered(3 * line + column) for column in range(3)] for line in range(2)]
    sheet = np.asarray(stack([row(line, gap_px=0) for line in pictures], gap_px=0))
    assert (sheet == np.concatenate([np.concatenate(line, 1) for line in pictures], 0)).all()


def test_a_short_last_row_is_filled_with_black() -> None:
    sheet = np.asarray(tiles([Image.new("RGB", (4, 4), (200, 0, 0))] * 3, 8))
    assert sheet.shape == (8, 8, 3)
    assert (sheet[:4, :, 0] == 200).all() and (sheet[4:, 4:] == 0).all()


@pytest.mark.parametrize(("length", "count", "chosen"), [(29, 5, [0, 7, 14, 21, 28]), (1, 1, [0]), (3, 1, [0])])
def test_spread_goes_from_the_first_to_the_last(length: int, count: int, chosen: list[int]) -> None:
    assert spread(length, count) == chosen
