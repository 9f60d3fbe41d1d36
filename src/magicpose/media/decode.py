"""Decoding with PyAV: opening, decoding past damage, rotation, pixel shape and colour."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.media.clock import Clock, has_clock, packets, says_when_shown
from magicpose.media.files import MediaWarning, open_container
from magicpose.media.image import MAX_PIXELS

Frame = NDArray[np.uint8]  # [height, width, 3] RGB
Timed = tuple[Fraction, av.VideoFrame, Fraction]  # time stamp in seconds, picture, length in seconds (0: unknown)

_NOT_VIDEO = {"tty", "hls", "concat"}  # FFmpeg plays text files, and play lists that name other files
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave the transparency out
_FALLBACK_FPS = Fraction(25)  # of a file that names no rate and holds a single frame
_UNSPECIFIED_COLOURS = 2
_SCALING = (
    4 | 1 << 13 | 1 << 18
)  # libswscale: bicubic, chroma at full width, accurate rounding (PyAV < 18 has no names)
_HD_HEIGHT = 720  # from here on, colours that are not labelled are taken as BT.709, below as BT.601


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The file and its best picture stream; UserError when it has none."""
    try:
        container = open_container(path)
    except av.FFmpegError as error:
        raise UserError(f"{path} is damaged, cut short or not a video; export or download it again") from error
    with container:
        stream = _moving_stream(container)
        if container.format.name in _NOT_VIDEO:
            raise UserError(f"{path} is text, not a video; name a video file such as .mp4")
        if stream is None:
            kind = "only sound" if container.streams.audio else "no pictures"
            if container.streams.video:
                kind = f"{kind} and a cover picture" if container.streams.audio else "only a cover picture"
            raise UserError(f"{path} holds {kind}; name a file with a video track")
        if stream.codec_context is None:
            raise UserError(f"{path} is coded in a way FFmpeg does not know; convert it to mp4 (H.264)")
        if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
            raise UserError(f"{path} has frames of more than {MAX_PIXELS // 10**6} megapixels; scale it down")
        stream.thread_type = "AUTO"
        yield container, stream


def _moving_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The best picture stream that is no attached picture, such as the cover of a song."""
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    return best if best in moving else next(iter(moving), None)


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The best sound track that there is a decoder for."""
    stream = container.streams.best("audio")
    return stream if stream is not None and stream.codec_context is not None else None


def decoded(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, fps: Fraction | None = None
) -> Iterator[Timed]:
    """Every picture that can be decoded; damage is skipped with one MediaWarning, all damage is a UserError.

    `fps`: the rate of a file that has no clock.
    """
    good = damaged = 0
    step = 1 / (fps or stated_rate(stream))
    stamp = -step
    waiting: deque[Fraction] = deque()  # decoding times
    by_clock, by_display, decoder = has_clock(container), says_when_shown(container), _decoder(stream)
    for packet in packets(container, stream, Clock(container)):
        if packet.dts is not None and packet.size:
            waiting.append(packet.dts * packet.time_base)
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            damaged += 1
            if waiting:
                waiting.pop()
            continue
        for frame in frames:
            decoded_at = waiting.popleft() if waiting else stamp + step
            if not by_clock:
                stamp += step
            elif by_display and frame.pts is not None:
                stamp = frame.pts * stream.time_base
            else:
                stamp = decoded_at
            good += 1
            damaged += frame.is_corrupt
            yield stamp, frame, step if not by_clock else (frame.duration or 0) * stream.time_base
    if not good:
        raise UserError(f"no picture in {path} can be decoded; export or download it again")
    if damaged:
        warnings.warn(f"{path} is damaged in {damaged} places; the rest is used", MediaWarning, stacklevel=2)


def stated_rate(stream: av.VideoStream) -> Fraction:
    """The average rate that the header of `stream` states: an estimate, some files have none."""
    return stream.average_rate or stream.guessed_rate or _FALLBACK_FPS


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    """The decoder of `stream`; for VP8 and VP9 with transparency the one that knows of it, where it is built in."""
    name = _WITH_ALPHA.get(stream.codec_context.name)
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream.codec_context
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder


def progressive(pictures: Iterator[Timed]) -> Iterator[Timed]:
    """`pictures` as whole pictures: each that was recorded in two fields is deinterlaced (bwdif), none is added."""
    graph, shape = None, None
    waiting: deque[tuple[Fraction, Fraction]] = deque()
    for stamp, frame, length in pictures:
        if graph is not None and shape != (shape := (frame.width, frame.height, frame.format.name)):
            yield from _filtered(graph, None, waiting)
            graph = None
        if graph is None and not frame.interlaced_frame:
            yield stamp, frame, length
            continue
        if graph is None:
            graph, shape = _deinterlacer(frame), (frame.width, frame.height, frame.format.name)
        waiting.append((stamp, length))
        yield from _filtered(graph, frame, waiting)
    if graph is not None:
        yield from _filtered(graph, None, waiting)


def _deinterlacer(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format.name, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _filtered(
    graph: av.filter.Graph, frame: av.VideoFrame | None, waiting: deque[tuple[Fraction, Fraction]]
) -> Iterator[Timed]:
    """What comes out of the filter after `frame` (None: the end) went in: as many as went in, one later."""
    graph.push(frame)
    with contextlib.suppress(BlockingIOError, av.EOFError):
        while waiting:
            done = graph.pull()
            stamp, length = waiting.popleft()
            yield stamp, done, length


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip x, flip y), in that order, that show `frame` as meant: its display matrix, to 90 degrees.

    The matrix maps x' = a x + c y, y' = b x + d y (ISO 14496-12, 6.2.2).
    """
    side_data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if side_data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(side_data, np.int32)[:5]
    transpose = max(abs(b), abs(c)) > max(abs(a), abs(d))
    along_x, along_y = (c, b) if transpose else (a, d)
    return bool(transpose), bool(along_x < 0), bool(along_y < 0)


def displayed_size(frame: av.VideoFrame, stream: av.VideoStream) -> tuple[int, int]:
    """(width, height) in square pixels, upright. Wide pixels widen the picture, tall ones heighten it."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    width, height = frame.width, frame.height
    if ratio > 1:
        width = round(width * ratio)
    else:
        height = round(height / ratio)
    return (height, width) if orientation(frame)[0] else (width, height)


def upright(frame: av.VideoFrame, size: tuple[int, int]) -> Frame:
    """`frame` as uint8 [height, width, 3] (RGB) or [height, width, 4] (with alpha) of the displayed `size`."""
    transpose, flip_x, flip_y = orientation(frame)
    width, height = reversed(size) if transpose else size
    unlabelled_hd = frame.colorspace == _UNSPECIFIED_COLOURS and frame.height >= _HD_HEIGHT
    pixels = frame.to_ndarray(
        format="rgba" if any(component.is_alpha for component in frame.format.components) else "rgb24",
        width=width,
        height=height,
        src_colorspace=Colorspace.ITU709 if unlabelled_hd else None,
        interpolation=_SCALING,
    )
    if transpose:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])
