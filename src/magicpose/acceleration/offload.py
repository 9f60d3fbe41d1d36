"""Networks larger than the accelerator's memory: weights are offloaded to main memory, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def offload(networks: Iterable[nn.Module], device: torch.device) -> None:
    """Leaves the weights of `networks` on the CPU; each layer's are copied to `device` for its forward pass.

    Slow, exact, and needs little more than the activations there. Inputs must be on `device`. Layers, not whole
    networks, because the fast path calls parts of them (hint encoder, keys and values of the bank). On CUDA the weights
    of the next layer are copied during the forward pass of the current one.
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
