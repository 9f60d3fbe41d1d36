"""Words for a person and a scene: a small closed vocabulary, used as text prompt."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import ArrayLike

HAIR_COLOURS = {
    "black": "black", "dark": "dark brown", "brown": "brown", "chest": "chestnut", "auburn": "auburn", "red": "red",
    "blond": "blond", "ash": "ash blond", "grey": "grey", "white": "white", "blue": "blue", "pink": "pink",
    "green": "green", "purple": "purple",
}  # fmt: skip
HAIR_STYLES = {
    "bald": "no hair", "buzz": "buzz cut hair", "short": "short hair", "crop": "cropped hair", "bob": "bob hair",
    "long": "long hair", "afro": "afro hair", "bun": "hair in a bun", "pony": "ponytail hair", "curly": "curly hair",
    "bangs": "hair with bangs", "beanie": "beanie", "cap": "cap",
}  # fmt: skip
TOPS = {
    "tee": "t-shirt", "long": "sweater", "tank": "tank top", "hoodie": "hoodie", "shirt": "shirt", "dress": "dress",
    "crop": "crop top",
}  # fmt: skip
BOTTOMS = {"jeans": "trousers", "shorts": "shorts", "leggings": "leggings", "skirt": "skirt", "wide": "wide trousers"}
PATTERNS = {
    "solid": "", "hstripe": "striped", "vstripe": "striped", "check": "checked", "plaid": "plaid", "dots": "dotted",
    "camo": "camouflage", "floral": "floral", "zigzag": "zigzag", "melange": "", "diag": "striped",
}  # fmt: skip
BACKGROUNDS = {
    "wall": "wall", "studio": "studio", "room": "room", "brick": "brick wall", "outdoor": "outdoors",
    "curtain": "curtain",
}  # fmt: skip
FRAMINGS = {
    "full": "full body", "knee": "knees up", "half": "half body", "bust": "bust", "head": "head", "face": "face close-up",
}  # fmt: skip
HUES = ((0.04, "red"), (0.1, "orange"), (0.18, "yellow"), (0.45, "green"), (0.53, "teal"), (0.7, "blue"), (0.8, "purple"),
        (0.95, "pink"), (1.01, "red"))  # fmt: skip


def colour_word(srgb: ArrayLike) -> str:
    """The name of an sRGB colour (0..1)."""
    r, g, b = (float(x) for x in np.clip(np.asarray(srgb, float), 0, 1))
    hue, saturation, value = colorsys.rgb_to_hsv(r, g, b)
    if value < 0.16:
        return "black"
    if saturation < 0.14:
        return "white" if value > 0.75 else "grey"
    name = next(word for limit, word in HUES if hue < limit)
    if name in ("orange", "yellow") and (value < 0.55 or saturation < 0.5):
        return "brown" if value < 0.55 else "beige"
    if name == "blue" and value < 0.35:
        return "navy"
    return name


def caption(attributes: dict[str, str]) -> str:
    """One sentence from the attributes of `Clip.attributes`."""
    a = attributes
    words = [f"{a['framing']} of {a['person']}"]
    head = " ".join(w for w in (a["hair_colour"], a["hair_style"]) if w)
    words.append(f"with {head}")
    if a["beard"]:
        words.append(f"{a['beard']}")
    if a["glasses"]:
        words.append(a["glasses"])
    words.append("in " + " ".join(w for w in (a["top_colour"], a["top_pattern"], a["top_kind"]) if w))
    if a["bottom_kind"]:
        words.append(" ".join(w for w in (a["bottom_colour"], a["bottom_pattern"], a["bottom_kind"]) if w))
    words.append(" ".join(w for w in (a["background_colour"], a["background"]) if w))
    return ", ".join(words)
