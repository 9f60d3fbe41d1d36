"""How a file was made, carried inside it: one JSON object, in the place each format has for remarks.

mp4 and webm: the container's comment; webp: EXIF image description; gif: comment block; png: text chunk.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
from PIL import Image, PngImagePlugin

from magicpose.media.files import PathLike, check_input, is_frame_name, open_container

_KEY = "magicpose"  # the JSON is {"magicpose": {...}}; a PNG text chunk has it as its keyword as well
_IMAGE_DESCRIPTION = 0x010E  # EXIF


def to_json(metadata: Mapping[str, Any] | None) -> str:
    """The remark for `metadata`, pure ASCII."""
    return json.dumps({_KEY: dict(metadata or {})}, allow_nan=False)


def read_metadata(path: PathLike) -> dict[str, Any] | None:
    """What `VideoWriter` or `write_image` was told about `path` (a folder: about its first frame).

    None when the file carries no remark of ours.
    """
    path = Path(path)
    if path.is_dir():
        frames = sorted(entry for entry in path.iterdir() if is_frame_name(entry.name))
        return read_metadata(frames[0]) if frames else None
    path = check_input(path, "file")
    for remark in (*_picture_remarks(path), *_container_remarks(path)):
        try:
            found = json.loads(remark)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get(_KEY), dict):
            return found[_KEY]
    return None


def _picture_remarks(path: Path) -> list[str | bytes]:
    try:
        with Image.open(path, formats=("PNG", "GIF", "WEBP", "JPEG")) as image:
            remarks = [image.info.get(_KEY), image.info.get("comment"), image.getexif().get(_IMAGE_DESCRIPTION)]
    except (OSError, SyntaxError, ValueError, struct.error):
        return []
    return [remark for remark in remarks if isinstance(remark, str | bytes)]


def _container_remarks(path: Path) -> list[str]:
    try:
        with open_container(path) as container:
            return [text for name, text in container.metadata.items() if name.lower() == "comment"]
    except av.FFmpegError:
        return []


def png_text(remark: str) -> PngImagePlugin.PngInfo:
    """The chunk for `Image.save(pnginfo=...)`."""
    info = PngImagePlugin.PngInfo()
    info.add_text(_KEY, remark)
    return info


def exif(remark: str) -> Image.Exif:
    """The block for `Image.save(exif=...)`."""
    block = Image.Exif()
    block[_IMAGE_DESCRIPTION] = remark
    return block


def webp_with_metadata(data: bytes, size: tuple[int, int], remark: str) -> bytes:
    """A WebP file of `size` with the remark as its EXIF chunk (RIFF: 4-letter name, length, body, even)."""
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    body = exif(remark).tobytes().removeprefix(b"Exif\0\0")
    chunks = data[12:] + _riff_chunk(b"EXIF", body)
    if not chunks.startswith(b"VP8X"):  # a single picture has no extended header yet
        corner = b"".join((side - 1).to_bytes(3, "little") for side in size)
        chunks = _riff_chunk(b"VP8X", bytes(4) + corner) + chunks
    flags = chunks[8] | 0x08  # "there is an EXIF chunk"
    return _riff_chunk(b"RIFF", b"WEBP" + chunks[:8] + bytes([flags]) + chunks[9:])


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
