"""One small UNet and one LoRA for it."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

_LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
PLAIN = {f"{_LAYER}.lora_down.weight": torch.full((2, 32), 0.01), f"{_LAYER}.lora_up.weight": torch.ones(32, 2)}


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(32,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=16,
        attention_head_dim=8,
    )
