"""Values that several verbs take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from magicpose.errors import UserError
from magicpose.media.canvas import Size
from magicpose.media.canvas import parse_size as read_size
from magicpose.pose.documents.jsonfile import MAX_SIDE
from magicpose.pose.keypoints import PersonChoice


def parse_size(text: str | None) -> int | Size | None:
    """`--size`; None stays None."""
    return None if text is None else read_size(text)


def parse_canvas(text: str | None) -> Size | None:
    """`--canvas`: WIDTHxHEIGHT, any size a pose document may have; None stays None."""
    if text is None:
        return None
    sides = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if sides is None or max(int(side) for side in sides.groups()) > MAX_SIDE:
        raise UserError(f"--canvas must look like 512x768, with sides of 1 to {MAX_SIDE} pixels, not {text!r}")
    return int(sides[1]), int(sides[2])


def parse_person(text: str) -> PersonChoice:
    """`--person`: largest, center, or a number from 0."""
    if text == "largest":
        return "largest"
    if text == "center":
        return "center"
    if text.isdecimal():
        return int(text)
    raise UserError(f"--person must be largest, center or a number from 0, not {text!r}")


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` settings, values read as YAML."""
    import yaml

    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{text!r} must look like KEY=VALUE, such as steps=100")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"the value of {key} is not readable: {' '.join(str(error).split())}") from error
    return found
