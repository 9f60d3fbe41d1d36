"""Models of the real classes at tiny size, made once per run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The suite says the same of the same code each time; `--hypothesis-profile default` looks for trouble elsewhere.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# Tensors here are so small that threads only wait for each other, for ages on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _write_tokenizer(folder: Path) -> None:
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    for piece in [*letters, *(letter + "</w>" for letter in letters)]:
        vocabulary[piece] = len(vocabulary)
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=8).save_pretrained(folder)


def _networks() -> dict[str, Any]:
    """Stable Diffusion 1.5's shape at width 16/32: frames of 64 px, latents 8x8, stock ControlNet hints."""
    import torch
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    unet = UNet2DConditionModel(sample_size=8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **shape)
    appearance = UNet2DConditionModel.from_config(unet.config)
    controlnet = ControlNetModel(conditioning_embedding_out_channels=(4, 8, 8, 8), **shape)
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=2,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=54,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    with torch.no_grad():  # zero convolutions would hide the pose
        for parameter in controlnet.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    return {
        "unet": unet,
        "appearance": appearance,
        "pose_controlnet": controlnet,
        "vae": vae,
        "text_encoder": text,
    }


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of random weights, under 1 MB; guidance 2 by default."""
    from magicpose.checkpoints.folder import write_folder
    from magicpose.checkpoints.original.read import Components

    base = tmp_path_factory.mktemp("tiny_sd")
    _write_tokenizer(base / "tokenizer")
    folder = base / "model"
    folder.mkdir()
    write_folder(Components(**_networks()), folder, {"tokenizer": base / "tokenizer"}, "test weights")
    index = json.loads((folder / "model_index.json").read_text()) | {"guidance_scale": 2.0}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
