"""Multi-source self-attention (MagicPose Sec. 4.2, Eq. 3) as one stateless attention processor.

The same processor serves both networks. The appearance branch *records* the input of every self-attention;
the denoising UNet *appends* what was recorded to its own keys and values. Both travel as arguments
(`cross_attention_kwargs`), so nothing is stored on a module: gradient checkpointing, compiled graphs,
threads and several banks in flight are all safe.

Shapes: B batch, T tokens (h*w), R reference tokens, C channels.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magicpose.networks.attend import attend_in_slices, train_in_slices


class KeysValues(NamedTuple):
    """What the denoising UNet makes of a reference in one layer: [B, R, C] each."""

    keys: Tensor
    values: Tensor


class Match(NamedTuple):
    """What decides where a layer looks in the reference: [B, T, heads * d], [B, R, heads * d], and how many heads."""

    query: Tensor
    key: Tensor
    heads: int


ReferenceBank = Mapping[str, Tensor] | Mapping[str, KeysValues]
"""Per self-attention layer, in traversal order: the reference's normed hidden states [B, R, C], or what
`project_bank` made of them."""

_MANY_SCORES = 2**16  # in a head, from where slices train faster
SELF_ATTENTION = "attn1"  # diffusers' name for the self-attention of a transformer block


class MultiSourceAttention:
    """Attention whose keys and values may come from the image itself, from the text, or from a reference too.

    Args:
        name: the layer's module path, e.g. `mid_block.attentions.0.transformer_blocks.0.attn1`; the key under
            which this layer records to, or reads from, a bank.
        last: the UNet's last self-attention: once it has recorded, nothing that follows is of use.
    """

    def __init__(self, name: str, last: bool = False) -> None:
        self.name = name
        self.last = last

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        record: MutableMapping[str, Tensor] | None = None,
        bank: ReferenceBank | None = None,
        probe: MutableMapping[str, Match] | None = None,
    ) -> Tensor:
        """`hidden_states` [B, T, C] -> [B, T, C].

        A self-attention (no `encoder_hidden_states`) writes its input to `record`, and attends to itself and
        `bank[name]`, both projected with this network's own `to_k` and `to_v`: read literally, Eq. 3 projects
        the bank with the appearance branch's weights, but released checkpoints were trained this way. `probe`
        receives what was compared.
        """
        assert attention_mask is None, "the UNets of this method use no attention mask"
        is_self_attention = encoder_hidden_states is None
        if is_self_attention and record is not None:
            record[self.name] = hidden_states
            if self.last:
                return hidden_states
        sources = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(sources), attn.to_v(sources)
        if is_self_attention and bank is not None:
            entry = bank[self.name]
            reference = project(attn, entry.to(sources.dtype)) if isinstance(entry, Tensor) else entry
            if probe is not None:
                probe[self.name] = Match(query, reference.keys, attn.heads)
            # One bank serves every frame of a clip: [1 or B, R, C] -> [B, T+R, C].
            key, value = (
                torch.cat([own, added.expand(len(own), -1, -1)], dim=1)
                for own, added in zip((key, value), reference, strict=True)
            )
        attended = attend(query, key, value, attn.heads)
        return attn.to_out[1](attn.to_out[0](attended))


def project(attn: Any, states: Tensor) -> KeysValues:
    """Keys and values that the attention layer `attn` makes of `states` [B, R, C]."""
    return KeysValues(attn.to_k(states), attn.to_v(states))


def project_bank(unet: nn.Module, bank: Mapping[str, Tensor]) -> dict[str, KeysValues]:
    """The bank as `unet`'s layers see it: done once, it serves every batch of frames at this timestep."""
    dtype = next(unet.parameters()).dtype
    return {name: project(unet.get_submodule(name), states.to(dtype)) for name, states in bank.items()}


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V with `heads` heads: [B, T, C], [B or 1, S, C] twice -> [B, T, C].

    Keys and values of batch 1 serve all of the batch: one text for all frames is projected once per layer.
    """
    key, value = (x.expand(query.shape[0], -1, -1) for x in (key, value))
    if key.shape[1] == 1:  # a single token gets all the weight
        return value.expand(-1, query.shape[1], -1)
    q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key, value))
    if torch.is_grad_enabled() and q.device.type == "cpu":
        # The flash kernel's backward is slow on CPUs: matrix products train a quarter faster.
        if q.shape[2] * k.shape[2] >= _MANY_SCORES and not torch.compiler.is_compiling():
            attended = train_in_slices(q, k, v)
        else:
            attended = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1).to(v.dtype) @ v
    elif q.dtype == torch.bfloat16 and q.device.type == "cpu" and not _has_matrix_tiles():
        attended = attend_in_slices(q, k, v)
    else:
        attended = F.scaled_dot_product_attention(q, k, v)
    return attended.transpose(1, 2).flatten(2)


@functools.cache
@torch.compiler.assume_constant_result
def _has_matrix_tiles() -> bool:
    """Whether this CPU has AMX. Where torch cannot tell (before 2.10): yes, its own kernel is the safe choice."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return True
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def attention_layers(unet: nn.Module) -> list[str]:
    """Module paths of every self-attention in the order the forward pass meets them (16 for SD 1.5)."""
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    names = [name for name, _ in unet.named_modules() if name.endswith("." + SELF_ATTENTION)]
    return sorted(names, key=lambda name: order[name.split(".")[0]])  # stable: keeps the order inside a group


def use_multi_source_attention(unet: Any) -> dict[str, Any]:
    """Gives every attention of `unet` the processor above; returns the processors it had, for `set_attn_processor`."""
    before: dict[str, Any] = unet.attn_processors
    last = attention_layers(unet)[-1]
    layers = {processor: processor.removesuffix(".processor") for processor in before}
    unet.set_attn_processor({p: MultiSourceAttention(name, last=name == last) for p, name in layers.items()})
    return before
