"""The thirteen diffusion constants that original checkpoints carry as buffers."""

from __future__ import annotations

import torch
from torch import Tensor

SCHEDULE_BUFFERS = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
)


def schedule_buffers(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> dict[str, Tensor]:
    """float32 [steps] each, computed in float64: scaled-linear betas and what DDPM derives from them."""
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    alphas = 1 - betas
    a = torch.cumprod(alphas, 0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), a[:-1]])
    variance = betas * (1 - before) / (1 - a)  # of q(x_{t-1} | x_t, x_0)
    values = (
        betas,
        a,
        before,
        a.sqrt(),
        (1 - a).sqrt(),
        (1 - a).log(),
        (1 / a).sqrt(),
        (1 / a - 1).sqrt(),
        variance,
        variance.clamp(min=1e-20).log(),
        betas * before.sqrt() / (1 - a),
        (1 - before) * alphas.sqrt() / (1 - a),
        torch.zeros(steps),
    )
    return {name: value.float() for name, value in zip(SCHEDULE_BUFFERS, values, strict=True)}
