"""The bench: the original's loop against ours, in one process, taking turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import psutil
import torch

from magicpose.acceleration.arithmetic import Arithmetic
from magicpose.animation.presets import PRESETS
from magicpose.bench.machine import GIB, Machine, this_machine
from magicpose.bench.measure import (
    Costs,
    Round,
    best_of,
    count_multiply_adds,
    frame_cost,
    psnr,
    step_cost,
    time_fast,
    time_original,
    weights_gib,
)
from magicpose.bench.modes import MODES, ORIGINAL, prepared
from magicpose.bench.stack import Stack, Width, build_stack, make_inputs
from magicpose.errors import UserError
from magicpose.sampling import FramePlan, Guidance, sample

Say = Callable[[str], None]
FRAME_COUNTS = (1, 4, 16, 64)
ORIGINAL_STEPS = 50
DEFAULT_MODES = (ORIGINAL, "fp32", "fp32-winograd", "bf16", "bf16-int8")
SHARING_FRAMES = 16  # frames that share a bank where one figure is given
# Measured at 512 px (docs/speed.md): float32 weights; what Winograd and int8 make of them, in shares of those; what the
# original's score matrices take; what one of our calls takes with two frames or fewer.
_STACK_GIB: dict[Width, float] = {"sd15": 8.1, "tiny": 0.2}
_MADE_OF_WEIGHTS: dict[Arithmetic, float] = {"plain": 0.0, "winograd": 1.0, "int8": 0.14}
_SCORES_GIB, _CALL_GIB = 4.0, 3.3


@dataclass(frozen=True)
class BenchSettings:
    """What to measure.

    Args:
        size_px: side of the frames; `more_sizes` are measured with `sizes_mode`, one frame at a time.
        modes: names in `MODES`, or "original".
        batch: frames per network call in our modes.
        rounds: how often every mode takes its turn; the best time of each part counts.
        width: full size, or tiny for a trial of the bench itself.
    """

    size_px: int = 512
    more_sizes: tuple[int, ...] = (256,)
    sizes_mode: str = "bf16"
    modes: tuple[str, ...] = DEFAULT_MODES
    batch: int = 4
    rounds: int = 2
    guidance_scale: float = 7.0
    width: Width = "sd15"

    def check(self) -> None:
        """UserError for what cannot be run here."""
        known = (ORIGINAL, *MODES)
        for name in (*self.modes, self.sizes_mode):
            if name not in known:
                raise UserError(f"unknown mode {name!r}: choose from {', '.join(known)}")
        for size in (self.size_px, *self.more_sizes):
            if size < 64 or size % 64:
                raise UserError(f"size {size} must be a multiple of 64")
        if self.batch < 1 or self.rounds < 1:
            raise UserError("batch and rounds must be at least 1")
        free = psutil.virtual_memory().available / GIB
        turns = {(name, self.size_px, self.batch) for name in self.modes}
        turns |= {(self.sizes_mode, size, 1) for size in self.more_sizes}
        for name, size, frames in sorted(turns):
            needed = gib_needed(name, self.width, size, frames)
            if free < needed:
                raise UserError(
                    f"mode {name} at {size} px needs about {needed:.0f} GiB of free memory, there are {free:.1f}: "
                    "close programs, choose a smaller size or batch, or other modes"
                )


def gib_needed(mode: str, width: Width, size_px: int, frames: int) -> float:
    """Estimated peak of a mode's turn in GiB, the float32 stack that all modes are made from included."""
    stack, area = _STACK_GIB[width], (size_px / 512) ** 2
    if mode == ORIGINAL:
        return stack + _SCORES_GIB * area**2
    chosen = MODES[mode]
    held = stack * _MADE_OF_WEIGHTS[chosen.arithmetic]
    if chosen.copies:
        held += stack * chosen.dtype.itemsize / 4
    call = _CALL_GIB * area * max(1.0, frames / 2) * chosen.dtype.itemsize / 4
    return stack + max(stack if chosen.copies else 0.0, held + call)  # copied before the copy is made smaller


def run_bench(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measures everything; returns plain JSON. `say` hears a line about each thing that takes long."""
    settings.check()
    machine = this_machine()
    say(f"{machine.cpu}, {machine.threads} threads, {', '.join(machine.instructions[:3])}")
    counts, original_counts = count_multiply_adds(settings.width, settings.size_px)
    stack = build_stack(settings.width)
    rounds, facts = _take_turns(settings, stack, say)
    reference = next(iter(rounds.values()))[0].guided
    results = {}
    for name, turns in rounds.items():
        macs = original_counts if name == ORIGINAL else counts
        results[name] = facts[name] | _summary(name, turns, macs, machine)
        results[name]["psnr_db"] = psnr(turns[0].guided[:1], reference[:1])
    if ORIGINAL in results:
        for row in results.values():
            row["times_faster"] = results[ORIGINAL]["step_s"] / row["step_s"]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "machine": asdict(machine),
        "settings": asdict(settings),
        "multiply_adds_g": {part: round(count / 1e9, 1) for part, count in counts.items()},
        "modes": results,
        "presets": _presets(results),
        "sizes": {str(size): _one_size(settings, stack, size, machine, say) for size in settings.more_sizes},
    }


def _take_turns(
    settings: BenchSettings, stack: Stack, say: Say
) -> tuple[dict[str, list[Round]], dict[str, dict[str, Any]]]:
    """Every mode `rounds` times, one after the other; and what is known of each mode besides."""
    inputs = make_inputs(stack, settings.size_px, settings.batch)
    rounds: dict[str, list[Round]] = {name: [] for name in settings.modes}
    facts: dict[str, dict[str, Any]] = {name: {} for name in settings.modes}
    for turn in range(settings.rounds):
        for name in settings.modes:
            if name == ORIGINAL:
                done = time_original(stack, inputs, settings.guidance_scale)
                facts[name] = {"weights_gib": weights_gib(stack)}
            else:
                mode = MODES[name]
                fitting = inputs.to(mode.dtype)
                with prepared(mode, stack) as ours:
                    if mode.prepares:
                        began = time.perf_counter()
                        time_fast(ours, fitting, settings.guidance_scale)
                        facts[name].setdefault("warm_up_s", []).append(time.perf_counter() - began)
                    done = time_fast(ours, fitting, settings.guidance_scale)
                    facts[name]["weights_gib"] = weights_gib(ours)
                    if turn == 0:
                        facts[name]["sample_step_s"] = _sampled_step(ours, settings)
                del ours
            rounds[name].append(done)
            say(f"round {turn + 1}, {name}: " + ", ".join(f"{k} {v:.2f} s" for k, v in done.seconds.items()))
    return rounds, facts


def _sampled_step(stack: Stack, settings: BenchSettings) -> float:
    """Seconds per frame of one guided step of `sample` itself, all frames of one batch: checks the sum of parts."""
    inputs = make_inputs(stack, settings.size_px, settings.batch)
    began = time.perf_counter()
    sample(
        stack.model,
        inputs.latents,
        inputs.reference,
        inputs.pose,
        inputs.context,
        steps=1,
        guidance=Guidance(settings.guidance_scale),
        plan=FramePlan(settings.batch),
    )
    return (time.perf_counter() - began) / settings.batch


def _summary(name: str, turns: Sequence[Round], macs: Costs, machine: Machine) -> dict[str, Any]:
    """The figures of one mode from its rounds."""
    best = best_of(list(turns))
    row: dict[str, Any] = {
        "seconds": best,
        "added_gib": max(turn.added_gib for turn in turns),
        "rounds": [turn.as_json() for turn in turns],
    }
    dtype = torch.float32 if name == ORIGINAL else MODES[name].dtype
    if name == ORIGINAL:
        row["step_s"], step_macs = best["step"], macs["step"]
    else:
        row["step_s"], step_macs = step_cost(best, SHARING_FRAMES), step_cost(macs, SHARING_FRAMES)
        row["step_s_by_frames"] = {str(count): step_cost(best, count) for count in FRAME_COUNTS}
        row["unguided_step_s"] = step_cost(best, SHARING_FRAMES, guided=False)
    rate = step_macs / row["step_s"] / 1e9
    row["gmacs_per_s"] = rate
    row["share_of_peak"] = rate / machine.peak_gmacs[str(dtype).removeprefix("torch.")]
    return row


def _presets(results: dict[str, Any]) -> dict[str, Any]:
    """Seconds per finished frame, decoding included, composed of measured parts, and how much faster that is."""
    table: dict[str, Any] = {}
    original = results.get(ORIGINAL)
    whole = None if original is None else ORIGINAL_STEPS * original["step_s"] + original["seconds"]["decode"]
    for name, row in results.items():
        if name == ORIGINAL:
            continue
        for preset, settings in PRESETS.items():
            guidance = Guidance(start=settings.guided_from, stop=settings.guided_to)
            guided = sum(guidance.active(step, settings.steps) for step in range(settings.steps))
            seconds = frame_cost(row["seconds"], SHARING_FRAMES, settings.steps, guided)
            entry = {"seconds": seconds, "steps": settings.steps, "guided_steps": guided}
            table.setdefault(name, {})[preset] = entry | ({} if whole is None else {"times_faster": whole / seconds})
    return table


def _one_size(settings: BenchSettings, stack: Stack, size_px: int, machine: Machine, say: Say) -> dict[str, Any]:
    """Our parts at another size, one frame, one round."""
    mode = MODES[settings.sizes_mode]
    with prepared(mode, stack) as ours:
        inputs = make_inputs(ours, size_px, 1).to(mode.dtype)
        if mode.prepares:
            time_fast(ours, inputs, settings.guidance_scale)
        done = time_fast(ours, inputs, settings.guidance_scale)
    say(f"{size_px} px, {settings.sizes_mode}: " + ", ".join(f"{k} {v:.2f} s" for k, v in done.seconds.items()))
    counts, _ = count_multiply_adds(settings.width, size_px)
    return _summary(settings.sizes_mode, [done], counts, machine)
