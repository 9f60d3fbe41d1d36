"""What a run would do, without a step and without a file."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from magicpose.errors import UserError, require
from magicpose.networks.autoencoder import stride
from magicpose.training.config import TrainConfig, check_counts
from magicpose.training.data.clips import ClipFolder
from magicpose.training.meter import GIB
from magicpose.training.muon import is_matrix
from magicpose.training.output import RunFolder
from magicpose.training.setup import Setup, set_up
from magicpose.training.stages import STAGES


def describe(config: TrainConfig) -> list[str]:
    """Lines for people: stage, data, parameters, memory, steps. Networks are made, nothing is written.

    Raises UserError where the run itself would before its first step.
    """
    require("accelerate", "yaml")
    check_counts(config)
    if config.stage not in STAGES:
        raise UserError(f"unknown stage {config.stage!r}: choose one of {', '.join(STAGES)}")
    folder = RunFolder(config.output)
    folder.check(config)
    setup = set_up(config, torch.device("cpu"))
    newest = folder.newest()
    return [
        f"stage       {config.stage}: {STAGES[config.stage].about}",
        f"training    {_clips(setup.clips.train)} from {config.data.train}",
        f"validation  {_clips(setup.clips.validation)} from {config.data.validation}",
        f"pictures    {config.data.size_px}x{config.data.size_px}, the central square",
        f"parameters  {_parameters(setup)}",
        f"memory      {_memory(config, setup)}",
        f"steps       {_steps(config, setup)}",
        f"optimiser   {config.optimizer.kind}, learning rate {config.optimizer.learning_rate:g}, seed {config.seed}",
        f"output      {config.output}: " + ("a new run" if newest is None else f"would continue from {newest.name}"),
    ]


def _clips(clips: Sequence[ClipFolder]) -> str:
    sizes = sorted({clip.size for clip in clips})
    shown = ", ".join(f"{width}x{height}" for width, height in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
    return f"{len(clips)} clips, {sum(len(clip.frames) for clip in clips)} frames of {shown}"


def _parameters(setup: Setup) -> str:
    trained = {id(parameter) for parameter in setup.trained.values()}
    parts = []
    for name, module in setup.networks.parts.items():
        total = sum(parameter.numel() for parameter in module.parameters())
        moved = sum(parameter.numel() for parameter in module.parameters() if id(parameter) in trained)
        parts.append(f"{name} {_count(moved)} of {_count(total)}")
    return f"{_count(sum(p.numel() for p in setup.trained.values()))} trained ({', '.join(parts)})"


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else str(number)


def _memory(config: TrainConfig, setup: Setup) -> str:
    """What one process holds between steps; float32 throughout but for latents."""
    everything = {id(p): p.numel() for p in setup.task.objective.parameters()}
    everything |= {id(p): p.numel() for module in setup.networks.parts.values() for p in module.parameters()}
    moved = sum(parameter.numel() for parameter in setup.trained.values())
    by_muon = sum(p.numel() for name, p in setup.trained.items() if is_matrix(name, p))
    moments = 2 * moved - (by_muon if config.optimizer.kind == "muon" else 0)
    rounded = sum(p.numel() for p in setup.trained.values() if p.ndim > 1) if config.rounding else 0
    state = 4 * (sum(everything.values()) + 2 * moved + moments + rounded)  # weights, gradients, average, moments, copy
    line = f"{state / GIB:.2f} GiB for weights, gradients, optimiser and average"
    latents = _latent_bytes(config, setup)
    return (
        line + (f", {latents / GIB:.2f} GiB for latents" if latents else "") + "; the activations of a step add to it"
    )


def _latent_bytes(config: TrainConfig, setup: Setup) -> int:
    if STAGES[config.stage].kind == "autoencoder":
        return 0
    vae = setup.networks.parts["vae"]
    shape = (vae.config.latent_channels, *[config.data.size_px // stride(vae)] * 2)
    return 2 * prod(shape) * sum(len(clip.frames) for clip in (*setup.clips.train, *setup.clips.validation))


def _steps(config: TrainConfig, setup: Setup) -> str:
    batch = config.batch
    pictures = batch.clips * batch.targets * batch.accumulate
    frames = sum(len(clip.frames) for clip in setup.clips.train)
    summed = f", {batch.accumulate} batches summed" if batch.accumulate > 1 else ""
    return (
        f"{config.steps}, each of {pictures} pictures in one process ({batch.clips} clips x {batch.targets} frames"
        f"{summed}): every frame {config.steps * pictures / frames:.3g} times on average"
    )
