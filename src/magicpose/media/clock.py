"""Time in a video file: packets with time stamps that only go forward, and how many pictures a player shows until when.

A clock that starts again (files joined end to end, a recorder that was restarted) is continued: the part that follows
begins where the part before it ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av

LONGEST_HOLE = 60  # seconds without a new picture after which time stamps are taken as damaged

_WITHOUT_DISPLAY_TIMES = {"avi"}  # says when to decode a picture, not when to show it
_NO_TIME_STAMPS = 0x0080  # AVFMT_NOTIMESTAMPS: a bare stream of coded pictures
_SUPERFRAME, _SUPERFRAME_BITS = 0xC0, 0xE0  # of the last byte of a VP9 packet that holds several frames


class Clock:
    """Moves the packets of one stream onto a clock that never starts again. `jumps`: seconds added, restart by restart.

    `known`: the jumps of another stream of the same file, to be followed so that both stay in step. Files of the mp4
    family are left as they are: their reader has applied the edit list, in which decoding may well step back.
    """

    def __init__(self, container: av.container.InputContainer, known: tuple[Fraction, ...] | None = None) -> None:
        self.jumps: list[Fraction] = []
        self._known, self._settled = known, container.format.name.startswith("mov,")
        self._last: int | None = None  # decoding time stamp of the packet before, as the file has it
        self._shift = 0
        self._end: int | None = None  # of what is shown so far

    def place(self, packet: av.Packet) -> None:
        """Moves the time stamps of `packet`, which must come in the order of the file."""
        if packet.dts is not None:
            if not self._settled and self._last is not None and 2 * (self._last - packet.dts) > (packet.duration or 1):
                self._start_again(packet)
            self._last = packet.dts
            packet.dts += self._shift
        if packet.pts is not None:
            packet.pts += self._shift
            end = packet.pts + (packet.duration or 0)
            self._end = end if self._end is None else max(self._end, end)

    def _start_again(self, packet: av.Packet) -> None:
        first = packet.dts if packet.pts is None else packet.pts
        if self._known is None:
            self._shift = (first if self._end is None else self._end) - first
        elif len(self.jumps) < len(self._known):
            self._shift = round(self._known[len(self.jumps)] / packet.time_base)
        self.jumps.append(self._shift * packet.time_base)


def packets(container: av.container.InputContainer, stream: av.VideoStream, clock: Clock) -> Iterator[av.Packet]:
    """Packets up to the end or to the point where the file cannot be read on; the last one flushes."""
    try:
        for packet in container.demux(stream):
            clock.place(packet)
            yield packet
    except av.FFmpegError:
        flush = av.Packet()  # asks the decoder for what it still holds
        flush.stream = stream
        yield flush


def has_clock(container: av.container.InputContainer) -> bool:
    """Whether the file says when a picture is shown; bare streams such as `.h264` do not."""
    return not container.format.flags & _NO_TIME_STAMPS


def says_when_shown(container: av.container.InputContainer) -> bool:
    """Whether packets carry display times; else the k-th picture shown takes the k-th decoding time."""
    return has_clock(container) and container.format.name not in _WITHOUT_DISPLAY_TIMES


@dataclass(frozen=True)
class Timeline:
    """What a player shows: how many pictures, until which time stamp (seconds); `jumps` as in `Clock`."""

    pictures: int
    end: Fraction
    jumps: tuple[Fraction, ...]


def timeline(
    container: av.container.InputContainer, stream: av.VideoStream, start: Fraction, step: Fraction
) -> Timeline:
    """Reads, without decoding, all packets up to a hole in time.

    Left out are pictures that the container marks as not to be shown (edit lists), that lie before `start`, the first
    one that can be decoded, and that only serve others (VP8, VP9). `step`: seconds, where a packet has no length.
    """
    clock = Clock(container)
    spans: list[tuple[Fraction, Fraction]] = []
    counted, by_display = not has_clock(container), says_when_shown(container)
    for packet in packets(container, stream, clock):
        if packet.size == 0 or packet.is_discard or not _is_shown(packet, stream.codec_context.name):
            continue
        if counted:
            spans.append((start + len(spans) * step, step))
            continue
        stamp = packet.pts if by_display else packet.dts
        if stamp is not None and stamp * packet.time_base >= start:
            spans.append((stamp * packet.time_base, (packet.duration or 0) * packet.time_base or step))
    if not spans:
        return Timeline(0, start, ())
    spans.sort()
    holes = (k for k, (now, then) in enumerate(pairwise(spans), 1) if then[0] - now[0] > LONGEST_HOLE)
    count = next(holes, len(spans))
    begin, length = spans[count - 1]
    return Timeline(count, begin + length, tuple(clock.jumps))


def _is_shown(packet: av.Packet, codec: str) -> bool:
    """False for a VP8 or VP9 frame that is only there to predict others (RFC 6386, 9.1; VP9 bitstream, 6.2)."""
    if codec not in ("vp8", "vp9"):
        return True
    data = memoryview(packet)
    first = data[0]
    if codec == "vp8":
        return bool(first & 0x10)
    if data[-1] & _SUPERFRAME_BITS == _SUPERFRAME or first & 0x30 == 0x30 or first & 0x08:
        return True  # several frames, a rare profile, or one shown again
    return bool(first & 0x02)
