"""How much work a frame gets: one row per preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magicpose.errors import UserError

PresetName = Literal["exact", "balanced", "fast"]


@dataclass(frozen=True)
class Preset:
    """Solver, its steps, and the part of them (0 first, 1 last) in which guidance is on."""

    scheduler: str
    steps: int
    guided_from: float
    guided_to: float
    about: str


PRESETS: dict[PresetName, Preset] = {
    "exact": Preset("ddim", 50, 0.0, 1.0, "the original's sampling"),
    "balanced": Preset("dpm++2m", 20, 0.0, 1.0, "a higher-order solver needs fewer steps"),
    "fast": Preset("unipc", 10, 0.0, 0.7, "few steps, the last of them unguided"),
}


def check_temperature(temperature: float) -> None:
    """UserError where no start noise can be scaled by it."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"the temperature must be 0 or more, not {temperature:g}: 1 is the paper's")
