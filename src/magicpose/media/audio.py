"""The driver's sound, carried into the output in step with the frames.

Sound from the very start of a clip is copied bit by bit where the new container can hold it. Anything else (a cut in
the middle, another codec) is decoded, cut to the sample and coded again. Both end with the pictures.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from magicpose.media.clock import Clock
from magicpose.media.decode import sound_stream
from magicpose.media.files import MediaWarning, PathLike, open_container
from magicpose.media.formats import Container, Encoder
from magicpose.media.video_in import check_span, probe

Samples = NDArray[np.float32]  # [channels, samples]

_SEEK_FROM = 3  # seconds into the clip; before that, decoding from the start is as fast
_PRIMING = Fraction(3, 50)  # seconds that coded sound may begin early, to be skipped by the player
_SLACK = Fraction(1, 50)  # seconds by which time stamps may wander before sound is moved to follow them


@dataclass(frozen=True)
class AudioSource:
    """The sound of the video at `path` from `start` to `end`, in seconds from its first frame."""

    path: PathLike
    start: float = 0.0
    end: float | None = None


class Sound(Protocol):
    """Sound on its way into an output; times are seconds of the output."""

    def advance(self, until: Fraction) -> None:
        """Adds what is heard before `until`."""

    def finish(self, until: Fraction) -> None:
        """Adds what is heard before `until`, which is the end."""

    def close(self) -> None:
        """Lets go of the source."""


def add_sound(source: AudioSource, output: av.container.OutputContainer, form: Container) -> Sound | None:
    """Gives `output` a sound stream fed from `source`; None, with a MediaWarning where unexpected, if it can't."""
    info = probe(source.path)
    begin, end = check_span(info, source.start, source.end)
    if not info.has_audio:
        return None
    if form.sound is None:
        warn_of_silence(source, form.name)
        return None
    container = open_container(source.path)
    stream = sound_stream(container)
    assert stream is not None, "probe() has seen it"
    packets = _readable(source, container.demux(stream), Clock(container, info.jumps))
    first = next((packet for packet in packets if packet.pts is not None), None)
    if first is None:
        _warn(source, "has a sound track without sound")
        container.close()
        return None
    early = info.start - first.pts * first.time_base
    length = None if end is None else end - begin
    seek = begin > _SEEK_FROM and not info.jumps
    track = _Track(source, container, stream, itertools.chain([first], packets), info.start + begin, length, seek)
    if stream.codec_context.name in form.sound_copied and begin == 0 and early <= _PRIMING and not info.jumps:
        return _Copied(track, output)
    return _Recoded(track, output, form.sound)


def warn_of_silence(source: AudioSource, kind: str) -> None:
    """Says, where it is so, that the sound of `source` gets lost in an output of this `kind`."""
    if probe(source.path).has_audio:
        _warn(source, f"has sound that is left out: {kind} holds none")


@dataclass(frozen=True)
class _Track:
    """An open sound track and the part of it that is wanted."""

    source: AudioSource
    container: av.container.InputContainer
    stream: av.AudioStream
    packets: Iterator[av.Packet]
    origin: Fraction  # time stamp, in seconds, of what is heard at 0 in the output
    length: Fraction | None  # seconds
    seek: bool  # whether the origin is far into the file

    def cut(self, until: Fraction) -> Fraction:
        return until if self.length is None else min(until, self.length)


class _Copied:
    """Packets as they are, moved so that the pictures' first time stamp is 0."""

    def __init__(self, track: _Track, output: av.container.OutputContainer) -> None:
        self._track, self._output = track, output
        self._stream = output.add_stream_from_template(track.stream)
        self._shift = round(track.origin / track.stream.time_base)
        self._next = next(track.packets, None)
        self._damaged = False

    def advance(self, until: Fraction) -> None:
        until = self._track.cut(until)
        while (packet := self._next) is not None:
            if packet.pts is not None and packet.dts is not None:
                if (packet.pts - self._shift) * packet.time_base >= until:
                    return
                packet.pts, packet.dts = packet.pts - self._shift, packet.dts - self._shift
                packet.stream = self._stream
                self._mux(packet)
            self._next = next(self._track.packets, None)

    def finish(self, until: Fraction) -> None:
        self.advance(until)

    def close(self) -> None:
        self._track.container.close()

    def _mux(self, packet: av.Packet) -> None:
        try:
            self._output.mux(packet)
        except (av.InvalidDataError, av.ArgumentError):  # of no use to this container, or out of order: a silent moment
            if not self._damaged:
                _warn(self._track.source, "has damaged sound; that part of it is silent")
            self._damaged = True


class _Recoded:
    """Sound decoded, cut to the sample, holes filled with silence, and coded for the new container."""

    def __init__(self, track: _Track, output: av.container.OutputContainer, encoder: Encoder) -> None:
        self._track, self._output = track, output
        self._rate = track.stream.rate if track.stream.rate in encoder.rates else encoder.rates[0]
        self._layout = "mono" if track.stream.channels == 1 else "stereo"
        self._stream = output.add_stream(encoder.name, rate=self._rate, options=encoder.options)
        self._stream.layout = self._layout
        self._blocks = self._decoded()
        self._block: Samples = np.zeros((1, 0), np.float32)
        self._block_at = 0  # sample of the output at which the block begins
        self._written = 0  # samples of the output done

    def advance(self, until: Fraction) -> None:
        target = int(self._track.cut(until) * self._rate)
        while self._written < target:
            while self._block_at + self._block.shape[1] <= self._written:  # heard already, or before the cut
                following = next(self._blocks, None)
                if following is None:
                    return
                self._block_at, self._block = following
            silence = min(self._block_at, target) - self._written
            if silence > 0:
                self._encode(np.zeros((self._block.shape[0], silence), np.float32))
            else:
                self._encode(self._block[:, self._written - self._block_at :][:, : target - self._written])

    def finish(self, until: Fraction) -> None:
        self.advance(until)
        self._output.mux(self._stream.encode())

    def close(self) -> None:
        self._track.container.close()

    def _encode(self, samples: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._written, Fraction(1, self._rate)
        self._output.mux(self._stream.encode(frame))
        self._written += samples.shape[1]

    def _decoded(self) -> Iterator[tuple[int, Samples]]:
        """(first sample's place in the output, float samples), places gapless but for real holes."""
        place: int | None = None
        resampler, shape = None, None
        for frame in self._frames():
            if shape != (shape := (frame.layout.name, frame.format.name, frame.sample_rate)):
                resampler = av.AudioResampler("fltp", self._layout, self._rate)
            assert resampler is not None
            for block in resampler.resample(frame):
                stated = round((block.pts * block.time_base - self._track.origin) * self._rate)
                if place is None or abs(stated - place) > _SLACK * self._rate:
                    place = stated
                yield place, block.to_ndarray()
                place += block.samples

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Sound with time stamps, from somewhat before the cut; what cannot be decoded is left out (silence)."""
        track = self._track
        packets = track.packets
        if track.seek:
            track.container.seek(int((track.origin - 1) * av.time_base))  # decoders need a run-up
            packets = _readable(track.source, track.container.demux(track.stream))
        for packet in packets:
            try:
                yield from (frame for frame in packet.decode() if frame.pts is not None)
            except av.FFmpegError:
                continue


def _readable(source: AudioSource, packets: Iterator[av.Packet], clock: Clock | None = None) -> Iterator[av.Packet]:
    """`packets`, on `clock`, until the file cannot be read on."""
    try:
        for packet in packets:
            if clock is not None:
                clock.place(packet)
            yield packet
    except av.FFmpegError:
        _warn(source, "has damaged sound; the rest of it is silent")


def _warn(source: AudioSource, what: str) -> None:
    warnings.warn(f"{source.path} {what}", MediaWarning, stacklevel=2)
