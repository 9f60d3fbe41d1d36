"""Pictures in and out: any common file to upright 8-bit RGB, in the sRGB colours that models expect."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from magicpose.errors import UserError
from magicpose.files import replacing
from magicpose.media.files import (
    PathLike,
    check_input,
    check_output,
    explained,
    natural_key,
)
from magicpose.media.kinds import kind_of
from magicpose.media.metadata import exif, png_text, to_json
from magicpose.media.rgb import DAMAGED, note, to_rgb
from magicpose.media.salvage import attempts

MAX_PIXELS = 100_000_000  # a decoded picture of this size takes about 1 GB on its way to RGB

# What Pillow may open. Not on the list: formats read by running another program (EPS) or that only wrap one.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA", "ICO")
MOVING = ("GIF", "WEBP", "PNG", "AVIF")  # may hold an animation
_NAMES = "png apng jpg jpeg jfif webp avif gif bmp tif tiff ppm jp2 tga heic heif"
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())

_WRITTEN: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
}


def read_image(path: PathLike) -> Image.Image:
    """The picture at `path` as RGB, upright (EXIF rotation applied), in sRGB where it names its colours.

    Transparency is laid on white, 16-bit and floating values are scaled to 8 bit, CMYK, grey and palettes are
    converted; of an animation the first frame is taken. What is damaged beside the pixels is ignored. Both with a
    MediaWarning. UserError when it is not a picture, pixels are missing, or it holds more than MAX_PIXELS.
    """
    path = check_input(path, "picture")
    try:
        return _read(path, path)
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(_too_large(path, "far more")) from None
    except DAMAGED as error:
        rescued = _rescued(path)
        if rescued is not None:
            return rescued
        if isinstance(error, UnidentifiedImageError) and kind_of(path) is None:
            raise UserError(f"{path} is not a picture that can be read; save it as PNG or JPEG") from None
        raise UserError(f"picture {path} is damaged or cut short; save or download it again") from error


def _read(source: Path | io.BytesIO, path: Path, profile: bytes | None = None) -> Image.Image:
    with quiet_open(source, path) as image:
        check_size(path, image.size)
        image.load()
        if image.format in MOVING and getattr(image, "is_animated", False):
            note(path, "is a moving picture; its first frame is taken")
        if profile is not None:
            image.info["icc_profile"] = profile
        return to_rgb(path, image)


def _rescued(path: Path) -> Image.Image | None:
    """The picture, if only something beside its pixels is damaged."""
    for attempt in attempts(path):
        try:
            image = _read(io.BytesIO(attempt.data), path, attempt.profile)
        except UserError:
            raise
        except (*DAMAGED, Image.DecompressionBombError):
            continue
        note(path, attempt.note)
        return image
    return None


@contextlib.contextmanager
def quiet_open(source: Path | io.BytesIO, path: Path | None = None) -> Iterator[Image.Image]:
    """A picture opened by Pillow without its remarks on odd tags and on sizes, which we check ourselves."""
    name = source if isinstance(source, Path) else path
    assert name is not None, "bytes come with the name of their file"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        with Image.open(source, formats=_formats(name)) as image:
            yield image


def _formats(path: Path) -> list[str]:
    """What Pillow may take the file for."""
    if kind_of(path) != "HEIC":
        return [name for name in _readable() if name != "TGA" or path.suffix.lower() == ".tga"]
    try:
        import pillow_heif
    except ImportError:
        raise UserError(
            f"{path} is a HEIC picture, which takes pillow-heif to read: pip install pillow-heif, "
            "or save it as JPEG or PNG"
        ) from None
    pillow_heif.register_heif_opener()
    return ["HEIF"]


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


def is_moving(path: Path) -> bool:
    """Whether the file is a picture of several frames with times, by its content."""
    if kind_of(path) not in MOVING:
        return False
    try:
        with quiet_open(path) as image:
            return bool(getattr(image, "is_animated", False))
    except (*DAMAGED, Image.DecompressionBombError):
        return False


@cache
def _readable() -> list[str]:
    """The formats of our list that this build of Pillow has."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def check_size(path: Path, size: tuple[int, int]) -> None:
    """UserError for a picture of more than MAX_PIXELS, before they are decoded."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise UserError(_too_large(path, f"{width} x {height} pixels, more"))


def _too_large(path: Path, how_large: str) -> str:
    return f"picture {path} has {how_large} than the limit of {MAX_PIXELS // 10**6} megapixels; scale it down"


def image_size(path: PathLike) -> tuple[int, int]:
    """(width, height) in pixels of the picture that `read_image` would give, from its header alone.

    UserError when it is not a picture or holds more than MAX_PIXELS; damage behind the header is not seen.
    """
    path = check_input(path, "picture")
    try:
        with quiet_open(path) as image:
            check_size(path, image.size)
            return image.size[::-1] if _on_its_side(image) else image.size
    except UserError:
        raise
    except (*DAMAGED, Image.DecompressionBombError):
        return read_image(path).size  # rescues it, or says what is wrong


def _on_its_side(image: Image.Image) -> bool:
    """Whether EXIF turns the picture by a quarter; an EXIF block that cannot be read turns nothing."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
    except DAMAGED:
        return False
