"""JSON from strangers, read within limits and checked by hand; files written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.media.files import check_input, check_output, explained, temporary_beside

MAX_BYTES = 128 << 20
MAX_SIDE = 16384  # px
MAX_COORDINATE = 1e6  # px: far outside of any canvas
MAX_CONTAINERS = 12_000_000  # lists and objects: each costs some 70 bytes once parsed


class Malformed(ValueError):
    """Something in a document is not what it must be: says where and what, without the file's name."""


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The parsed content of a JSON file.

    Raises UserError if it cannot be read, is larger than `max_bytes`, is no JSON, or holds NaN or Infinity.
    """
    if path.exists() and not path.is_file():  # a device or a pipe would never end
        raise UserError(f"{path} is not a plain file; name a pose document")
    with check_input(path, "pose document").open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError(f"{path} is larger than {max_bytes / 2**20:g} MiB: split it into shorter clips")
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise UserError(f"{path} holds more than {MAX_CONTAINERS} lists and objects: split it into shorter clips")
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be a pose document") from error
    except ValueError as error:  # not JSON, not text, NaN, or an integer of thousands of digits
        raise UserError(f"{path} is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number a document may hold")


def write_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write `text` as UTF-8, whole or not at all.

    Raises UserError if `path` exists and `overwrite` is false, or if it cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file")
    path = check_output(path, overwrite)
    with explained(path), temporary_beside(path) as draft:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


def as_object(value: Any, at: str, known: frozenset[str] | None = None) -> dict[str, Any]:
    """`value` as a JSON object, with no keys but the `known` ones where those are given."""
    if not isinstance(value, dict):
        raise Malformed(f"{at} must be an object {{...}}, not {_kind(value)}")
    if known is not None and (unknown := value.keys() - known):
        raise Malformed(f"{at} has the unknown key {min(unknown)!r:.60}: the keys are {', '.join(sorted(known))}")
    return value


def as_list(value: Any, at: str, most: int) -> list[Any]:
    """`value` as a list of at most `most` items."""
    if not isinstance(value, list):
        raise Malformed(f"{at} must be a list, not {_kind(value)}")
    if len(value) > most:
        raise Malformed(f"{at} has {len(value)} items, more than the {most} that are allowed")
    return value


def as_whole(value: Any, at: str, low: int, high: int) -> int:
    """`value` as a whole number in low..high."""
    number = as_number(value, at, low, high)
    if number != int(number):
        raise Malformed(f"{at} must be a whole number, not {number:g}")
    return int(number)


def as_number(value: Any, at: str, low: float, high: float) -> float:
    """`value` as a number in low..high."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise Malformed(f"{at} must be a number from {low:g} to {high:g}, not {_kind(value)}")
    return float(value)


def as_points(numbers: list[Any], at: str) -> NDArray[np.float64]:
    """A flat list x, y, score, ... as [N, 3], all finite and within MAX_COORDINATE."""
    for number in numbers:
        if type(number) not in (int, float):
            raise Malformed(f"{at} must hold numbers only, not {_kind(number)}")
    try:
        points = np.array(numbers, np.float64).reshape(-1, 3)
    except OverflowError as error:
        raise Malformed(f"{at} holds a huge number") from error
    if not (np.abs(points) <= MAX_COORDINATE).all():
        raise Malformed(f"{at} holds a number beyond {MAX_COORDINATE:g}")
    return points


def readable(points: NDArray[np.float32]) -> list[list[float]]:
    """[N, 3] as it is written: coordinates to 0.01 px, scores to 0.001 and at most 1; absent points all zero."""
    rows = np.round(points.astype(np.float64), 2)
    rows[:, 2] = np.round(np.clip(points[:, 2].astype(np.float64), 0, 1), 3)
    rows[rows[:, 2] == 0] = 0
    return (rows + 0.0).tolist()  # no negative zeros


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "missing"}


def _kind(value: Any) -> str:
    """What to call an unexpected value: short, whatever it is."""
    if type(value) in _KINDS:
        return _KINDS[type(value)]
    return f"{value:g}" if -1e300 < value < 1e300 else "a huge number"
