"""Video in: upright RGB frames at a constant rate, one at a time, from whatever people have."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, islice, takewhile
from pathlib import Path

import av

from magicpose.errors import UserError
from magicpose.media import animated
from magicpose.media.animated import Show
from magicpose.media.clock import LONGEST_HOLE, Timeline, has_clock, timeline
from magicpose.media.decode import (
    Frame,
    decoded,
    displayed_size,
    opened,
    progressive,
    sound_stream,
    stated_rate,
)
from magicpose.media.files import MediaWarning, PathLike, check_input, stamp_of
from magicpose.media.screen import Screen

MAX_FPS = 240
_USUAL_FPS = [Fraction(n, 1001) for n in (24000, 30000, 60000, 120000)] + [
    Fraction(n) for n in (1, 2, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 100, 120, 240)
]
_USUAL_WITHOUT_CLOCK = Fraction(25)  # as FFmpeg takes it
_CLOCK = Fraction(1, 1000)  # the coarsest usual time stamps (webm): instants closer than this are the same
_SEEK_FROM = 3  # seconds; before that, decoding from the start is as fast


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video after its header and first frame."""

    path: Path
    size: tuple[int, int]  # (width, height) as displayed: upright, pixels made square
    fps: Fraction  # the average rate, and what `read_video` gives unless told otherwise
    duration: float  # seconds
    frames: int  # duration x fps: an estimate until all is decoded
    has_audio: bool
    codec: str
    start: Fraction  # time stamp of the first frame in seconds; all other times count from it
    has_clock: bool = True  # False for a bare stream of pictures, whose rate must be told
    jumps: tuple[Fraction, ...] = ()  # seconds by which the clock is moved each time that it starts again


def exact_fps(fps: float | Fraction) -> Fraction:
    """`fps` as a fraction, 29.97 and its like as the 30000/1001 they stand for; UserError outside (0, 240]."""
    if not (math.isfinite(fps) and 0 < fps <= MAX_FPS):
        raise UserError(f"fps must be above 0 and at most {MAX_FPS}, not {fps}")
    value = Fraction(fps)
    nearest = min(_USUAL_FPS, key=lambda usual: abs(usual - value))
    return nearest if abs(nearest - value) <= value / 5000 else max(value, _CLOCK).limit_denominator(1001)


def usual_fps(pictures: int, seconds: Fraction, tick: Fraction) -> Fraction:
    """The rate of `pictures` in `seconds` that a file can state to one `tick` only: a usual one where that fits."""
    exact = exact_fps(min(pictures / seconds, Fraction(MAX_FPS)))
    nearest = min(_USUAL_FPS, key=lambda usual: abs(usual - exact))
    return nearest if abs(pictures / nearest - seconds) <= tick else exact


def probe(path: PathLike, fps: float | Fraction | None = None) -> VideoInfo:
    """Size, rate, length and sound of a video; UserError when it is none or nothing in it can be decoded.

    `fps` is the rate of a file that states none (a bare stream such as `.h264`); without it there is a MediaWarning.
    """
    path = check_input(path, "video")
    moving = animated.timing(path)
    if moving is not None:
        return _animation(path, moving)
    with opened(path) as (container, stream):
        known = has_clock(container)
        stated = stated_rate(stream) if known else _told_rate(path, stream, fps)
        start, frame, _ = next(decoded(path, container, stream, stated))
        size, codec = displayed_size(frame, stream), stream.codec_context.name
        has_audio = sound_stream(container) is not None
    found = _timeline(path, stamp_of(path), start, 1 / stated)
    length = found.end - start
    if length > 0 and abs(stated * length - found.pictures) > 1:  # the stated rate is a guess from the first frames
        stated = found.pictures / length
    rate = exact_fps(min(stated, Fraction(MAX_FPS)))
    duration = max(length, 1 / rate)
    frames = max(1, round(duration * rate))
    return VideoInfo(path, size, rate, float(duration), frames, has_audio, codec, start, known, found.jumps)


def _animation(path: Path, moving: animated.Timing) -> VideoInfo:
    rate = usual_fps(len(moving.lengths), moving.duration, moving.tick)
    frames = max(1, round(moving.duration * rate))
    codec = moving.format.lower()
    return VideoInfo(path, moving.size, rate, float(moving.duration), frames, False, codec, Fraction(0))


def _told_rate(path: Path, stream: av.VideoStream, fps: float | Fraction | None) -> Fraction:
    """The rate of a stream without a clock: as the user says, else as its header does, else a guess."""
    if fps is not None:
        return exact_fps(fps)
    rate = stream.codec_context.framerate or _USUAL_WITHOUT_CLOCK
    warnings.warn(
        f"{path} has no clock: {float(rate):g} frames per second are taken; pass --fps if that is not its rate",
        MediaWarning,
        stacklevel=3,
    )
    return exact_fps(min(rate, Fraction(MAX_FPS)))


@functools.lru_cache(maxsize=16)
def _timeline(path: Path, _stamp: tuple[int, int], start: Fraction, step: Fraction) -> Timeline:
    """Kept, because one run asks for it several times and all of the file has to be read."""
    with opened(path) as (container, stream):
        return timeline(container, stream, start, step)


def read_video(
    path: PathLike,
    fps: float | Fraction | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
) -> Iterator[Frame]:
    """The frames [height, width, 3] of a video or animation at a constant rate (its average, or `fps`), as displayed.

    Frame k is the one shown at `start` + k / fps; `start` and `end` are seconds from the first frame. One frame
    is held at a time. Complains (UserError) when called, not at the first frame. Damaged parts are left out
    with a MediaWarning.
    """
    info = probe(path, fps)
    rate = info.fps if fps is None else exact_fps(fps)
    begin, stop = check_span(info, start, end)
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames must be at least 1, not {max_frames}")
    instants = takewhile(
        lambda instant: stop is None or instant + _CLOCK < stop,
        (begin + k / rate for k in islice(count(), max_frames)),
    )
    return _sampled(info, instants, begin)


def check_span(info: VideoInfo, start: float | None, end: float | None) -> tuple[Fraction, Fraction | None]:
    """`start` and `end` in seconds as exact times inside the video; UserError when nothing lies between."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UserError(f"{name} must be a time in seconds from 0 on, not {value}")
    if start is not None and start >= info.duration:
        raise UserError(f"start {start:g} s lies past the end of {info.path}, which lasts {info.duration:.2f} s")
    if end is not None and end <= (start or 0):
        raise UserError(f"end {end:g} s must come after start {start or 0:g} s")
    return Fraction(start or 0), None if end is None else Fraction(end)


def _sampled(info: VideoInfo, instants: Iterator[Fraction], begin: Fraction) -> Iterator[Frame]:
    """The frame shown at each of the rising `instants`, at least one."""
    instant = next(instants, None)
    sampled = False
    for show, until in _shown(info, begin):
        while instant is not None and instant < until:
            yield show()
            sampled = True
            instant = next(instants, None)
        if instant is None:
            return
    if not sampled:
        yield show()


def _shown(info: VideoInfo, begin: Fraction) -> Iterator[tuple[Show, Fraction]]:
    """(picture, seconds until which it is shown) from the one shown at `begin` on, or somewhat before.

    Each time is one tick of the file's clock early, so that rounded time stamps do not delay a picture.
    """
    moving = animated.timing(info.path)
    if moving is not None:
        return ((show, until - max(moving.tick, _CLOCK)) for show, until in animated.shown(info.path, moving))
    return _shown_by_decoder(info, begin)


def _shown_by_decoder(info: VideoInfo, begin: Fraction) -> Iterator[tuple[Show, Fraction]]:
    screen = Screen(info.path, info.size)
    with opened(info.path) as (container, stream):
        if begin > _SEEK_FROM and _seeks_before(info, begin):
            _seek(container, stream, info.start + begin)
        tick = min(stream.time_base, _CLOCK)
        show, began, finish = None, Fraction(0), Fraction(0)
        for stamp, frame, length in progressive(decoded(info.path, container, stream, info.fps)):
            time = stamp - info.start
            if show is not None:
                if time > began + LONGEST_HOLE:
                    _warn(info, f"has damaged time stamps after {float(finish):.2f} s; the rest is left out")
                    break
                yield show, time - tick
            show = functools.partial(screen.show, frame, displayed_size(frame, stream))
            began, finish = time, time + (length or 1 / info.fps)
        assert show is not None, "decoded() yields or raises"
        yield show, finish - tick
        if finish < info.duration - 0.5:
            _warn(info, f"has pictures for {float(finish):.2f} s of its {info.duration:.2f} s")


def _warn(info: VideoInfo, what: str) -> None:
    warnings.warn(f"{info.path} {what}", MediaWarning, stacklevel=2)


def _seek(container: av.container.InputContainer, stream: av.VideoStream, stamp: Fraction) -> None:
    container.seek(int(stamp / stream.time_base), stream=stream)


def _seeks_before(info: VideoInfo, begin: Fraction) -> bool:
    """Whether seeking lands at or before `begin`; some containers overshoot, cannot seek or start their clock again."""
    if info.jumps or not info.has_clock:
        return False
    with opened(info.path) as (container, stream):
        try:
            _seek(container, stream, info.start + begin)
            stamp, _, _ = next(decoded(info.path, container, stream))
        except (av.FFmpegError, UserError):
            return False
        return stamp <= info.start + begin
