"""Video in: upright RGB frames at a constant rate, one at a time, from whatever people have."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, islice, pairwise, takewhile
from pathlib import Path

import av

from magicpose.errors import UserError
from magicpose.media.decode import Frame, decoded, displayed_size, opened, packets, sound_stream, upright_rgb
from magicpose.media.files import MediaWarning, PathLike, check_input

MAX_FPS = 240
_USUAL_FPS = [Fraction(n, 1001) for n in (24000, 30000, 60000, 120000)] + [
    Fraction(n) for n in (1, 2, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 100, 120, 240)
]
_FALLBACK_FPS = Fraction(25)  # of a file that names no rate and holds a single frame
_CLOCK = Fraction(1, 1000)  # the coarsest usual time stamps (webm): instants closer than this are the same
_SEEK_FROM = 3  # seconds; before that, decoding from the start is as fast
_LONGEST_HOLE = 60  # seconds without a new picture after which time stamps are taken as damaged


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


def exact_fps(fps: float | Fraction) -> Fraction:
    """`fps` as a fraction, 29.97 and its like as the 30000/1001 they stand for; UserError outside (0, 240]."""
    if not (math.isfinite(fps) and 0 < fps <= MAX_FPS):
        raise UserError(f"fps must be above 0 and at most {MAX_FPS}, not {fps}")
    value = Fraction(fps)
    nearest = min(_USUAL_FPS, key=lambda usual: abs(usual - value))
    return nearest if abs(nearest - value) <= value / 5000 else max(value, _CLOCK).limit_denominator(1001)


def probe(path: PathLike) -> VideoInfo:
    """Size, rate, length and sound of a video; UserError when it is none or nothing in it can be decoded."""
    path = check_input(path, "video")
    with opened(path) as (container, stream):
        start, frame, _ = next(decoded(path, container, stream))
        average, end = _rate_and_end(path, stream, start)
        fps = exact_fps(min(average, Fraction(MAX_FPS)))
        duration = max(end - start, 1 / fps)
        return VideoInfo(
            path=path,
            size=displayed_size(frame, stream),
            fps=fps,
            duration=float(duration),
            frames=max(1, round(duration * fps)),
            has_audio=sound_stream(container) is not None,
            codec=stream.codec_context.name,
            start=start,
        )


def read_video(
    path: PathLike,
    fps: float | Fraction | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
) -> Iterator[Frame]:
    """The frames [height, width, 3] of `path` at a constant rate (its average, or `fps`), as displayed.

    Frame k is the one shown at `start` + k / fps; `start` and `end` are seconds from the first frame. One frame
    is held at a time. Complains (UserError) when called, not at the first frame. Damaged parts are left out
    with a MediaWarning.
    """
    info = probe(path)
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
    for frame, until in _shown(info, begin):
        while instant is not None and instant < until:
            yield upright_rgb(frame, info.size)
            sampled = True
            instant = next(instants, None)
        if instant is None:
            return
    if not sampled:
        yield upright_rgb(frame, info.size)


def _shown(info: VideoInfo, begin: Fraction) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    """(picture, seconds until which it is shown) from the one shown at `begin` on, or somewhat before.

    Each time is one tick of the file's clock early, so that rounded time stamps do not delay a picture.
    """
    with opened(info.path) as (container, stream):
        if begin > _SEEK_FROM and _seeks_before(info, begin):
            _seek(container, stream, info.start + begin)
        tick = min(stream.time_base, _CLOCK)
        shown, began, finish = None, Fraction(0), Fraction(0)
        for stamp, frame, length in decoded(info.path, container, stream):
            time = stamp - info.start
            if shown is not None:
                if time > began + _LONGEST_HOLE:
                    _warn(info, f"has damaged time stamps after {float(finish):.2f} s; the rest is left out")
                    break
                yield shown, time - tick
            shown, began, finish = frame, time, time + (length or 1 / info.fps)
        assert shown is not None, "decoded() yields or raises"
        yield shown, finish - tick
        if finish < info.duration - 0.5:
            _warn(info, f"has pictures for {float(finish):.2f} s of its {info.duration:.2f} s")


def _warn(info: VideoInfo, what: str) -> None:
    warnings.warn(f"{info.path} {what}", MediaWarning, stacklevel=2)


def _seek(container: av.container.InputContainer, stream: av.VideoStream, stamp: Fraction) -> None:
    container.seek(int(stamp / stream.time_base), stream=stream)


def _seeks_before(info: VideoInfo, begin: Fraction) -> bool:
    """Whether seeking lands at or before `begin`; some containers overshoot or cannot seek."""
    with opened(info.path) as (container, stream):
        try:
            _seek(container, stream, info.start + begin)
            stamp, _, _ = next(decoded(info.path, container, stream))
        except (av.FFmpegError, UserError):
            return False
        return stamp <= info.start + begin


def _rate_and_end(path: Path, stream: av.VideoStream, start: Fraction) -> tuple[Fraction, Fraction]:
    """(average frames per second, time stamp of the end in seconds): from the header, else from all packets."""
    average = stream.average_rate or stream.guessed_rate or _FALLBACK_FPS
    count, end = stream.frames, ((stream.start_time or 0) + (stream.duration or 0)) * stream.time_base
    if not (count and stream.duration) or end - start > count * _LONGEST_HOLE:
        count, end = _count_packets(path, 1 / average)
    length = end - start
    if length > 0 and abs(average * length - count) > 1:  # the stated rate is a guess from the first frames
        average = count / length
    return average, end


def _count_packets(path: Path, step: Fraction) -> tuple[int, Fraction]:
    """(pictures, time stamp of their end in seconds) by reading, not decoding, the file up to a hole in time."""
    with opened(path) as (container, stream):
        spans = sorted(
            (packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base or step)
            for packet in packets(container, stream)
            if packet.pts is not None
        )
    if not spans:
        return 0, Fraction(0)
    holes = (k for k, (now, then) in enumerate(pairwise(spans), 1) if then[0] - now[0] > _LONGEST_HOLE)
    count = next(holes, len(spans))
    begin, length = spans[count - 1]
    return count, begin + length
