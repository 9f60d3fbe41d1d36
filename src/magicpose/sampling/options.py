"""What the denoising loop may be told: guidance, seed, how the frames share the work, who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from magicpose.progress import Progress
from magicpose.sampling.guidance import Guidance
from magicpose.sampling.windows import FramePlan

if TYPE_CHECKING:  # the command line reads a preset's guidance without torch
    from torch import Tensor

StepHook: TypeAlias = "Callable[[int, Tensor, Tensor], Tensor | None]"
"""`(step_index, timestep, latents) -> Tensor | None`, called after every step of a group of frames.

`step_index` counts from 0 in every group; `timestep` is the scheduler's, a tensor of no dimension; `latents`
[frames, 4, h, w] are the group's float32 latents after the step. A returned tensor of the same shape replaces them;
None keeps them. To raise `StopSampling` ends the work with the latents as they are; any other error reaches the caller.
"""


class StopSampling(Exception):
    """Raised by a `StepHook` to leave out the remaining steps, and the groups that have not begun."""


@dataclass(frozen=True)
class SamplerOptions:
    """What `sample` may be told besides the method's own inputs.

    Args:
        seed: of the noise that stochastic schedulers add, and of the windows' offsets; a frame's noise depends on
            neither its batch nor its group.
        guidance: an interval of guidance; it overrides `guidance_scale`.
        plan: how the frames share the work.
        progress: called with (frame-steps done, in all), counted over the whole clip.
        on_estimate: receives, after every step of a group, the float32 latents [frames, 4, h, w] it would end with if
            the prediction were right (`LatentPreview` makes pictures of them).
    """

    seed: int = 0
    guidance: Guidance | None = None
    plan: FramePlan = field(default_factory=FramePlan)
    progress: Progress | None = None
    on_estimate: Callable[[Tensor], None] | None = None
