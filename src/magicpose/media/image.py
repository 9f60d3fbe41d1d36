"""Pictures in and out: any common file to upright 8-bit RGB, in the sRGB colours that models expect."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from magicpose.errors import UserError
from magicpose.files import replacing
from magicpose.media.files import (
    MediaWarning,
    PathLike,
    check_input,
    check_output,
    explained,
    natural_key,
)
from magicpose.media.metadata import exif, png_text, to_json

MAX_PIXELS = 100_000_000  # a decoded picture of this size takes about 1 GB on its way to RGB

# What Pillow may open. Not on the list: formats read by running another program (EPS) or that only wrap one.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA", "ICO")
IMAGE_SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".jp2", ".tga"]
)

_WRITTEN: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
}

# Pillow's readers let these through on damaged files, according to the format.
_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, ArithmeticError,
    NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


def read_image(path: PathLike) -> Image.Image:
    """The picture at `path` as RGB, upright (EXIF rotation applied), in sRGB where it names its colours.

    Transparency is laid on white, 16-bit and floating values are scaled to 8 bit, CMYK, grey and palettes are
    converted; of an animation the first frame is taken. UserError when it is not a picture, is damaged or cut
    short, or holds more than MAX_PIXELS.
    """
    path = check_input(path, "picture")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # remarks on odd tags and on sizes we check ourselves
        try:
            with Image.open(path, formats=_readable()) as image:
                _check_size(path, image.size)
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
        except UserError:
            raise
        except Image.DecompressionBombError:
            raise UserError(_too_large(path, "far more")) from None
        except UnidentifiedImageError:
            raise UserError(f"{path} is not a picture that can be read; save it as PNG or JPEG") from None
        except _DAMAGED as error:
            raise UserError(f"picture {path} is damaged or cut short; save or download it again") from error


def write_image(
    path: PathLike, image: Image.Image, *, metadata: Mapping[str, Any] | None = None, overwrite: bool = False
) -> None:
    """`image` to `path` (.png, .jpg or .webp), with `metadata` inside, see `read_metadata`.

    UserError: other suffix, file exists (unless `overwrite`), folder not writable, disk full.
    """
    path = Path(path)
    options = _WRITTEN.get(path.suffix.lower())
    if options is None:
        raise UserError(f"cannot write {path}: use one of {', '.join(_WRITTEN)}")
    check_output(path, overwrite)
    remark = to_json(metadata)
    with explained(path), replacing(path, new=not overwrite) as draft:
        image.convert("RGB").save(draft, exif=exif(remark), pnginfo=png_text(remark), **options)


def list_images(folder: PathLike) -> list[Path]:
    """The pictures in `folder` in natural order (2 before 10), judged by suffix; hidden files are skipped."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist; check the name")
    try:
        entries = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"folder {folder} cannot be read ({error.strerror}); check its permissions") from error
    found = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise UserError(f"folder {folder} holds no pictures; expected files such as 000000.png")
    return sorted(found, key=lambda entry: (natural_key(entry.name), entry.name))


def read_image_folder(folder: PathLike) -> Iterator[Image.Image]:
    """The pictures of `folder` one by one, in natural order; sizes may differ. Complains before the first."""
    paths = list_images(folder)
    return (read_image(path) for path in paths)


@cache
def _readable() -> list[str]:
    """The formats of our list that this build of Pillow has."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise UserError(_too_large(path, f"{width} x {height} pixels, more"))


def _too_large(path: Path, how_large: str) -> str:
    return f"picture {path} has {how_large} than the limit of {MAX_PIXELS // 10**6} megapixels; scale it down"


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB on white, colours converted by the embedded profile."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    elif image.mode in ("P", "1"):
        image = image.convert("RGB")
    if profile:
        image = _to_srgb(image, profile)
    return image.convert("RGB")


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


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours by the embedded profile; a profile that does not fit the picture is passed over with a warning."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        warnings.warn("an unusable colour profile was ignored", MediaWarning, stacklevel=2)
        return image
    assert converted is not None
    return converted


def image_size(path: PathLike) -> tuple[int, int]:
    """(width, height) in pixels of the picture that `read_image` would give, from its header alone.

    UserError when it is not a picture or holds more than MAX_PIXELS; damage behind the header is not seen.
    """
    path = check_input(path, "picture")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        try:
            with Image.open(path, formats=_readable()) as image:
                _check_size(path, image.size)
                return image.size[::-1] if _on_its_side(image) else image.size
        except UserError:
            raise
        except Image.DecompressionBombError:
            raise UserError(_too_large(path, "far more")) from None
        except UnidentifiedImageError:
            raise UserError(f"{path} is not a picture that can be read; save it as PNG or JPEG") from None
        except _DAMAGED as error:
            raise UserError(f"picture {path} is damaged or cut short; save or download it again") from error


def _on_its_side(image: Image.Image) -> bool:
    """Whether EXIF turns the picture by a quarter; an EXIF block that cannot be read turns nothing."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
    except _DAMAGED:
        return False
