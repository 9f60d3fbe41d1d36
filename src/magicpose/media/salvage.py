"""Pictures whose pixels are whole though something beside them is not: remarks, profiles, check sums, the end marker.

Nothing here invents pixels: a file in which some are missing gives nothing.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MAX_BYTES = 1 << 29  # of a file that is looked into
MAX_PROFILE = 16 << 20  # bytes of a colour profile

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_KEPT = {b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf"}  # PNG chunks beside the critical ones that change the picture
_WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP")
_IEND = b"\0\0\0\0IEND\xaeB`\x82"
_SOS, _EOI, _DRI_FIRST, _DRI_LAST = 0xDA, 0xD9, 0xD0, 0xD7
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF markers
_REMARKS = {*range(0xE0, 0xF0), 0xFE}  # APP0..APP15 and comments
_ADOBE, _ADOBE_SIZE = 0xEE, 16  # marker, and bytes of the one remark that tells how colours are coded


@dataclass(frozen=True)
class Attempt:
    """A file to read in place of the one that could not be, and what to tell the user if it can."""

    data: bytes
    note: str
    profile: bytes | None = None  # a colour profile too large for the reader


def attempts(path: Path) -> Iterator[Attempt]:
    """What may be read in place of the damaged picture at `path`, the most faithful first."""
    if path.stat().st_size > MAX_BYTES:
        return
    data = path.read_bytes()
    if data.startswith(_PNG):
        yield _png_pixels(data, _KEPT)
        yield _png_pixels(data, {b"tRNS"})
    elif data.startswith(_JPEG):
        yield from _jpeg_attempts(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP" and b"ANMF" not in data:
        yield _webp_pixels(data)


def _png_pixels(data: bytes, kept_names: set[bytes]) -> Attempt:
    """The chunks that make the picture (PNG 1.2, chapter 3); others, and those with a wrong check sum, are left out."""
    kept, profile = [_PNG], None
    place = len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        whole = data[place : place + 12 + length]
        place += 12 + length
        critical = not name[0] & 0x20
        good = whole[-4:] == struct.pack(">I", zlib.crc32(name + body)) and len(body) == length
        if name == b"IEND":
            break
        if critical or (name in kept_names and good):
            kept.append(whole)
        elif name == b"iCCP" and good:
            profile = _profile(body)
    return Attempt(b"".join([*kept, _IEND]), "has damaged or oversized remarks, which were ignored", profile)


def _profile(body: bytes) -> bytes | None:
    """The colour profile of an iCCP chunk (name, 0, method, zlib stream), at most MAX_PROFILE long."""
    _, _, packed = body.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], MAX_PROFILE)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def _webp_pixels(data: bytes) -> Attempt:
    """The whole chunks of a WebP file (RFC 9649): one that lost the end of its remarks keeps its pixels."""
    chunks, place = [], 12
    while place + 8 <= len(data):
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        if end <= len(data) and data[place : place + 4] in _WEBP_PIXELS:
            chunks.append(data[place:end] + b"\0" * (end % 2))
        place = end + end % 2
    body = b"WEBP" + b"".join(chunks)
    return Attempt(b"RIFF" + struct.pack("<I", len(body)) + body, "has damaged remarks, which were ignored")


def _jpeg_attempts(data: bytes) -> Iterator[Attempt]:
    layout = _jpeg_layout(data)
    remarks = "has damaged remarks, which were ignored"
    bare = b"".join(
        data[begin:end]
        for marker, begin, end in layout
        if marker not in _REMARKS or (marker == _ADOBE and end - begin >= _ADOBE_SIZE)
    )
    if layout and layout[-1][0] == _EOI:
        yield Attempt(bare, remarks)
    elif _scans_are_complete(data, layout):
        for kept, note in ((data, "lacks its end marker; all of its pixels are there"), (bare, remarks)):
            variants = [_digest(kept.rstrip(b"\xff") + tail + b"\xff\xd9") for tail in _TAILS]
            if variants[0] is not None and len(set(variants)) == 1:
                yield Attempt(kept.rstrip(b"\xff") + b"\xff\xd9", note)


# What follows the last bytes changes the pixels where, and only where, coded ones are missing. With restart markers
# the decoder waits for the right one of eight.
_TAILS = (
    b"",
    *(
        pattern * 4096 + b"".join(bytes([0xFF, _DRI_FIRST + k % 8]) + pattern * 64 for k in range(16))
        for pattern in (b"\x55", b"\xa3")
    ),
)


def _digest(data: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return hashlib.sha256(image.tobytes()).digest()
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return None


def _jpeg_layout(data: bytes) -> list[tuple[int, int, int]]:
    """(marker, first byte, byte after the last) of the parts of a JPEG file; a scan includes its coded data.

    Source: ITU-T T.81, B.1.
    """
    layout, place = [], 0
    while place + 2 <= len(data) and data[place] == 0xFF:
        begin, marker = place, data[place + 1]
        place += 2
        if marker not in (0xD8, _EOI, 0x01):
            if place + 2 > len(data):
                break
            place += int.from_bytes(data[place : place + 2], "big")
        if marker == _SOS:
            place = _end_of_coded(data, place)
        layout.append((marker, begin, min(place, len(data))))
        if marker == _EOI:
            break
    return layout


def _end_of_coded(data: bytes, place: int) -> int:
    """Where the next marker stands that is neither a restart nor a coded 0xFF."""
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        follows = data[place + 1]
        if follows != 0xFF and follows != 0 and not _DRI_FIRST <= follows <= _DRI_LAST:
            return place
        place += 1 if follows == 0xFF else 2
    return len(data)


def _scans_are_complete(data: bytes, layout: list[tuple[int, int, int]]) -> bool:
    """Whether every coefficient of every component was sent to its last bit, if the last scan is whole."""
    missing: set[tuple[int, int]] = set()
    for marker, begin, _ in layout:
        if marker in _FRAMES:
            count = data[begin + 9]
            missing = {(data[begin + 10 + 3 * n], k) for n in range(count) for k in range(64)}
        elif marker == _SOS:
            count = data[begin + 4]
            if begin + 8 + 2 * count > len(data):
                return False
            first, last, bits = data[begin + 5 + 2 * count : begin + 8 + 2 * count]
            if not bits & 0x0F:
                found = {data[begin + 5 + 2 * n] for n in range(count)}
                missing -= {(part, k) for part in found for k in range(first, last + 1)}
    return bool(layout) and not missing
