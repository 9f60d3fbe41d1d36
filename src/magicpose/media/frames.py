"""Frames from whatever people have: a picture, a folder of pictures, an animation or a video, told by its content."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from magicpose.errors import UserError
from magicpose.media.audio import AudioSource
from magicpose.media.canvas import Size
from magicpose.media.decode import Frame, opened
from magicpose.media.files import PathLike, check_input
from magicpose.media.image import IMAGE_SUFFIXES, is_moving, list_images, read_image
from magicpose.media.kinds import kind_of
from magicpose.media.video_in import check_span, exact_fps, probe, read_video

PICTURE_FPS = 30.0  # of a folder of pictures, unless told otherwise


@dataclass(frozen=True)
class FrameSource:
    """Frames to come, with what is known beforehand. `frames()` starts again from the first each time."""

    path: Path
    files: tuple[Path, ...]  # whose content makes the frames
    size: Size  # (width, height) pixels of every frame
    fps: Fraction
    count: int  # of a video: an estimate until all is decoded
    frames: Callable[[], Iterator[Frame]]  # uint8 RGB [height, width, 3], one at a time
    still: bool = False  # a single picture, to be shown as long as one likes
    audio: AudioSource | None = None


def open_frames(
    source: PathLike,
    fps: float | Fraction | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
) -> FrameSource:
    """The frames of `source`: a picture, a folder of pictures in natural order, an animation or a video.

    What a file is, its content says, not its name. `fps`: see `read_video`; pictures have PICTURE_FPS unless told
    otherwise. `start`, `end`: seconds from the first frame, of what has a clock. Raises UserError for what cannot be
    read, before the first frame where that is possible.
    """
    path = Path(source)
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames must be at least 1, not {max_frames}")
    if not path.is_dir() and not _is_still(path):
        return _from_video(path, fps, start, end, max_frames)
    if start is not None or end is not None:
        raise UserError(f"{path} is no video: --start and --end do not apply to it")
    files = tuple(list_images(path)[:max_frames]) if path.is_dir() else (path,)
    size = read_image(files[0]).size
    rate = exact_fps(PICTURE_FPS if fps is None else fps)
    read = functools.partial(_pictures, files, size)
    return FrameSource(path, files, size, rate, len(files), read, still=not path.is_dir())


def _from_video(
    path: Path, fps: float | Fraction | None, start: float | None, end: float | None, max_frames: int | None
) -> FrameSource:
    info = probe(path, fps)
    rate = info.fps if fps is None else exact_fps(fps)
    begin, stop = check_span(info, start, end)
    duration = Fraction(info.duration)
    seconds = (duration if stop is None else min(stop, duration)) - begin
    count = max(1, round(seconds * rate))
    read = functools.partial(read_video, path, rate if info.has_clock else info.fps, start, end, max_frames)
    audio = AudioSource(path, start or 0.0, end) if info.has_audio else None
    return FrameSource(path, (path,), info.size, rate, min(count, max_frames or count), read, audio=audio)


def _is_still(path: Path) -> bool:
    """Whether the file at `path` is a single picture, or meant to be one where it is nothing that can be read."""
    check_input(path, "picture" if path.suffix.lower() in IMAGE_SUFFIXES else "video")
    if kind_of(path) is not None and path.suffix.lower() not in _STREAMS:
        return not is_moving(path)
    return path.suffix.lower() in _UNMARKED or (path.suffix.lower() in IMAGE_SUFFIXES and not _is_video(path))


_UNMARKED = {".tga"}  # pictures that carry no mark to know them by
_STREAMS = {".mjpeg", ".mjpg"}  # JPEG pictures one after another


def _is_video(path: Path) -> bool:
    try:
        with opened(path):
            return True
    except UserError:
        return False


def _pictures(files: Sequence[Path], size: Size) -> Iterator[Frame]:
    for path in files:
        image = read_image(path)
        if image.size != size:
            raise UserError(f"{path} is {image.size[0]}x{image.size[1]}, the pictures before it {size[0]}x{size[1]}")
        yield np.asarray(image)
