"""Running frames side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from magicpose.media.decode import Frame
from magicpose.media.sheets import Picture, row


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
    for cells in itertools.islice(rows, 1 if all(stills) else None):
        yield np.asarray(row(cells, labels))


def _is_picture(column: object) -> bool:
    return isinstance(column, Image.Image) or (isinstance(column, np.ndarray) and column.ndim == 3)
