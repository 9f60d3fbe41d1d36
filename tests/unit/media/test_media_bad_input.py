"""What people hand in by mistake, and the one line each gets: the table in docs/media.md is made here.

`python tests/unit/media/test_media_bad_input.py` prints the rows (with `tests` on PYTHONPATH).
"""

from __future__ import annotations

import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from magicpose import media
from magicpose.errors import UserError
from magicpose.media.files import REFUSALS
from media_clips import beeps, make_sound_only, make_video, numbered

DOCS = Path(__file__).parents[3] / "docs" / "media.md"


def read_picture(path: Path) -> str:
    image = media.read_image(path)
    return f"accepted: {image.width} x {image.height}"


def read_folder(path: Path) -> str:
    return f"accepted: {len(list(media.read_image_folder(path)))} pictures"


def read_clip(path: Path, **settings: float) -> str:
    frames = list(media.read_video(path, **settings))  # type: ignore[arg-type]
    height, width = frames[0].shape[:2]
    return f"accepted: {len(frames)} x {width} x {height} at {float(media.probe(path).fps):g} fps"


def write_clip(path: Path) -> str:
    media.write_video(path, [numbered(0)], 10)
    return "accepted"


def clip(name: str, frames: int = 20, **settings: object) -> Path:
    return make_video(Path(name), map(numbered, range(frames)), **settings)  # type: ignore[arg-type]


def file(name: str, content: bytes) -> Path:
    Path(name).write_bytes(content)
    return Path(name)


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    return file(f"bad_{path.name}", change(path.read_bytes()))


def picture(name: str, mode: str = "RGB", **settings: object) -> Path:
    Image.fromarray(numbered(3)).convert(mode).save(name, **settings)  # type: ignore[arg-type]
    return Path(name)


def deep_picture() -> Path:
    Image.fromarray(np.full((48, 64), 40000, np.uint16)).save("deep.png")
    return Path("deep.png")


def huge_picture() -> Path:
    content = bytearray(picture("huge.png").read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return file("huge.png", bytes(content))


def turned_picture() -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("turned.jpg", exif=exif)


def video_without_frames() -> Path:
    with av.open("zero.mp4", "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()
    return Path("zero.mp4")


def noise(content: bytes) -> bytes:
    """40 bytes of the middle third inverted."""
    spoilt = bytearray(content)
    for place in np.random.default_rng(0).integers(len(spoilt) // 3, 2 * len(spoilt) // 3, 40):
        spoilt[place] ^= 0xFF
    return bytes(spoilt)


def folder(name: str, *files: str) -> Path:
    Path(name).mkdir()
    for entry in files:
        (Path(name) / entry).write_text("mine")
    return Path(name)


TURNED = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
UNEVEN = [0, 0.1, 0.2, 0.7, 0.75, 0.8, 1.6, 1.7, 1.75, 1.8]
FAST = {"movflags": "faststart"}

CASES: dict[str, Callable[[], str]] = {
    "picture: no such file": lambda: read_picture(Path("me.png")),
    "picture: empty file": lambda: read_picture(file("me.png", b"")),
    "picture: a folder": lambda: read_picture(folder("photos")),
    "picture: something else": lambda: read_picture(file("me.png", b"hello " * 99)),
    "picture: cut short": lambda: read_picture(changed(picture("me.jpg"), lambda whole: whole[: len(whole) // 2])),
    "picture: PostScript": lambda: read_picture(file("me.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
    "picture: enormous (decompression bomb)": lambda: read_picture(huge_picture()),
    "picture: CMYK": lambda: read_picture(picture("print.jpg", "CMYK")),
    "picture: 16 bit": lambda: read_picture(deep_picture()),
    "picture: transparent": lambda: read_picture(picture("alpha.png", "RGBA")),
    "picture: turned by EXIF": lambda: read_picture(turned_picture()),
    "folder: not there": lambda: read_folder(Path("frames")),
    "folder: no pictures in it": lambda: read_folder(folder("frames", "notes.txt")),
    "video: no such file": lambda: read_clip(Path("dance.mp4")),
    "video: empty file": lambda: read_clip(file("dance.mp4", b"")),
    "video: no frames in it (zero length)": lambda: read_clip(video_without_frames()),
    "video: something else": lambda: read_clip(file("dance.mp4", b"hello " * 999)),
    "video: text": lambda: read_clip(file("dance.txt", b"hello\n" * 99)),
    "video: only sound": lambda: read_clip(make_sound_only(Path("voice.m4a"))),
    "video: cut short before its index": lambda: read_clip(
        changed(clip("dance.mp4"), lambda whole: whole[: len(whole) // 2])
    ),
    "video: cut short after its index": lambda: read_clip(
        changed(clip("dance.mp4", 60, options=FAST), lambda whole: whole[: len(whole) * 3 // 4])
    ),
    "video: damaged in the middle": lambda: read_clip(changed(clip("dance.ts", 60), noise)),
    "video: variable frame rate": lambda: read_clip(clip("phone.mp4", 10, times=UNEVEN)),
    "video: portrait by rotation": lambda: read_clip(clip("phone.mp4", matrix=TURNED)),
    "video: wide pixels": lambda: read_clip(clip("dv.mp4", pixel_shape=Fraction(12, 11))),
    "video: 10 bit": lambda: read_clip(clip("hdr.mp4", codec="libx264", pix_fmt="yuv420p10le")),
    "video: one frame": lambda: read_clip(clip("one.mp4", 1)),
    "video: `--start` past the end": lambda: read_clip(clip("dance.mp4"), start=9),
    "video: `--end` before `--start`": lambda: read_clip(clip("dance.mp4"), start=1, end=0.5),
    "video: `--fps` out of range": lambda: read_clip(clip("dance.mp4"), fps=0),
    "`--size` that is none": lambda: str(media.parse_size("large")),
    "`--size` that is no multiple of 8": lambda: str(media.Canvas.for_reference((9, 9), (500, 700))),
    "output: exists": lambda: write_clip(file("out.mp4", b"mine")),
    "output: unknown format": lambda: write_clip(Path("out.mov")),
    "output: below a file": lambda: write_clip(file("notes.txt", b"mine") / "out.mp4"),
    "output: a sound source for a GIF": lambda: gif_with_sound(),
}


def gif_with_sound() -> str:
    source = clip("dance.mp4", sound=beeps(2, [1]))
    media.write_video("out.gif", [numbered(0)], 10, audio=media.AudioSource(source))
    return "accepted"


def line(case: Callable[[], str]) -> str:
    """What the user reads: warnings and the outcome, or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = case()
        except UserError as error:
            outcome = str(error)
    said = [str(warning.message) for warning in caught if warning.category is media.MediaWarning]
    return "; ".join([*said, outcome])


def row(name: str) -> str:
    return f"| {name} | {line(CASES[name])} |"


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="how much of a damaged file decodes is FFmpeg's")
@pytest.mark.parametrize("name", CASES)
def test_each_gets_the_line_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    made = row(name)
    assert "\n" not in made
    assert made in DOCS.read_text().splitlines()


def test_the_docs_list_every_refusal_of_the_system() -> None:
    text = DOCS.read_text()
    assert [why for why in REFUSALS.values() if f"cannot write out.mp4: {why}" not in text] == []


if __name__ == "__main__":
    for case in CASES:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            print(row(case))
    for why in dict.fromkeys(REFUSALS.values()):
        print(f"| output: refused by the system | cannot write out.mp4: {why} |")
