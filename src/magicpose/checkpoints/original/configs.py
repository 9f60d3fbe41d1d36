"""diffusers and transformers configurations read off the shapes of original weights: any width, any depth.

Two facts leave no trace in the shapes and are the family's: 8 attention heads everywhere, 32 channels groups in each
GroupNorm (64 channels a head in the text tower).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from magicpose.checkpoints.original.families import SD15_FAMILY
from magicpose.checkpoints.original.keys import Layout
from magicpose.errors import UserError

Shapes = Mapping[str, Tensor]
TRANSFORMER = "transformer_blocks.0."


def encoder_config(weights: Shapes, layout: Layout, source: str) -> dict[str, Any]:
    """What UNet and ControlNet configurations share, from original keys without their prefix."""
    first = [level * (layout.layers + 1) + 1 for level in range(layout.levels)]
    widths = tuple(_shape(weights, f"input_blocks.{n}.0.out_layers.3.weight", source)[0] for n in first)
    _check_base(weights, source)
    context = _shape(weights, f"middle_block.1.{TRANSFORMER}attn2.to_k.weight", source)[1]
    return {
        "in_channels": _shape(weights, "input_blocks.0.0.weight", source)[1],
        "block_out_channels": widths,
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in layout.attention),
        "layers_per_block": layout.layers,
        "cross_attention_dim": context,
        "attention_head_dim": 8,  # diffusers' name for the number of heads in this family
    }


def unet_config(weights: Shapes, layout: Layout, source: str) -> dict[str, Any]:
    """UNet2DConditionModel; the appearance branch's too."""
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(layout.attention))
    return encoder_config(weights, layout, source) | {"up_block_types": up, "sample_size": 64}


def controlnet_config(weights: Shapes, layout: Layout, source: str) -> dict[str, Any]:
    """ControlNetModel, its hint encoder included."""
    hint = sorted((int(key.split(".")[1]), value.shape) for key, value in weights.items() if _is_hint_weight(key))
    if len(hint) < 2 or len(hint) % 2:
        raise UserError(f"{source}: the hint encoder (input_hint_block) of its ControlNet is incomplete")
    # Pairs of convolutions: the second of a pair widens and halves; the last one leaves for the UNet's width.
    channels = tuple(int(shape[0]) for _, shape in hint[0:-1:2])
    return encoder_config(weights, layout, source) | {
        "conditioning_channels": int(hint[0][1][1]),
        "conditioning_embedding_out_channels": channels,
    }


def hint_blocks(weights: Shapes) -> int:
    """Convolutions of the hint encoder between its first and its last."""
    return sum(map(_is_hint_weight, weights)) - 2


def _is_hint_weight(key: str) -> bool:
    return key.startswith("input_hint_block.") and key.endswith(".weight")


def vae_config(weights: Shapes, layout: Layout, source: str) -> dict[str, Any]:
    """AutoencoderKL with Stable Diffusion 1.x's latent scale."""
    widths = tuple(
        _shape(weights, f"encoder.down.{level}.block.0.conv2.weight", source)[0] for level in range(layout.levels)
    )
    latent = _shape(weights, "post_quant_conv.weight", source)[1]
    return {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * layout.levels,
        "up_block_types": ("UpDecoderBlock2D",) * layout.levels,
        "layers_per_block": layout.layers,
        "latent_channels": latent,
        "scaling_factor": 0.18215,
        "sample_size": 512,
    }


def text_config(weights: Shapes, source: str) -> dict[str, Any]:
    """CLIPTextConfig; ViT-L/14's text tower at full size."""
    vocabulary, width = _shape(weights, "embeddings.token_embedding.weight", source)
    layers = {key.split(".")[2] for key in weights if key.startswith("encoder.layers.")}
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": _shape(weights, "encoder.layers.0.mlp.fc1.weight", source)[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, width // 64),
        "max_position_embeddings": _shape(weights, "embeddings.position_embedding.weight", source)[0],
        "projection_dim": width,
        "hidden_act": "quick_gelu",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }


def motion_config(weights: Shapes, layout: Layout, middle: bool, source: str) -> dict[str, Any]:
    """MotionAdapter, from our keys (`down_blocks.N.motion_modules.M...`)."""
    place = "down_blocks.{}.motion_modules.0."
    widths = tuple(
        _shape(weights, place.format(level) + "proj_out.weight", source)[0] for level in range(layout.levels)
    )
    positions = _shape(weights, place.format(0) + TRANSFORMER + "pos_embed.pe", source)[1]
    return {
        "block_out_channels": widths,
        "motion_layers_per_block": layout.layers,
        "motion_num_attention_heads": 8,
        "motion_max_seq_length": positions,
        "use_motion_mid_block": middle,
    }


def _shape(weights: Shapes, key: str, source: str) -> tuple[int, ...]:
    if key not in weights:
        raise UserError(f"{source}: {key} is missing; {SD15_FAMILY}, and this one is incomplete")
    return tuple(weights[key].shape)


def _check_base(weights: Shapes, source: str) -> None:
    """Refuses SD 2.x and SDXL by their linear projections, inpainting models by their extra input."""
    if len(_shape(weights, "middle_block.1.proj_in.weight", source)) != 4:
        raise UserError(f"{source}: linear projections, so made for Stable Diffusion 2.x or SDXL; {SD15_FAMILY}")
    channels = _shape(weights, "input_blocks.0.0.weight", source)[1]
    if channels != 4:
        raise UserError(f"{source}: takes {channels} latent channels, so an inpainting variant; {SD15_FAMILY}")
