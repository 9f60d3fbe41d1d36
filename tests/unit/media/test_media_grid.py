from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from magicpose.media import grid
from media_clips import Frame, number_of, numbered


def cells(row: Frame, widths: list[int], top: int = 0) -> list[Frame]:
    starts = [0, *itertools.accumulate(width + 4 for width in widths)]
    return [row[top:, start : start + width] for start, width in zip(starts, widths, strict=False)]


def test_columns_run_side_by_side() -> None:
    still = Image.fromarray(numbered(99))
    rows = list(grid([still, map(numbered, range(5)), [numbered(k) for k in range(100, 107)]]))
    assert len(rows) == 5
    for k, row in enumerate(rows):
        assert row.dtype == np.uint8
        assert [number_of(cell) for cell in cells(row, [64] * 3)] == [99, k, 100 + k]


def test_columns_of_other_sizes_are_made_as_high_as_the_first() -> None:
    (row,) = grid([numbered(1), numbered(2, (128, 96)), numbered(3, (32, 48))])
    assert row.shape == (48, 64 + 4 + 64 + 4 + 32, 3)
    assert [number_of(cell) for cell in cells(row, [64, 64, 32])] == [1, 2, 3]


def test_nothing_is_read_ahead() -> None:
    assert number_of(next(grid([map(numbered, itertools.count())]))) == 0


def test_labels_stand_above_and_cover_nothing() -> None:
    (row,) = grid([numbered(1), numbered(2)], ["reference", "result"])
    band = row.shape[0] - 48
    assert band > 0
    assert (row[band:] == next(grid([numbered(1), numbered(2)]))).all()
    assert (row[:band, :64] < 128).any()
    assert (row[:band, 68:] < 128).any()


def test_as_many_labels_as_columns() -> None:
    with pytest.raises(ValueError, match="labels"):
        list(grid([numbered(1)], ["a", "b"]))
    with pytest.raises(ValueError, match="columns"):
        list(grid([]))
