"""Strength of the image guidance and of the start noise (MagicPose Sec. 4.4)."""

from __future__ import annotations

from dataclasses import dataclass

from magicpose.errors import UserError


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


def check_temperature(temperature: float) -> None:
    """UserError where no start noise can be scaled by it."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"the temperature must be 0 or more, not {temperature:g}: 1 is the paper's")
