"""A whole Stable Diffusion 1.5-shaped stack with random weights, and inputs for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.model import MagicPoseModel

Width = Literal["sd15", "tiny"]
LATENT_STRIDE = 8
TEXT_TOKENS = 77

_CROSS_DOWN, _CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
# name -> (UNet and ControlNet, hint encoder's channels, autoencoder's channels)
_WIDTHS: dict[Width, tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = {
    "sd15": (
        {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "norm_num_groups": 32},
        (16, 32, 96, 256),
        (128, 256, 512, 512),
    ),
    "tiny": (
        {"block_out_channels": (16, 32, 32, 32), "cross_attention_dim": 16, "norm_num_groups": 4},
        (4, 4, 8, 8),
        (8, 8, 8, 8),
    ),
}


@dataclass(frozen=True)
class Stack:
    """The networks that a frame passes through."""

    model: MagicPoseModel
    vae: Any


@dataclass(frozen=True)
class Inputs:
    """One step's worth: latents [B, 4, h, w], timestep [1], reference [1, 4, h, w], pose [B, 3, 8h, 8w], context."""

    latents: Tensor
    timestep: Tensor
    reference: Tensor
    pose: Tensor
    context: Tensor

    def first(self, frames: int) -> Inputs:
        """The same with fewer frames."""
        return Inputs(self.latents[:frames], self.timestep, self.reference, self.pose[:frames], self.context)

    def to(self, dtype: torch.dtype) -> Inputs:
        """Everything but the timestep in `dtype`."""
        return Inputs(
            self.latents.to(dtype), self.timestep, self.reference.to(dtype), self.pose.to(dtype), self.context.to(dtype)
        )


def build_stack(width: Width = "sd15", device: str = "cpu", seed: int = 0) -> Stack:
    """Random float32 weights (2.1 thousand million at full width, 8 GiB); device "meta" allocates nothing."""
    shape, hint_channels, vae_channels = _WIDTHS[width]
    levels = len(shape["block_out_channels"])
    shape |= {"attention_head_dim": 8, "layers_per_block": 2}
    down = (_CROSS_DOWN,) * (levels - 1) + ("DownBlock2D",)
    up = ("UpBlock2D",) + (_CROSS_UP,) * (levels - 1)
    groups = shape["norm_num_groups"]
    with torch.device("meta"):
        unet, branch = (UNet2DConditionModel(down_block_types=down, up_block_types=up, **shape) for _ in range(2))
        controlnet = ControlNetModel(down_block_types=down, conditioning_embedding_out_channels=hint_channels, **shape)
        vae = AutoencoderKL(
            block_out_channels=vae_channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=2,
            norm_num_groups=groups,
        )
    model = MagicPoseModel(unet, AppearanceControl(branch), controlnet).eval()
    if device != "meta":
        generator = torch.Generator(device).manual_seed(seed)
        for network in (model, vae):
            _draw_weights(network.to_empty(device=device), generator)
    return Stack(model, vae.eval())


@torch.no_grad()
def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Variance-preserving weights everywhere, also where the method starts at zero: nothing is trivially fast."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            bound = (3 / parameter[0].numel()) ** 0.5
            parameter.uniform_(-bound, bound, generator=generator)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def make_inputs(stack: Stack, size_px: int, frames: int, device: str = "cpu", seed: int = 0) -> Inputs:
    """Random inputs for square frames of `size_px`, in float32."""
    generator = torch.Generator().manual_seed(seed)
    side = size_px // LATENT_STRIDE
    width = int(stack.model.unet.config.cross_attention_dim)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    return Inputs(
        draw(frames, 4, side, side),
        torch.tensor([501], device=device),
        draw(1, 4, side, side),
        torch.rand((frames, 3, size_px, size_px), generator=generator).to(device),
        draw(1, TEXT_TOKENS, width),
    )
