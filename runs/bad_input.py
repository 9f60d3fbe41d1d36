"""What `magicpose` says to input that is bad, odd or hostile: makes docs/bad_input.md.

    PYTHONPATH=tests python runs/bad_input.py > docs/bad_input.md

Every case is made for real in an empty folder and given to the command line, in this process; what is printed goes
into the table as it is. Cases that are accepted are fitted with `retarget`, which reads and detects as `animate`
does and needs no model. The people are synthetic.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import struct
import subprocess
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.cli import main
from magicpose.pose.keypoints import PoseTrack
from media_clips import beeps, make_sound_only, make_video
from synthetic_people.clip import render_clip

Frame = NDArray[np.uint8]
HEADER = """\
# Bad, odd and hostile input, and what is printed

{today}, `PYTHONPATH=tests python runs/bad_input.py`: each case was made for real and given to the command line. The
table shows every line that is printed (`note:` are warnings) and the exit code. Code 2 means one line that says
what is wrong, no traceback, nothing written. `me.png` and `dance.mp4` are good files unless the case says otherwise.
More cases of the files themselves, each held by a test: [media](media.md).

| case | command (`magicpose ...`) | printed | exit |
|---|---|---|---|"""
TURNED = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
UNEVEN = [0, 0.1, 0.2, 0.7, 0.75, 0.8, 1.6, 1.7, 1.75, 1.8, 1.9, 2.0]


@cache
def person(seed: int = 10_500_000) -> tuple[NDArray[np.uint8], PoseTrack]:
    """Twelve frames of somebody from the hips up, 256 px, and their keypoints."""
    clip = render_clip(seed, 12, 256, "half")
    return clip.frames, clip.track


def video(name: str, frames: Iterable[Frame] | None = None, **settings: Any) -> None:
    make_video(Path(name), person()[0] if frames is None else frames, **settings)


def photo(name: str = "me.png", mode: str = "RGB") -> None:
    Image.fromarray(person(10_500_002)[0][0]).convert(mode).save(name)


def deep_photo() -> None:
    grey = np.asarray(Image.fromarray(person()[0][0]).convert("L"), np.uint16)
    Image.fromarray(grey * np.uint16(257)).save("me.png")


def sideways_photo() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(person()[0][0])).save("me.jpg", exif=exif)


def huge_photo() -> None:
    photo("me.png")
    content = bytearray(Path("me.png").read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    Path("me.png").write_bytes(content)


def two(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([frames, person(10_500_002)[0][: len(frames)]], axis=2)


def lying() -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(person()[0], 1, (1, 2)))


def leaving() -> NDArray[np.uint8]:
    """The first frames show somebody, the rest an empty room."""
    frames = person()[0].copy()
    frames[4:] = frames[4:].mean((0, 1, 2), keepdims=True).astype(np.uint8)
    return frames


def zero_length() -> None:
    with av.open("dance.mp4", "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        output.start_encoding()


def cut(name: str, share: float) -> None:
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(share * len(content))])


def document(change: Callable[[str], str]) -> None:
    person()[1].save("dance.pose.json")
    Path("dance.pose.json").write_text(change(Path("dance.pose.json").read_text()))


def edited(change: Callable[[dict], object]) -> Callable[[str], str]:  # type: ignore[type-arg]
    def act(text: str) -> str:
        whole = json.loads(text)
        change(whole)
        return json.dumps(whole)

    return act


def first_point(whole: dict, value: list[float]) -> None:  # type: ignore[type-arg]
    whole["frames"][0]["people"][0]["body"][0] = value


def enormous_document() -> None:
    """10^9 points, about 10 GB: a sparse file of that length, its beginning true."""
    Path("dance.pose.json").write_text('{"format": "magicpose.pose", "version": 1, "frames": [')
    os.truncate("dance.pose.json", 10**10)


def many_points() -> None:
    """One part with a million points: small enough to be read."""
    document(edited(lambda whole: whole["frames"][0]["people"][0].update(body=[[0, 0, 1]] * 10**6)))


def locked_folder() -> None:
    Path("locked").mkdir()
    if os.geteuid() == 0:  # root may write anywhere but here
        subprocess.run(["chattr", "+i", "locked"], check=True)
    else:
        Path("locked").chmod(0o555)


def full_disk(name: str) -> None:
    """A file system of 8 KiB under `name`; as root only."""
    Path(name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", name], check=True)


FIT = "retarget me.png dance.mp4 -o out.pose.json"
MAKE = "animate me.png dance.mp4 -o out.mp4"
READ = "animate me.png dance.pose.json -o out.mp4"
# what is wrong: (how it is made beside a good photo and a good video, the command)
CASES: dict[str, tuple[Callable[[], object], str]] = {
    "photo: nobody in it": (lambda: Image.new("RGB", (256, 256), "grey").save("me.png"), MAKE),
    "photo: two people": (lambda: Image.fromarray(two(person()[0][:1])[0]).save("me.png"), FIT),
    "photo: CMYK": (lambda: photo("me.jpg", "CMYK"), FIT.replace("me.png", "me.jpg")),
    "photo: 16 bit": (deep_photo, FIT),
    "photo: transparent": (lambda: photo("me.png", "RGBA"), FIT),
    "photo: turned by EXIF": (sideways_photo, FIT.replace("me.png", "me.jpg")),
    "photo: enormous (decompression bomb)": (huge_photo, MAKE),
    "photo: empty file": (lambda: Path("me.png").write_bytes(b""), MAKE),
    "photo: cut short": (lambda: cut("me.png", 0.5), MAKE),
    "photo: something else": (lambda: Path("me.png").write_text("hello"), MAKE),
    "video: nobody in it": (lambda: video("dance.mp4", np.full((8, 256, 256, 3), 90, np.uint8)), MAKE),
    "video: two people": (lambda: video("dance.mp4", two(person()[0])), FIT),
    "video: two people, `--person 1`": (lambda: video("dance.mp4", two(person()[0])), FIT + " --person 1"),
    "video: two people, `--person 5`": (lambda: video("dance.mp4", two(person()[0])), FIT + " --person 5"),
    "video: the person leaves the frame": (lambda: video("dance.mp4", leaving()), FIT),
    "video: corrupt": (lambda: Path("dance.mp4").write_bytes(b"hello " * 999), MAKE),
    "video: cut short": (lambda: cut("dance.mp4", 0.5), MAKE),
    "video: empty file": (lambda: Path("dance.mp4").write_bytes(b""), MAKE),
    "video: zero length (no frames)": (zero_length, MAKE),
    "video: variable frame rate": (lambda: video("dance.mp4", times=UNEVEN), FIT),
    "video: rotated by its metadata": (lambda: video("dance.mp4", lying(), matrix=TURNED), FIT),
    "video: portrait": (lambda: video("dance.mp4", person()[0][:, :, 58:198]), FIT),
    "video: odd size": (lambda: video("dance.mp4", person()[0][:, :251, :253], pix_fmt="yuv444p"), FIT),
    "video: 10 bit": (lambda: video("dance.mp4", pix_fmt="yuv420p10le"), FIT),
    "video: only sound": (lambda: make_sound_only(Path("dance.mp4")), MAKE),
    "video: with sound": (lambda: video("dance.mp4", sound=beeps(1.2, [0.5])), FIT),
    "video: one frame": (lambda: video("dance.mp4", person()[0][:1]), FIT),
    "document: malformed": (lambda: document(lambda text: text[:-40]), READ),
    "document: NaN": (lambda: document(edited(lambda w: first_point(w, [float("nan"), 0, 1]))), READ),
    "document: infinite": (lambda: document(edited(lambda w: first_point(w, [1e308 * 10, 0, 1]))), READ),
    "document: 10^400": (lambda: document(lambda text: text.replace('"fps": 8.0', '"fps": 1e400')), READ),
    "document: far away": (lambda: document(edited(lambda w: first_point(w, [1e9, 0, 1]))), READ),
    "document: 10^9 points (10 GB)": (enormous_document, READ),
    "document: 10^6 points in one part": (many_points, READ),
    "document: nested 10^5 deep": (lambda: Path("dance.pose.json").write_text("[" * 10**5), READ),
    "document: another version": (lambda: document(edited(lambda w: w.update(version=99))), READ),
    "output: folder is read-only": (locked_folder, "animate me.png dance.mp4 -o locked/out.mp4"),
    "output: disk full": (lambda: full_disk("full"), FIT.replace("out.", "full/out.")),
    "output: exists": (lambda: Path("out.mp4").write_text("mine"), MAKE),
}  # fmt: skip


def said(command: str) -> tuple[int, list[str]]:
    """Exit code and printed lines of a command, run here."""
    printed = io.StringIO()
    code: object = 0
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed), warnings.catch_warnings():
        try:
            main(command.split())
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int), code
    return code, printed.getvalue().splitlines()


def row(name: str) -> str:
    make, command = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["MAGICPOSE_CACHE"] = f"{folder}/cache"
        photo()
        video("dance.mp4")
        try:
            make()
            code, lines = said(command)
        except subprocess.CalledProcessError as error:
            return f"| {name} | `{command}` | not made here: {error.cmd[0]} was refused | |"
        finally:
            os.chdir("/")
            if Path(folder, "locked").exists() and os.geteuid() == 0:
                subprocess.run(["chattr", "-i", f"{folder}/locked"], check=False)
            if Path(folder, "full").is_mount():
                subprocess.run(["umount", f"{folder}/full"], check=True)
    text = "<br>".join(line.replace(f"magicpose {command.split()[0]}: ", "").replace("|", "\\|") for line in lines)
    return f"| {name} | `{command}` | {text} | {code} |"


def run() -> None:
    print(HEADER.format(today=datetime.date.today()))
    for name in CASES:
        print(row(name), flush=True)


if __name__ == "__main__":
    run()
