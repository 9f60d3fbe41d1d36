"""Original checkpoints of the real classes at tiny width: two levels, eight heads, as the file form implies."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.read import Components

WIDTHS = (32, 64)
SHAPE: dict[str, Any] = {
    "block_out_channels": WIDTHS,
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "cross_attention_dim": 64,
    "attention_head_dim": 8,
}
UP = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}


def parts(*names: str, seed: int = 0) -> Components:
    """The named parts with random weights."""
    torch.manual_seed(seed)
    makers = {
        "unet": lambda: UNet2DConditionModel(**SHAPE, **UP, sample_size=8),
        "appearance": lambda: UNet2DConditionModel(**SHAPE, **UP, sample_size=8),
        "pose_controlnet": lambda: ControlNetModel(**SHAPE),
        "vae": lambda: AutoencoderKL(
            block_out_channels=WIDTHS,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=2,
            latent_channels=4,
        ),
        "text_encoder": lambda: CLIPTextModel(
            CLIPTextConfig(
                vocab_size=60,
                hidden_size=64,
                intermediate_size=96,
                num_hidden_layers=2,
                num_attention_heads=1,
                max_position_embeddings=77,
                bos_token_id=0,
                eos_token_id=2,
            )
        ),
        "motion": lambda: motion_adapter(),
    }
    return Components(**{name: makers[name]().eval() for name in names})


def motion_adapter(middle: bool = False, positions: int = 24) -> MotionAdapter:
    return MotionAdapter(
        block_out_channels=WIDTHS,
        motion_layers_per_block=1,
        use_motion_mid_block=middle,
        motion_max_seq_length=positions,
    ).eval()


def stage2() -> dict[str, Tensor]:
    """A whole inference checkpoint with every part but motion; its dead hint encoder holds numbers."""
    state = export_original(parts("unet", "appearance", "pose_controlnet", "vae", "text_encoder"))
    return {key: torch.randn_like(v) if ".input_hint_block." in key else v.contiguous() for key, v in state.items()}


def stage1() -> dict[str, Tensor]:
    return export_original(parts("unet", "appearance"))
