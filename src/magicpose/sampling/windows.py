"""Which frames of a clip the networks see together: groups, and the overlapping windows of motion modules (App. C).

Everything here is numbers of frames; `sampling` does the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from magicpose.errors import UserError

WindowsName = Literal["ring", "plain"]


def frame_groups(frames: int, size: int) -> list[slice]:
    """The clip in groups of `size` frames, in order; the last may be shorter."""
    return [slice(first, min(first + size, frames)) for first in range(0, frames, size)]


@dataclass(frozen=True)
class Window:
    """Frames that pass through the motion modules as one clip.

    Args:
        frames: their indices in the clip, in the order in which the modules see them.
        weights: one per frame; a frame's prediction is the mean over its windows with these weights.
    """

    frames: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def even(cls, frames: list[int] | range) -> Window:
        """All frames with weight 1."""
        return cls(tuple(frames), (1.0,) * len(frames))


class WindowSchedule(Protocol):
    """A rule that cuts a clip into windows; the rows of `WINDOWS`, or one of your own in `FramePlan.windows`."""

    def cut(self, frames: int, offset: int) -> list[Window]:
        """Windows that visit each of `frames` frames at least once.

        `offset` is a fresh random number in 0..frames-1 for every step; a schedule may ignore it.
        """
        ...


@dataclass(frozen=True)
class RingWindows:
    """The clip as a ring, all frames of a window with the same weight: the release's `p_sample_ddim`.

    Windows start at `range(o, o + N - (size - stride - 1), stride)` modulo N; with the release's 16 and 12 this is its
    `range(o, o + N - 3, 12)`. That is one frame more than a full cover needs, so a clip of exactly `size` frames has
    two windows, which meet across the seam. Shorter clips are one window (there the release indexes past the clip).

    Args:
        size: frames of a window, at most the motion modules' `max_frames`.
        stride: distance of two starts, at most `size`.
        random_offset: o is drawn anew for every step, so that no frame stays at a border; False: o is 0.
    """

    size: int = 16
    stride: int = 12
    random_offset: bool = True

    def __post_init__(self) -> None:
        _check(self.size, self.stride)

    def cut(self, frames: int, offset: int) -> list[Window]:
        """`frames` N and `offset` o -> windows; see the class."""
        if frames < self.size:
            return [Window.even(range(frames))]
        first = offset if self.random_offset else 0
        stop = frames - max(self.size - self.stride - 1, 0)
        starts = range(first, first + stop, self.stride)
        return [Window.even([(start + k) % frames for k in range(self.size)]) for start in starts]


@dataclass(frozen=True)
class PlainWindows:
    """The clip from its first frame to its last, nothing across the seam: for clips that do not loop.

    Windows start at 0, `stride`, ...; the last is shifted back to end with the clip. Where windows overlap they are
    cross-faded: weights rise and fall linearly over the overlap, so no border shows. Every step has the same windows.
    """

    size: int = 16
    stride: int = 12

    def __post_init__(self) -> None:
        _check(self.size, self.stride)

    def cut(self, frames: int, offset: int) -> list[Window]:
        """`frames` N -> windows; `offset` plays no part."""
        last = max(frames - self.size, 0)
        starts = [*range(0, last, self.stride), last]
        size = min(self.size, frames)
        overlaps = [a + size - b for a, b in itertools.pairwise(starts)]  # of neighbours, in frames
        return [
            Window(tuple(range(start, start + size)), _faded(size, rise, fall))
            for start, rise, fall in zip(starts, [0, *overlaps], [*overlaps, 0], strict=True)
        ]


def _faded(size: int, rise: int, fall: int) -> tuple[float, ...]:
    """Weights 1/(rise+1), 2/(rise+1), ..., 1, ..., 1/(fall+1): two neighbours over one overlap sum to 1."""
    return tuple(min(1.0, (k + 1) / (rise + 1)) * min(1.0, (size - k) / (fall + 1)) for k in range(size))


def _check(size: int, stride: int) -> None:
    if not 1 <= stride <= size:
        raise UserError(
            f"windows of {size} frames every {stride} leave gaps: the stride must be between 1 and the size"
        )


WINDOWS: dict[str, WindowSchedule] = {"ring": RingWindows(), "plain": PlainWindows()}


def window_schedule(windows: str | WindowSchedule) -> WindowSchedule:
    """A row of `WINDOWS` by its name, or the schedule itself. UserError for an unknown name."""
    if not isinstance(windows, str):
        return windows
    if windows not in WINDOWS:
        raise UserError(f"unknown windows {windows!r}: choose one of {', '.join(WINDOWS)}")
    return WINDOWS[windows]


@dataclass(frozen=True)
class FramePlan:
    """How the frames of a clip share the work; only `windows` can change a frame.

    Args:
        batch: frames per network call at most; fewer where memory is short (a motion window stays whole).
        groups: runs of frames that go through all steps together, in this order, see `frame_groups`; frames in no group
            are left out. Small groups give first frames early. None: all frames are one group, as they must be with
            motion modules.
        windows: how motion modules see a clip: "ring" (the release's), "plain", or a schedule of your own.
    """

    batch: int = 8
    groups: Sequence[slice] | None = None
    windows: str | WindowSchedule = "ring"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UserError(f"the batch must be at least 1, not {self.batch}")
        window_schedule(self.windows)
