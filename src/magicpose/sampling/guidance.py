"""Strength of the image guidance (MagicPose Sec. 4.4)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guidance:
    """Image-CFG: `u + scale * (c - u)` on the part [start, stop] of the schedule (0 first step, 1 last).

    Where it is off, or at scale 1, only the conditional half runs.
    """

    scale: float = 7.0
    start: float = 0.0
    stop: float = 1.0

    def active(self, step: int, steps: int) -> bool:
        """Whether the unconditional half is needed at `step` of `steps`."""
        return self.scale != 1.0 and self.start <= (step + 0.5) / steps <= self.stop
