"""Any picture that Pillow has opened, as upright 8-bit RGB in the sRGB colours that models expect."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from magicpose.media.files import MediaWarning

_ORIENTATION = 0x0112  # EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's readers let these through on damaged files, according to the format.
DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, ArithmeticError,
    NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


def note(path: Path, what: str) -> None:
    """One line to the user about the picture at `path`."""
    warnings.warn(f"{path} {what}", MediaWarning, stacklevel=3)


def to_rgb(path: Path, image: Image.Image) -> Image.Image:
    """Upright 8-bit RGB on white, colours converted by the embedded profile."""
    profile = image.info.get("icc_profile")
    image = _upright(path, image)
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    elif image.mode in ("P", "1"):
        image = image.convert("RGB")
    if profile:
        image = _to_srgb(path, image, profile)
    return image.convert("RGB")


def _upright(path: Path, image: Image.Image) -> Image.Image:
    """`image` turned and mirrored as its EXIF data says, where that can be read."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except (*DAMAGED, AttributeError):
        note(path, "has damaged EXIF data, which was ignored")
        return image
    return image if turn is None else image.transpose(turn)


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit grey, 32-bit grey (taken as 16-bit when it exceeds 255) and floats (0..1, or 0..255 if above 1)."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    peak = float(values.max())
    if image.mode == "F":
        white = 1.0 if peak <= 1 else 255.0
    else:
        white = 65535.0 if image.mode.startswith("I;16") or peak > 255 else 255.0
    grey = (values * (255 / white)).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(path: Path, image: Image.Image, profile: bytes) -> Image.Image:
    """Colours by the embedded profile; a profile that does not fit the picture is passed over with a warning."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        note(path, "has an unusable colour profile, which was ignored")
        return image
    assert converted is not None
    return converted
