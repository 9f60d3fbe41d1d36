"""The tuned constants of repair."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RepairModel:
    """The constants of repair that are not options. Lengths in shoulder widths of the person.

    The bandwidths and the margin were chosen by `runs/repair_quality.py` on what the embedded detector made of 24
    synthetic clips; `runs/retarget_quality.py repair` measures the effect of the others (docs/retargeting.md).
    """

    swap_prior: float = 0.02
    """Squared shoulder widths per frame: the cost of the state "swapped" in the Viterbi search, so that ties go to the
    detector."""
    acceleration_limit: float = 1.0
    """Squared shoulder widths: the most that one point's squared acceleration counts in that search (a robust loss)."""
    jump_ratio: float = 3.0
    """Ratio: an outlier is at least so many times farther from the middle of its neighbours than they are from it."""
    jump_median_ratio: float = 6.0
    """Ratio: and at least so many times the median of that distance for the same point over the clip."""
    bandwidths: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of `RepairOptions.smooth_s`, ascending: the kernel widths each point chooses from."""
    hand_bandwidths: tuple[float, ...] = (0.25, 0.35, 0.45)
    """The same for hands, which move so fast that wider kernels cost accuracy; the curve is in docs/retargeting.md."""
    narrowest_margin: float = 0.25
    """Ratio: the narrowest width is chosen only where its leave-one-out error is below this share of the next one's. It
    is there for exact keypoints; a detector's errors are correlated in time, which flatters it."""
