"""What happens around every step of a run: diffusers' callback, its progress bar, guidance that may change, noise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from magicpose.errors import UserError
from magicpose.progress import Progress
from magicpose.sampling.guidance import Guidance
from magicpose.sampling.options import StopSampling

StepEnd = Callable[[Any, int, Tensor, dict[str, Any]], dict[str, Any] | None]
"""diffusers' `callback_on_step_end`: (pipe, step, timestep, {"latents": ...}) -> what goes on."""


class Steps:
    """One run's steps, as a `with` block that holds the progress bar."""

    def __init__(
        self, pipe: Any, scheduler: Any, steps: int, frames: int, guidance: Guidance, progress: Progress | None
    ) -> None:
        if steps < 1:
            raise UserError(f"the number of steps must be at least 1, not {steps}")
        counted = copy.deepcopy(scheduler)
        counted.set_timesteps(steps)
        pipe._num_timesteps = len(counted.timesteps)  # some solvers make more of them than were asked for
        pipe._guidance_scale, pipe._interrupt = guidance.scale, False
        self._pipe = pipe
        self._callback: StepEnd | None = None
        self._inputs: Sequence[str] = ()
        self._bar = None if progress else pipe.progress_bar(total=frames * pipe._num_timesteps)
        self.guidance = _Followed(pipe, guidance)
        self.progress: Progress = progress or self._advance

    def listen(self, callback: StepEnd | None, inputs: Sequence[str]) -> None:
        """Calls `callback` after every step, with the tensors that `inputs` names."""
        unknown = [name for name in inputs if name not in self._pipe._callback_tensor_inputs]
        if unknown:
            known = ", ".join(self._pipe._callback_tensor_inputs)
            raise UserError(f"callback_on_step_end_tensor_inputs: there is no {unknown[0]!r} here; choose from {known}")
        self._callback, self._inputs = callback, inputs

    def on_step(self, step: int, t: Tensor, latents: Tensor) -> Tensor | None:
        """`StepHook` of the sampler."""
        if self._callback is None:
            return None
        told = self._callback(self._pipe, step, t, dict.fromkeys(self._inputs, latents))
        if self._pipe._interrupt:
            raise StopSampling
        changed = (told or {}).get("latents")
        if changed is not None and changed.shape != latents.shape:
            raise UserError(
                f"the callback gave latents {list(changed.shape)} for {list(latents.shape)}: keep the shape"
            )
        return changed

    def _advance(self, done: int, _: int) -> None:
        assert self._bar is not None
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class _Followed(Guidance):
    """Guidance on the interval of `first`, at the strength that the pipeline has at this step."""

    _pipe: Any

    def __init__(self, pipe: Any, first: Guidance) -> None:
        object.__setattr__(self, "_pipe", pipe)
        object.__setattr__(self, "start", first.start)
        object.__setattr__(self, "stop", first.stop)

    @property
    def scale(self) -> float:
        """`pipe._guidance_scale`, which a callback may have changed."""
        return float(self._pipe._guidance_scale)


def check_generators(generator: Any, seed: int, frames: int) -> list[torch.Generator]:
    """One generator for all frames, or one per frame; `seed` where none was given. UserError for another number."""
    if generator is None:
        return [torch.Generator().manual_seed(seed)]
    generators = list(generator) if isinstance(generator, list | tuple) else [generator]
    if len(generators) not in (1, frames):
        raise UserError(f"there are {len(generators)} generators for {frames} frames: give one, or one per frame")
    return generators


def draw_noise(
    shape: tuple[int, int, int], generators: Sequence[torch.Generator], latents: Tensor | None, temperature: float
) -> Tensor:
    """Start noise [1 or F, C, h, w] of one frame's `shape`; `latents` are taken as they are, if they fit."""
    if latents is None:
        drawn = [torch.randn((1, *shape), generator=each, device=each.device).cpu() for each in generators]
        return torch.cat(drawn) * temperature
    if latents.ndim != 4 or tuple(latents.shape[1:]) != shape:
        wanted = ", ".join(map(str, ("1 or F", *shape)))
        raise UserError(f"latents are {list(latents.shape)}: for frames of this size they must be [{wanted}]")
    return latents
