"""Decoding with PyAV: opening, decoding past damage, rotation, pixel shape and colour."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.media.files import MediaWarning, open_container
from magicpose.media.image import MAX_PIXELS

Frame = NDArray[np.uint8]  # [height, width, 3] RGB
Timed = tuple[Fraction, av.VideoFrame, Fraction]  # time stamp in seconds, picture, length in seconds (0: unknown)

_NOT_VIDEO = {"tty", "hls", "concat"}  # FFmpeg plays text files, and play lists that name other files
_WITHOUT_TIME_STAMPS = {"avi"}  # says when to decode a picture, not when to show it
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
        stream = container.streams.best("video")
        if container.format.name in _NOT_VIDEO:
            raise UserError(f"{path} is text, not a video; name a video file such as .mp4")
        if stream is None:
            kind = "only sound" if container.streams.audio else "no pictures"
            raise UserError(f"{path} holds {kind}; name a file with a video track")
        if stream.codec_context is None:
            raise UserError(f"{path} is coded in a way FFmpeg does not know; convert it to mp4 (H.264)")
        if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
            raise UserError(f"{path} has frames of more than {MAX_PIXELS // 10**6} megapixels; scale it down")
        stream.thread_type = "AUTO"
        yield container, stream


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The best sound track that there is a decoder for."""
    stream = container.streams.best("audio")
    return stream if stream is not None and stream.codec_context is not None else None


def decoded(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[Timed]:
    """Every picture that can be decoded; damage is skipped with one MediaWarning, all damage is a UserError."""
    good = damaged = 0
    step = 1 / (stream.average_rate or Fraction(25))
    stamp: Fraction | None = None
    counted = container.format.name in _WITHOUT_TIME_STAMPS
    for packet in packets(container, stream):
        if stamp is None:
            stamp = (packet.dts or 0) * stream.time_base - step
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            stamp = stamp + step if counted or frame.pts is None else frame.pts * stream.time_base
            good += 1
            damaged += frame.is_corrupt
            yield stamp, frame, (frame.duration or 0) * stream.time_base
    if not good:
        raise UserError(f"no picture in {path} can be decoded; export or download it again")
    if damaged:
        warnings.warn(f"{path} is damaged in {damaged} places; the rest is used", MediaWarning, stacklevel=2)


def packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Packets up to the end or to the point where the file cannot be read on; the last one flushes."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        flush = av.Packet()  # asks the decoder for what it still holds
        flush.stream = stream
        yield flush


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


def upright_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> Frame:
    """`frame` as uint8 RGB [height, width, 3] of the displayed `size` = (width, height)."""
    transpose, flip_x, flip_y = orientation(frame)
    width, height = reversed(size) if transpose else size
    unlabelled_hd = frame.colorspace == _UNSPECIFIED_COLOURS and frame.height >= _HD_HEIGHT
    rgb = frame.to_ndarray(
        format="rgb24",
        width=width,
        height=height,
        src_colorspace=Colorspace.ITU709 if unlabelled_hd else None,
        interpolation=_SCALING,
    )
    if transpose:
        rgb = rgb.transpose(1, 0, 2)
    return np.ascontiguousarray(rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1])
