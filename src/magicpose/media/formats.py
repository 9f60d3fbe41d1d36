"""What can be written, by suffix: one row per format."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import av

from magicpose.errors import UserError
from magicpose.media.files import MediaWarning


@dataclass(frozen=True)
class Encoder:
    """One way to code the pictures (or the sound) of a container."""

    name: str
    pix_fmt: str = ""
    options: dict[str, str] = field(default_factory=dict)
    rates: tuple[int, ...] = ()  # of sound, per second; the first is taken when the source has none of them


@dataclass(frozen=True)
class Container:
    """A video file written with PyAV. `encoders` are in order of preference; `sound_copied` need no re-coding."""

    name: str
    encoders: tuple[Encoder, ...]
    options: dict[str, str] = field(default_factory=dict)
    sound: Encoder | None = None
    sound_copied: frozenset[str] = frozenset()


_MP4 = Container(
    "mp4",
    (
        Encoder("libx264", "yuv420p", {"crf": "17", "preset": "medium"}),
        Encoder("libopenh264", "yuv420p", {"b": "6M"}),
        Encoder("mpeg4", "yuv420p", {"qscale": "2", "flags": "+qscale", "global_quality": "236"}),
    ),
    {"movflags": "faststart"},
    Encoder("aac", options={"b": "192k"}, rates=(48000, 44100, 32000, 24000, 22050, 16000)),
    frozenset({"aac"}),
)
_WEBM = Container(
    "webm",
    (
        Encoder("libvpx-vp9", "yuv420p", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}),
        Encoder("libvpx", "yuv420p", {"crf": "8", "b": "6M"}),
    ),
    {},
    Encoder("libopus", options={"b": "128k"}, rates=(48000,)),
    frozenset({"opus", "vorbis"}),
)
_WEBP = Container("webp", (Encoder("libwebp_anim", "bgra", {"quality": "90"}),), {"loop": "0"})


@dataclass(frozen=True)
class Gif:
    """An animated GIF written with Pillow: 256 colours, time in hundredths of a second."""


@dataclass(frozen=True)
class Folder:
    """A folder of PNG files, one per frame: nothing is lost."""


Format = Container | Gif | Folder

FORMATS: dict[str, Format] = {".mp4": _MP4, ".webm": _WEBM, ".webp": _WEBP, ".gif": Gif(), "": Folder()}


def format_of(path: Path) -> Format:
    """The format that the suffix of `path` asks for; no suffix means a folder of PNG files."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(suffix for suffix in FORMATS if suffix)
        raise UserError(f"cannot write {path}: use one of {known}, or no suffix for a folder of PNG files")
    return found


def available(encoders: tuple[Encoder, ...]) -> Encoder:
    """The first of `encoders` that this build of PyAV has; says so when it is not the first choice."""
    for encoder in encoders:
        try:
            av.codec.Codec(encoder.name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        if encoder is not encoders[0]:
            warnings.warn(
                f"PyAV was built without {encoders[0].name}; {encoder.name} is used", MediaWarning, stacklevel=2
            )
        return encoder
    names = ", ".join(encoder.name for encoder in encoders)
    raise UserError(f"PyAV was built without any of {names}; install PyAV from PyPI or choose a .gif")
