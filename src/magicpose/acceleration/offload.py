"""Networks larger than the accelerator's memory: weights wait in main memory, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def offload(networks: Iterable[nn.Module], device: torch.device) -> None:
    """Leaves the weights of `networks` on the CPU; each layer's visit `device` for its own forward.

    Slow, exact, and needs little more than the activations there. Inputs must be on `device`. Layers, not whole
    networks, because the fast path calls parts of them (hint encoder, keys and values of the bank). On CUDA the next
    layer's weights travel while the present one works.
    """
    from diffusers.hooks import apply_group_offloading

    for network in networks:
        apply_group_offloading(
            network,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
        )
