"""Seconds, memory and multiply-adds of the calls that a clip is made of."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from magicpose.acceleration.int8 import Int8Layer
from magicpose.acceleration.packed import PackedLinear
from magicpose.acceleration.winograd import WinogradConv2d
from magicpose.bench.machine import PeakMemory
from magicpose.bench.original import original_step, plain_attention
from magicpose.bench.stack import Inputs, Stack, Width, build_stack, make_inputs

Costs = dict[str, float]
# The calls of the fast path, in order. The bank is per timestep, hint and decode once per frame of the clip,
# the other three per step and frame.
PER_TIMESTEP, PER_FRAME, PER_STEP = ("bank",), ("hint", "decode"), ("pose", "conditional", "unconditional")
PARTS = PER_TIMESTEP + PER_FRAME + PER_STEP


@dataclass(frozen=True)
class Round:
    """One mode run once: `seconds` by part (per frame, not per batch), what it added to memory, what it predicted."""

    seconds: Costs
    added_gib: float
    guided: Tensor

    def as_json(self) -> dict[str, Any]:
        """Without the prediction."""
        return {key: value for key, value in asdict(self).items() if key != "guided"}


@torch.no_grad()
def run_parts(
    stack: Stack, inputs: Inputs, scale: float, timed: Callable[[str, Callable[[], Any], int], Any]
) -> Tensor:
    """One guided step of our fast path for all frames of `inputs`, then a decoded frame; returns the prediction.

    Every call goes through `timed(part, call, frames that share it)`.
    """
    model, frames = stack.model, len(inputs.latents)
    x, context = inputs.latents, inputs.context
    t = inputs.timestep.expand(frames)
    bank = timed(
        "bank", lambda: model.project_bank(model.reference_bank(inputs.reference, inputs.timestep, context)), 1
    )
    hint = timed("hint", lambda: model.hint(inputs.pose), frames)
    residuals = timed("pose", lambda: model.pose_residuals(x, t, context, hint), frames)
    conditional = timed("conditional", lambda: model.denoise(x, t, context, bank, residuals), frames).float()
    unconditional = timed("unconditional", lambda: model.denoise(x, t, context), frames).float()
    timed("decode", lambda: stack.vae.decode(x[:1]).sample, 1)
    guided: Tensor = unconditional + scale * (conditional - unconditional)
    return guided


def time_fast(stack: Stack, inputs: Inputs, scale: float) -> Round:
    """Our calls, timed one by one."""
    seconds: Costs = {}

    def timed(part: str, call: Callable[[], Any], frames: int) -> Any:
        began = time.perf_counter()
        result = call()
        seconds[part] = (time.perf_counter() - began) / frames
        return result

    with PeakMemory() as memory:
        guided = run_parts(stack, inputs, scale, timed)
    return Round(seconds, memory.added_gib, guided)


def time_original(stack: Stack, inputs: Inputs, scale: float) -> Round:
    """The original's guided step for the first frame of `inputs`, and its decoder."""
    first = inputs.first(1)
    with plain_attention(stack.model), PeakMemory() as memory:
        began = time.perf_counter()
        guided = original_step(stack.model, first, scale)
        seconds = {"step": time.perf_counter() - began}
        with torch.no_grad():
            began = time.perf_counter()
            stack.vae.decode(first.latents)
            seconds["decode"] = time.perf_counter() - began
    return Round(seconds, memory.added_gib, guided)


@functools.cache
def count_multiply_adds(width: Width, size_px: int) -> tuple[Costs, Costs]:
    """Multiply-adds by part for one frame, ours and the original's, counted without computing anything."""
    stack = build_stack(width, "meta")
    inputs = make_inputs(stack, size_px, 1, "meta")
    ours: Costs = {}

    def counted(part: str, call: Callable[[], Any], _frames: int) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = call()
        ours[part] = counter.get_total_flops() / 2
        return result

    run_parts(stack, inputs, 1.0, counted)
    with plain_attention(stack.model), FlopCounterMode(display=False) as counter:
        original_step(stack.model, inputs, 1.0)
    return ours, {"step": counter.get_total_flops() / 2, "decode": ours["decode"]}


def step_cost(costs: Costs, frames: int, guided: bool = True) -> float:
    """Cost of a step per frame when `frames` share the bank."""
    per_step = PER_STEP if guided else PER_STEP[:-1]
    return sum(costs[part] for part in PER_TIMESTEP) / frames + sum(costs[part] for part in per_step)


def frame_cost(costs: Costs, frames: int, steps: int, guided_steps: int) -> float:
    """Cost of a finished frame of a clip of `frames`."""
    free = steps - guided_steps
    stepping = guided_steps * step_cost(costs, frames) + free * step_cost(costs, frames, guided=False)
    return stepping + sum(costs[part] for part in PER_FRAME)


def best_of(rounds: list[Round]) -> Costs:
    """The quickest time of each part: whatever else ran on the machine only ever adds."""
    return {part: min(each.seconds[part] for each in rounds) for part in rounds[0].seconds}


def psnr(actual: Tensor, wanted: Tensor) -> float:
    """dB over the range of `wanted` itself; infinite where they are equal."""
    error = float((actual.double() - wanted.double()).square().mean())
    span = float(wanted.max() - wanted.min())
    return math.inf if error == 0 else 10 * math.log10(span**2 / error)


def weights_gib(stack: Stack) -> float:
    """Memory of the weights of everything a frame passes through, and of what quicker layers made of them."""
    networks: tuple[nn.Module, ...] = (stack.model, stack.vae)
    given = sum(p.nbytes for network in networks for p in network.parameters())
    kinds = WinogradConv2d | PackedLinear | Int8Layer
    quick = [m for network in networks for m in network.modules() if isinstance(m, kinds)]
    return (given + sum(layer.made_bytes() for layer in quick)) / 2**30
