"""Appearance control (MagicPose Sec. 4.2): a copy of the UNet that turns a reference latent into a bank."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from magicpose.networks.attention import attention_layers, use_multi_source_attention


class AppearanceControl(nn.Module):
    """(reference latents, timestep, text) -> what every self-attention of the branch saw.

    The branch receives the *clean* reference latent together with the timestep of the *noisy* one. Its bank
    depends on neither the noisy latent nor the pose: one bank per timestep serves all frames of a clip.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        use_multi_source_attention(unet)

    @classmethod
    def from_unet(cls, unet: UNet2DConditionModel) -> AppearanceControl:
        """A trainable copy with the weights of `unet` (how the paper initialises the branch)."""
        return cls(copy.deepcopy(unet))

    def forward(self, latents: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Tensor]:
        """`latents` [B, 4, h, w] clean, `timestep` int64 [B], `context` [B, S, D] -> bank {layer: [B, R, C]}."""
        bank: dict[str, Tensor] = {}
        self.unet(latents, timestep, context, cross_attention_kwargs={"record": bank}, return_dict=False)
        return bank

    def dead_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that cannot reach any bank: all that follows the last block's `norm1` (24 tensors in SD 1.5).

        They never get a gradient; training freezes them, else distributed training waits for them for ever.
        """
        block = attention_layers(self.unet)[-1].rsplit(".", 1)[0]  # ...attentions.N.transformer_blocks.0
        attention = block.split(".transformer_blocks")[0]
        for name, parameter in self.unet.named_parameters():
            after_norm1 = name.startswith(block + ".") and not name.startswith(block + ".norm1.")
            if after_norm1 or name.startswith((attention + ".proj_out.", "conv_norm_out.", "conv_out.")):
                yield name, parameter

    def freeze_dead_parameters(self) -> None:
        """Stops gradients for `dead_parameters`."""
        for _, parameter in self.dead_parameters():
            parameter.requires_grad_(False)


def join_references(banks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Several references of one person: their banks [B, R_i, C] concatenated over the tokens."""
    return {name: torch.cat([bank[name] for bank in banks], dim=1) for name in banks[0]}
