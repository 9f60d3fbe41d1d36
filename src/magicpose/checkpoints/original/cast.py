"""Networks moved and cast without a word from their libraries."""

from __future__ import annotations

import torch
from torch import nn


def cast(network: nn.Module, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> None:
    """`network.to(...)` in place; diffusers' own warns of modules to keep in float32 even where there are none."""
    nn.Module.to(network, device=device, dtype=dtype)
