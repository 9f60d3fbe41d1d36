"""Multi-source self-attention (MagicPose Sec. 4.2, Eq. 3) as one stateless attention processor.

The same processor serves both networks. The appearance branch *records* the input of every self-attention;
the denoising UNet *appends* what was recorded to its own keys and values. Both travel as arguments
(`cross_attention_kwargs`), so nothing is stored on a module: gradient checkpointing, compiled graphs,
threads and several banks in flight are all safe.

Shapes: B batch, T tokens (h*w), R reference tokens, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ReferenceBank = Mapping[str, Tensor]
"""Per self-attention layer, in traversal order: the reference's normed hidden states [B, R, C]."""

SELF_ATTENTION = "attn1"  # diffusers' name for the self-attention of a transformer block


class MultiSourceAttention:
    """Attention whose keys and values may come from the image itself, from the text, or from a reference too.

    Args:
        name: the layer's module path, e.g. `mid_block.attentions.0.transformer_blocks.0.attn1`; the key under
            which this layer records to, or reads from, a bank.
    """

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
        bank: ReferenceBank | None = None,
    ) -> Tensor:
        """`hidden_states` [B, T, C] -> [B, T, C].

        A self-attention (no `encoder_hidden_states`) writes its input to `record`, and attends to
        `cat([x, bank[name]])`, both projected with this network's own `to_k` and `to_v`: read literally, Eq. 3
        projects the bank with the appearance branch's weights, but released checkpoints were trained this way.
        """
        assert attention_mask is None, "the UNets of this method use no attention mask"
        sources = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is None:
            if record is not None:
                record[self.name] = hidden_states
            if bank is not None:
                reference = bank[self.name].to(hidden_states.dtype)
                if reference.shape[0] != hidden_states.shape[0]:  # one bank serves every frame of a clip
                    reference = reference.expand(hidden_states.shape[0], -1, -1)
                sources = torch.cat([hidden_states, reference], dim=1)  # [B, T+R, C]
        attended = attend(attn.to_q(hidden_states), attn.to_k(sources), attn.to_v(sources), attn.heads)
        return attn.to_out[1](attn.to_out[0](attended))


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V with `heads` heads: [B, T, C], [B or 1, S, C] twice -> [B, T, C].

    Keys and values of batch 1 serve all of the batch: one text for all frames is projected once per layer.
    """
    key, value = (x.expand(query.shape[0], -1, -1) for x in (key, value))
    if key.shape[1] == 1:  # a single token gets all the weight
        return value.expand(-1, query.shape[1], -1)
    q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key, value))
    if torch.is_grad_enabled() and q.device.type == "cpu":
        # The flash kernel's backward is slow on CPUs: plain matrix products train a quarter faster.
        attended = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1).to(v.dtype) @ v
    else:
        attended = F.scaled_dot_product_attention(q, k, v)
    return attended.transpose(1, 2).flatten(2)


def attention_layers(unet: nn.Module) -> list[str]:
    """Module paths of every self-attention in the order the forward pass meets them (16 for SD 1.5)."""
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    names = [name for name, _ in unet.named_modules() if name.endswith("." + SELF_ATTENTION)]
    return sorted(names, key=lambda name: order[name.split(".")[0]])  # stable: keeps the order inside a group


def use_multi_source_attention(unet: Any) -> dict[str, Any]:
    """Gives every attention of `unet` the processor above; returns the processors it had, for `set_attn_processor`."""
    before: dict[str, Any] = unet.attn_processors
    unet.set_attn_processor({name: MultiSourceAttention(name.removesuffix(".processor")) for name in before})
    return before
