"""The original implementation's loop, re-created from our parts: what the fast path is compared with.

As released: float32, softmax attention with the whole score matrix in memory, one frame at a time, the appearance
branch at every step of every frame, the ControlNet (hint encoder included) in both halves of the guidance, although
the unconditional half throws its result away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from magicpose.bench.stack import Inputs
from magicpose.networks.attention import attention_layers
from magicpose.networks.model import MagicPoseModel


class PlainAttention:
    """Multi-source attention as the original writes it: bank concatenated before projection, scores in full."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        record: MutableMapping[str, Tensor] | None = None,
        bank: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """`hidden_states` [B, T, C] -> [B, T, C]."""
        sources = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is None and record is not None:
            record[self.name] = hidden_states
        if encoder_hidden_states is None and bank is not None:
            sources = torch.cat([hidden_states, bank[self.name]], dim=1)
        projected = (attn.to_q(hidden_states), attn.to_k(sources), attn.to_v(sources))
        q, k, v = (x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2).flatten(0, 1) for x in projected)
        scores = torch.einsum("bid,bjd->bij", q, k) * q.shape[-1] ** -0.5
        attended = torch.einsum("bij,bjd->bid", scores.softmax(dim=-1), v)
        joined = attended.view(-1, attn.heads, *attended.shape[1:]).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](joined))


@contextmanager
def plain_attention(model: MagicPoseModel) -> Iterator[None]:
    """The original's attention in all three networks for the length of a `with` block."""
    assert model.appearance is not None and model.pose_controlnet is not None
    networks: list[Any] = [model.unet, model.appearance.unet, model.pose_controlnet]
    ours = [network.attn_processors for network in networks]
    for network, processors in zip(networks, ours, strict=True):
        network.set_attn_processor({name: PlainAttention(name.removesuffix(".processor")) for name in processors})
    try:
        yield
    finally:
        for network, processors in zip(networks, ours, strict=True):
            network.set_attn_processor(processors)


@torch.no_grad()
def original_step(model: MagicPoseModel, inputs: Inputs, scale: float) -> Tensor:
    """The guided prediction [1, 4, h, w] of one frame at one step, within `plain_attention`."""
    assert model.pose_controlnet is not None and len(inputs.latents) == 1
    x, t, context = inputs.latents, inputs.timestep, inputs.context
    bank = model.reference_bank(inputs.reference, t, context)
    assert list(bank) == attention_layers(model.unet)
    skips, middle = model.pose_controlnet(x, t, context, inputs.pose, return_dict=False)
    conditional = model.denoise(x, t, context, bank, (skips, middle))
    model.pose_controlnet(x, t, context, inputs.pose, return_dict=False)  # the unconditional half's, never used
    unconditional = model.denoise(x, t, context)
    return unconditional + scale * (conditional - unconditional)
