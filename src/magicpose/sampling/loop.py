"""The denoising loop: image-CFG (MagicPose Sec. 4.4), one bank per timestep, frames in batches.

What makes it fast changes no number: the bank is made once per timestep for all frames, and projected to keys and
values once; the hint encoder runs once per frame; the unconditional half is the plain UNet, without reference, pose
or ControlNet. The solver works in float32 whatever the networks' dtype.

Shapes: F frames, [F, 4, h, w] latents, [F, 3, s*h, s*w] pose maps with s = `model.pose_stride`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from magicpose.acceleration.capacity import banks_fit, frames_that_fit
from magicpose.errors import UserError
from magicpose.networks.appearance import join_references
from magicpose.networks.attention import KeysValues
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules
from magicpose.networks.schedule import NoiseSchedule, make_scheduler
from magicpose.sampling.guidance import Guidance
from magicpose.sampling.options import SamplerOptions, StepHook, StopSampling
from magicpose.sampling.windows import Window, frame_groups, window_schedule

Bank = dict[str, Tensor]
ProjectedBank = Mapping[str, KeysValues]


def sample(
    model: MagicPoseModel,
    noise: Tensor,
    reference_latents: Tensor | Sequence[Tensor] | None,
    pose: Tensor | None,
    context: Tensor,
    steps: int = 50,
    guidance_scale: float = 7.0,
    scheduler: str | Any = "ddim",
    options: SamplerOptions | None = None,
    on_step: StepHook | None = None,
) -> Tensor:
    """Denoises a clip; returns clean latents [F, 4, h, w], in the dtype of `noise`.

    Args:
        noise: [F, 4, h, w], or [1, 4, h, w] shared by all frames (the original's way: steadier clips).
        reference_latents: [1, 4, h, w] for the whole clip, or [F, 4, h, w] one per frame; a sequence of such
            tensors gives several references, whose banks are concatenated; None: no appearance control.
        pose: [F, 3, s*h, s*w] in [0, 1], or None for appearance alone.
        context: text states [1, S, D] or [F, S, D], the same in both halves of the guidance.
        scheduler: a name in `SCHEDULERS`, or a diffusers scheduler (used as a template, never changed).
        options: seed, guidance interval, how the frames share the work, listeners.
        on_step: called after every step; it may change the latents and may stop, see `StepHook`.
    """
    inputs = (model, noise, reference_latents, pose, context)
    groups = sample_groups(*inputs, steps, guidance_scale, scheduler, options, on_step)
    return torch.cat([latents for _, latents in groups])


def sample_groups(
    model: MagicPoseModel,
    noise: Tensor,
    reference_latents: Tensor | Sequence[Tensor] | None,
    pose: Tensor | None,
    context: Tensor,
    steps: int = 50,
    guidance_scale: float = 7.0,
    scheduler: str | Any = "ddim",
    options: SamplerOptions | None = None,
    on_step: StepHook | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """`sample`, one group of `FramePlan.groups` after the other: yields its frames and their clean latents.

    All arguments are those of `sample`, for the whole clip. UserError for several groups with motion modules.
    """
    model.check_ready()
    options = options or SamplerOptions()
    frames = len(pose) if pose is not None else len(noise)
    groups = [slice(0, frames)] if options.plan.groups is None else list(options.plan.groups)
    if model.motion is not None and any((group.start, group.stop) != (0, frames) for group in groups):
        raise UserError("windows of motion modules overlap, so all frames are one group: leave out the groups")
    references = [reference_latents] if isinstance(reference_latents, Tensor) else list(reference_latents or ())
    dtype = next(model.unet.parameters()).dtype
    clip = _Clip(
        model,
        noise,
        [reference.to(dtype) for reference in references],
        None if pose is None else pose.to(dtype),
        context.to(dtype),
        make_scheduler(scheduler) if isinstance(scheduler, str) else scheduler,
        steps,
        options.guidance or Guidance(guidance_scale),
        options,
        min(options.plan.batch, frames_that_fit(model, *noise.shape[-2:])),
        {} if len(groups) > 1 else None,
    )
    for span in groups:
        latents, stopped = clip.denoise(span, on_step)
        yield span, latents.to(noise.dtype)
        if stopped:
            return


@dataclass(frozen=True)
class _Clip:
    """What stays the same through all steps; `banks` keeps those that later groups read again, None: keeps none."""

    model: MagicPoseModel
    noise: Tensor
    references: list[Tensor]
    pose: Tensor | None
    context: Tensor
    scheduler: Any
    steps: int
    guidance: Guidance
    options: SamplerOptions
    batch: int
    banks: dict[float, Bank] | None

    @torch.no_grad()
    def denoise(self, span: slice, on_step: StepHook | None) -> tuple[Tensor, bool]:
        """All steps for the frames of `span`: float32 latents [count, 4, h, w], and whether `on_step` ended them."""
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(self.steps, device=self.noise.device)
        latents = (self.noise if len(self.noise) == 1 else self.noise[span]).float() * scheduler.init_noise_sigma
        group = _Group(span, self._hints(span), self.options.seed)
        motion = self.model.motion
        with motion.insert(self.model.unet) if isinstance(motion, MotionModules) else nullcontext():
            for step, t in enumerate(scheduler.timesteps):
                latents = self._step(group, scheduler, step, t, latents)
                try:
                    changed = None if on_step is None else on_step(step, t, latents)
                except StopSampling:
                    return latents, True
                latents = latents if changed is None else changed.to(latents)
        return latents, False

    def _step(self, group: _Group, scheduler: Any, step: int, t: Tensor, latents: Tensor) -> Tensor:
        """`latents` [count or 1, 4, h, w] -> [count, 4, h, w] after one step."""
        steps, options = len(scheduler.timesteps), self.options
        bank = self.model.project_bank(self._bank(t, steps))  # no name holds an earlier timestep's bank any more
        guided = self.guidance.active(step, steps)
        prediction = self._predict(group, scheduler.scale_model_input(latents, t), t, bank, guided)
        latents = latents.expand(group.count, -1, -1, -1)
        if options.on_estimate is not None:
            options.on_estimate(NoiseSchedule.of(scheduler).clean(latents, prediction, t))
        latents = _scheduler_step(scheduler, prediction, t, latents, group.generators)
        if options.progress is not None:
            frames = len(self.pose) if self.pose is not None else len(self.noise)
            options.progress(group.span.start * steps + group.count * (step + 1), frames * steps)
        return latents

    def _hints(self, span: slice) -> Tensor | None:
        if self.pose is None:
            return None
        return torch.cat([self.model.hint(chunk) for chunk in torch.split(self.pose[span], self.batch)])

    def _bank(self, t: Tensor, steps: int) -> Bank:
        if not self.references:
            return {}
        key = float(t)
        if self.banks is not None and key in self.banks:
            return self.banks[key]
        banks = [
            self.model.reference_bank(reference, t.reshape(1).expand(len(reference)), self.context[: len(reference)])
            for reference in self.references
        ]
        bank = join_references(banks)
        if self.banks is not None and banks_fit(bank, steps - len(self.banks)):
            self.banks[key] = bank
        return bank

    def _predict(self, group: _Group, latents: Tensor, t: Tensor, bank: ProjectedBank, guided: bool) -> Tensor:
        """The (guided) prediction for all frames of the group: float32 [count, 4, h, w]."""
        latents = latents.to(self.context.dtype)
        shared = len(latents) == 1 and group.count > 1  # the first step: all frames still look alike
        once = guided and shared and len(self.context) == 1 and self.model.motion is None
        unconditional = self.model.denoise(latents, t.reshape(1), self.context).float() if once else None
        latents = latents.expand(group.count, -1, -1, -1)
        total = torch.zeros(latents.shape, device=latents.device)
        weight = torch.zeros(group.count, 1, 1, 1, device=latents.device)
        for window in self._windows(group):
            index = torch.tensor(window.frames, device=latents.device)
            weights = torch.tensor(window.weights, device=latents.device)[:, None, None, None]
            x, where = latents[index], index + group.span.start
            prediction = self._conditional(x, t, bank, None if group.hints is None else group.hints[index], where)
            if guided:
                u = unconditional
                if u is None:
                    u = self.model.denoise(x, t.reshape(1).expand(len(x)), self._context(where)).float()
                prediction = u + self.guidance.scale * (prediction - u)
            total.index_add_(0, index, weights * prediction)
            weight.index_add_(0, index, weights)
        return total / weight

    def _conditional(self, x: Tensor, t: Tensor, bank: ProjectedBank, hints: Tensor | None, where: Tensor) -> Tensor:
        timestep = t.reshape(1).expand(len(x))
        context = self._context(where)
        rows = {name: KeysValues(*(s if len(s) == 1 else s[where] for s in entry)) for name, entry in bank.items()}
        residuals = None if hints is None else self.model.pose_residuals(x, timestep, context, hints)
        return self.model.denoise(x, timestep, context, rows or None, residuals).float()

    def _context(self, where: Tensor) -> Tensor:
        return self.context if len(self.context) == 1 else self.context[where]

    def _windows(self, group: _Group) -> list[Window]:
        """Batches, or with motion modules the windows of this step."""
        if self.model.motion is None:
            return [Window.even(range(group.count)[part]) for part in frame_groups(group.count, self.batch)]
        offset = int(torch.randint(group.count, (1,), generator=group.offsets))
        return window_schedule(self.options.plan.windows).cut(group.count, offset)


class _Group:
    """Frames that go through all steps together, and the random numbers they draw.

    There is one generator per frame, all with the same seed: a frame's noise does not depend on who is beside it.
    """

    def __init__(self, span: slice, hints: Tensor | None, seed: int) -> None:
        self.span = span
        self.count = span.stop - span.start
        self.hints = hints
        self.generators = [torch.Generator().manual_seed(seed) for _ in range(self.count)]
        self.offsets = torch.Generator().manual_seed(seed)


def _scheduler_step(
    scheduler: Any, prediction: Tensor, t: Tensor, latents: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """One solver step for all frames; multistep and stochastic schedulers see the frames as one batch."""
    noise = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    previous: Tensor = scheduler.step(prediction, t, latents, return_dict=False, **noise)[0]
    return previous
