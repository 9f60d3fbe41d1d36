"""The noise schedule: what a network predicts, how latents are made noisy, and the solvers that take the noise away.

Whether a network predicts the noise or v (Salimans & Ho 2022) is decided here, once: everything else asks for what
it needs by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from magicpose.errors import UserError

if TYPE_CHECKING:  # the names of solvers are needed before torch is
    from torch import Tensor

Prediction = Literal["epsilon", "v_prediction"]

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


_BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
_SPACINGS = ("leading", "trailing", "linspace")
_MOST_TIMESTEPS = 100_000

# key of a scheduler's configuration -> (what it must be, whether a value is that)
_CHECKS: dict[str, tuple[str, Any]] = {
    "beta_start": ("a number between 0 and 1", lambda value: _is_rate(value)),
    "beta_end": ("a number between 0 and 1", lambda value: _is_rate(value)),
    "beta_schedule": (f"one of {', '.join(_BETAS)}", lambda value: value in _BETAS),
    "num_train_timesteps": (
        f"a whole number, 1 to {_MOST_TIMESTEPS}",
        lambda value: isinstance(value, int) and 1 <= value <= _MOST_TIMESTEPS,
    ),
    "prediction_type": ("epsilon or v_prediction", lambda value: value in ("epsilon", "v_prediction")),
    "timestep_spacing": (f"one of {', '.join(_SPACINGS)}", lambda value: value in _SPACINGS),
}


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < 1


def check_schedule(schedule: Mapping[str, Any], source: Path | str) -> dict[str, Any]:
    """What `make_scheduler` uses of a scheduler's configuration; UserError, naming `source`, for what it cannot use."""
    known = {key: schedule[key] for key in _CHECKS if key in schedule}
    for key, value in known.items():
        expected, fits = _CHECKS[key]
        if not fits(value):
            raise UserError(f"{source}: {key} must be {expected}, not {value!r}; take the scheduler of the base")
    return SD15_SCHEDULE | known


def check_temperature(temperature: float) -> None:
    """UserError where no start noise can be scaled by it."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"the temperature must be 0 or more, not {temperature:g}: 1 is the paper's")


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process q(x_t | x_0) = N(sqrt(a_t) x_0, (1 - a_t) I), and what the network predicts of it.

    Shapes: latents [B, C, h, w]; timesteps int64 [B], or a single one.
    """

    alphas_cumprod: Tensor  # [1000]
    prediction_type: Prediction

    def __post_init__(self) -> None:
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise UserError(
                f"the scheduler's prediction_type is {self.prediction_type!r}: choose epsilon or v_prediction"
            )

    @classmethod
    def of(cls, scheduler: Any) -> NoiseSchedule:
        """That of a diffusers scheduler."""
        return cls(scheduler.alphas_cumprod, scheduler.config.prediction_type)

    def noisy(self, x0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, what the network must predict), both [B, C, h, w]; `t` int64 [B]."""
        signal, sigma = self._parts(t, x0)
        target = noise if self.prediction_type == "epsilon" else signal * noise - sigma * x0
        return signal * x0 + sigma * noise, target

    def clean(self, x: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The clean latents that `prediction` means for noisy latents `x` at timestep `t`."""
        signal, sigma = self._parts(t, x)
        if self.prediction_type == "epsilon":
            return (x - sigma * prediction) / signal
        return signal * x - sigma * prediction

    def min_snr_weight(self, t: Tensor, gamma: float) -> Tensor:
        """min(SNR, gamma) / SNR for noise prediction, / (SNR + 1) for v-prediction (Hang et al. 2023): [B]."""
        a = self.alphas_cumprod.to(t.device)[t]
        snr = a / (1 - a)
        return snr.clamp(max=gamma) / (snr if self.prediction_type == "epsilon" else snr + 1)

    def _parts(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(a_t) and sqrt(1 - a_t), ready to be multiplied with latents `x`."""
        a = self.alphas_cumprod.to(x.device)[t.long().reshape(-1)][:, None, None, None]
        return a.sqrt(), (1 - a).sqrt()
