"""The denoising loop: image-CFG (MagicPose Sec. 4.4), one bank per timestep, frames in batches.

What makes it fast changes no number: the bank is made once per timestep for all frames, and projected to keys and
values once; the hint encoder runs once per frame; the unconditional half is the plain UNet, without reference, pose
or ControlNet. The solver works in float32 whatever the networks' dtype.

Shapes: F frames, [F, 4, h, w] latents, [F, 3, s*h, s*w] pose maps with s = `model.pose_stride`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from magicpose.acceleration.capacity import frames_that_fit
from magicpose.errors import UserError
from magicpose.networks.appearance import join_references
from magicpose.networks.attention import KeysValues
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules

Bank = dict[str, Tensor]
ProjectedBank = Mapping[str, KeysValues]
Progress = Callable[[int, int], None]  # (frame-steps done, frame-steps in all)

# Stable Diffusion 1.5's schedule, as in the original implementation (method: DDIM, 50 steps, eta 0).
SD15_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
}

# name -> (diffusers class, what it adds to the schedule)
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": (
        "DDIMScheduler",
        {"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False, "timestep_spacing": "leading"},
    ),
    "dpm++2m": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    "unipc": ("UniPCMultistepScheduler", {"solver_order": 2, "use_karras_sigmas": True}),
    "lcm": (
        "LCMScheduler",
        {"original_inference_steps": 50, "clip_sample": False, "set_alpha_to_one": False},
    ),
    "tcd": (
        "TCDScheduler",
        {"original_inference_steps": 50, "clip_sample": False, "set_alpha_to_one": False},
    ),
}


def make_scheduler(name: str, schedule: Mapping[str, Any] = SD15_SCHEDULE) -> Any:
    """A fresh diffusers scheduler by our short `name`, on the betas and prediction type of `schedule`."""
    import diffusers

    if name not in SCHEDULERS:
        raise UserError(f"unknown scheduler {name!r}: choose one of {', '.join(SCHEDULERS)}")
    class_name, settings = SCHEDULERS[name]
    kept = {key: schedule[key] for key in (*SD15_SCHEDULE, "timestep_spacing") if key in schedule}
    return getattr(diffusers, class_name)(**{**settings, **kept})


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


@dataclass(frozen=True)
class FramePlan:
    """How the frames of a clip share the work; no choice here changes a frame.

    Args:
        batch: frames per network call at most; fewer where memory is short (a motion window stays whole).
        group: frames that run through all steps together; a small group gives first frames early and keeps
            one bank per timestep in memory (`bank_bytes` each). None: all frames, one bank at a time.
        window, stride: with a motion module, frames per window and the distance between windows on the ring.
    """

    batch: int = 8
    group: int | None = None
    window: int = 16
    stride: int = 12


def bank_bytes(bank: Mapping[str, Tensor]) -> int:
    """Memory of one bank; streaming keeps one per timestep."""
    return sum(states.numel() * states.element_size() for states in bank.values())


def ring_windows(frames: int, window: int, stride: int, offset: int) -> list[list[int]]:
    """Windows of `window` frames every `stride` on the clip seen as a ring, starting at `offset`; all covered."""
    if frames <= window:
        return [list(range(frames))]
    return [[(start + offset + k) % frames for k in range(window)] for start in range(0, frames, stride)]


@torch.no_grad()
def sample(
    model: MagicPoseModel,
    noise: Tensor,
    reference_latents: Tensor | Sequence[Tensor] | None,
    pose: Tensor | None,
    context: Tensor,
    steps: int = 50,
    guidance_scale: float = 7.0,
    scheduler: str | Any = "ddim",
    guidance: Guidance | None = None,
    plan: FramePlan | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_group: Callable[[slice, Tensor], None] | None = None,
    frames_done: int = 0,
    on_step: Callable[[slice, Tensor], None] | None = None,
) -> Tensor:
    """Denoises a clip; returns clean latents [F, 4, h, w], in the dtype of `noise`.

    Args:
        noise: [F, 4, h, w], or [1, 4, h, w] shared by all frames (the original's way: steadier clips).
        reference_latents: [1, 4, h, w] for the whole clip, or [F, 4, h, w] one per frame; a sequence of such
            tensors gives several references, whose banks are concatenated; None: no appearance control.
        pose: [F, 3, s*h, s*w] in [0, 1], or None for appearance alone.
        context: text states [1, S, D] or [F, S, D], the same in both halves of the guidance.
        scheduler: a name in `SCHEDULERS`, or a diffusers scheduler (used as a template, never changed).
        guidance: overrides `guidance_scale` with an interval.
        seed: for schedulers that add noise, and for the motion windows' offsets.
        on_group: receives the finished latents of each group of frames, in order.
        frames_done: skip this many frames of earlier groups (a resumed job).
        on_step: receives, after every step of a group, float32 latents it would end with if the prediction were right.
    """
    template = make_scheduler(scheduler) if isinstance(scheduler, str) else scheduler
    references = [reference_latents] if isinstance(reference_latents, Tensor) else list(reference_latents or ())
    dtype = next(model.unet.parameters()).dtype
    references = [reference.to(dtype) for reference in references]
    pose, context = None if pose is None else pose.to(dtype), context.to(dtype)
    plan = plan or FramePlan()
    batch = min(plan.batch, frames_that_fit(model, *noise.shape[-2:]))
    clip = _Clip(model, references, pose, context, guidance or Guidance(guidance_scale), plan, batch, seed)
    frames = len(pose) if pose is not None else len(noise)
    group = frames if clip.plan.group is None or model.motion is not None else clip.plan.group
    banks: dict[float, Bank] | None = {} if group < frames else None
    done: list[Tensor] = []
    motion = model.motion.insert(model.unet) if isinstance(model.motion, MotionModules) else nullcontext()
    with motion:
        for first in range(frames_done, frames, group):
            span = slice(first, min(first + group, frames))
            start = noise if len(noise) == 1 else noise[span]
            latents = clip.denoise(start, span, copy.deepcopy(template), steps, frames, banks, progress, on_step)
            latents = latents.to(noise.dtype)
            done.append(latents)
            if on_group is not None:
                on_group(span, latents)
    return torch.cat(done)


@dataclass(frozen=True)
class _Clip:
    """What stays the same through all steps of one clip."""

    model: MagicPoseModel
    references: list[Tensor]
    pose: Tensor | None
    context: Tensor
    guidance: Guidance
    plan: FramePlan
    batch: int
    seed: int

    def denoise(
        self,
        noise: Tensor,
        span: slice,
        scheduler: Any,
        steps: int,
        frames_in_all: int,
        banks: dict[float, Bank] | None,
        progress: Progress | None,
        on_step: Callable[[slice, Tensor], None] | None,
    ) -> Tensor:
        """All steps for the frames of `span`."""
        scheduler.set_timesteps(steps, device=noise.device)
        count = span.stop - span.start
        latents = noise.float() * scheduler.init_noise_sigma
        hints = self._hints(span)
        # One generator per frame, all alike: a frame's noise does not depend on who is beside it.
        generators = [torch.Generator().manual_seed(self.seed) for _ in range(count)]
        offsets = torch.Generator().manual_seed(self.seed)
        timesteps = scheduler.timesteps
        for step, t in enumerate(timesteps):
            bank = self.model.project_bank(self._bank(t, banks))  # the last timestep's bank is gone by now
            guided = self.guidance.active(step, len(timesteps))
            scaled = scheduler.scale_model_input(latents, t)
            prediction = self._predict(scaled, t, bank, hints, span, guided, offsets)
            latents = latents.expand(count, -1, -1, -1)
            if on_step is not None:
                on_step(span, clean_estimate(scheduler, latents, prediction, t))
            latents = _scheduler_step(scheduler, prediction, t, latents, generators)
            del bank
            if progress is not None:
                progress(span.start * len(timesteps) + count * (step + 1), frames_in_all * len(timesteps))
        return latents

    def _hints(self, span: slice) -> Tensor | None:
        if self.pose is None:
            return None
        maps = self.pose[span]
        return torch.cat([self.model.hint(chunk) for chunk in torch.split(maps, self.batch)])

    def _bank(self, t: Tensor, banks: dict[float, Bank] | None) -> Bank:
        if not self.references:
            return {}
        key = float(t)
        if banks is not None and key in banks:
            return banks[key]
        bank = join_references(
            [
                self.model.reference_bank(
                    reference, t.reshape(1).expand(len(reference)), self.context[: len(reference)]
                )
                for reference in self.references
            ]
        )
        if banks is not None:
            banks[key] = bank
        return bank

    def _predict(
        self,
        latents: Tensor,
        t: Tensor,
        bank: ProjectedBank,
        hints: Tensor | None,
        span: slice,
        guided: bool,
        offsets: torch.Generator,
    ) -> Tensor:
        """The (guided) prediction for all frames of the span: float32 [count, 4, h, w]."""
        count = span.stop - span.start
        latents = latents.to(self.context.dtype)
        shared = len(latents) == 1 and count > 1  # the first step: all frames still look alike
        once = guided and shared and len(self.context) == 1 and self.model.motion is None
        unconditional = self.model.denoise(latents, t.reshape(1), self.context).float() if once else None
        latents = latents.expand(count, -1, -1, -1)
        total = torch.zeros(latents.shape, device=latents.device)
        visits = torch.zeros(count, device=latents.device)
        for frames in self._batches(count, offsets):
            index = torch.tensor(frames, device=latents.device)
            x, where = latents[index], index + span.start
            prediction = self._conditional(x, t, bank, None if hints is None else hints[index], where)
            if guided:
                u = self._unconditional(x, t, where) if unconditional is None else unconditional
                prediction = u + self.guidance.scale * (prediction - u)
            total.index_add_(0, index, prediction)
            visits.index_add_(0, index, torch.ones_like(index, dtype=visits.dtype))
        return total / visits[:, None, None, None]

    def _conditional(self, x: Tensor, t: Tensor, bank: ProjectedBank, hints: Tensor | None, where: Tensor) -> Tensor:
        timestep = t.reshape(1).expand(len(x))
        context = self._context(where)
        rows = {name: KeysValues(*(s if len(s) == 1 else s[where] for s in entry)) for name, entry in bank.items()}
        residuals = None if hints is None else self.model.pose_residuals(x, timestep, context, hints)
        return self.model.denoise(x, timestep, context, rows or None, residuals).float()

    def _unconditional(self, x: Tensor, t: Tensor, where: Tensor) -> Tensor:
        return self.model.denoise(x, t.reshape(1).expand(len(x)), self._context(where)).float()

    def _context(self, where: Tensor) -> Tensor:
        return self.context if len(self.context) == 1 else self.context[where]

    def _batches(self, count: int, offsets: torch.Generator) -> Iterator[list[int]]:
        if self.model.motion is not None:
            offset = int(torch.randint(count, (1,), generator=offsets))
            yield from ring_windows(count, self.plan.window, self.plan.stride, offset)
        else:
            for first in range(0, count, self.batch):
                yield list(range(first, min(first + self.batch, count)))


def clean_estimate(scheduler: Any, latents: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
    """The clean latents that `prediction` means for noisy `latents` [F, 4, h, w] at timestep `t`."""
    signal = scheduler.alphas_cumprod.to(latents.device)[t.long()]
    if scheduler.config.prediction_type == "v_prediction":
        return signal.sqrt() * latents - (1 - signal).sqrt() * prediction
    return (latents - (1 - signal).sqrt() * prediction) / signal.sqrt()


def _scheduler_step(
    scheduler: Any, prediction: Tensor, t: Tensor, latents: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """One solver step for all frames; multistep and stochastic schedulers see the frames as one batch."""
    noise = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    previous: Tensor = scheduler.step(prediction, t, latents, return_dict=False, **noise)[0]
    return previous
