"""Which parameters a run moves, by which optimiser and at what rate."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import torch
from torch import nn

from magicpose.errors import UserError
from magicpose.training.config import OptimizerConfig, TrainConfig
from magicpose.training.muon import Muon


def learning_rate(config: TrainConfig, step: int) -> float:
    """Warm-up, constant, then linear to zero over the last part; `step` counts from 0."""
    settings = config.optimizer
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    decay_steps = config.steps * settings.decay_fraction
    cool = min(1.0, (config.steps - step) / decay_steps) if decay_steps else 1.0
    return settings.learning_rate * warm * cool


def make_optimizer(settings: OptimizerConfig, trained: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a run over its parameters by name."""
    rest: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": settings.betas,
        "weight_decay": settings.weight_decay,
    }
    if settings.kind == "muon":
        return Muon(trained, **rest)
    return torch.optim.AdamW(trained.values(), fused=True, **rest)


def trained_parameters(objective: nn.Module, patterns: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """The parameters with gradients, by name; with `patterns`, only those that match, all others are frozen.

    Raises UserError for a pattern that matches nothing.
    """
    trained = {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in trained):
            raise UserError(
                f"trained: {pattern!r} is the name of nothing this stage trains; names are like {next(iter(trained))}"
            )
    chosen = {name: p for name, p in trained.items() if any(fnmatch(name, pattern) for pattern in patterns or ("*",))}
    for name in trained.keys() - chosen.keys():
        trained[name].requires_grad_(False)
    return chosen
