"""Presets of sampling quality and speed, one row each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from magicpose.checkpoints.index import ModelSettings

PresetName = Literal["exact", "balanced", "fast"]


@dataclass(frozen=True)
class Preset:
    """Solver, its steps, and the part of them (0 first, 1 last) in which guidance is on."""

    scheduler: str
    steps: int
    guidance_start: float
    guidance_stop: float
    description: str


PRESETS: dict[PresetName, Preset] = {
    "exact": Preset("ddim", 50, 0.0, 1.0, "the original's sampling"),
    "balanced": Preset("dpm++2m", 20, 0.0, 1.0, "a higher-order solver needs fewer steps"),
    "fast": Preset("unipc", 10, 0.0, 0.7, "few steps, the last of them unguided"),
}


def choose_preset(name: PresetName | None, model: ModelSettings) -> Preset:
    """The row `name`; None: "balanced", with the solver and the number of steps that the model itself has.

    For a model that has its own number of steps, "fast" is half of them by its own solver: a model that needs few to
    begin with would hardly be faster by the table.
    """
    if name == "fast" and model.steps is not None:
        row = PRESETS[name]
        return replace(row, scheduler=model.solver or row.scheduler, steps=max(1, min(row.steps, model.steps // 2)))
    if name is not None:
        return PRESETS[name]
    usual = PRESETS["balanced"]
    return replace(usual, scheduler=model.solver or usual.scheduler, steps=model.steps or usual.steps)
