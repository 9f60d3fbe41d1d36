"""What a file is, by its first bytes: the name it carries is only a habit."""

from __future__ import annotations

from pathlib import Path

_MARKS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG2000",
    b"\xffO\xffQ": "JPEG2000",
    b"\0\0\1\0": "ICO",
    **{b"P%d" % n: "PPM" for n in range(1, 7)},
}
_BRANDS = {  # of ISO media files that are pictures
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"},
}


def kind_of(path: Path) -> str | None:
    """The picture format that the first bytes of a file name, None for all else."""
    with path.open("rb") as file:
        begin = file.read(64)
    if begin[4:8] == b"ftyp":
        brands = {begin[k : k + 4] for k in (8, *range(16, min(len(begin), int.from_bytes(begin[:4], "big")), 4))}
        return next((kind for kind, names in _BRANDS.items() if brands & names), None)
    if begin.startswith(b"RIFF"):
        return "WEBP" if begin[8:12] == b"WEBP" else None
    return next((kind for mark, kind in _MARKS.items() if begin.startswith(mark)), None)
