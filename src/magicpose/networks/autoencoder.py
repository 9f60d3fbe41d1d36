"""The embedded model's autoencoder: no norms, few layers, made to train and run on two CPU cores.

GroupNorm and SiLU at image resolution cost a CPU more than the convolutions between them. So pixels are first
folded into channels (pixel unshuffle), and plain ReLU residual blocks do the rest; the idea of the tiny
autoencoders that preview Stable Diffusion. Saved and loaded like any diffusers model.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn


class PointDistribution:
    """A posterior without spread, so that this autoencoder reads like AutoencoderKL."""

    def __init__(self, latents: Tensor) -> None:
        self.latents = latents

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """[B, C, h, w]; `generator` is there for the common signature."""
        del generator
        return self.latents

    def mode(self) -> Tensor:
        """[B, C, h, w]"""
        return self.latents


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.2)  # start near the identity: no norm keeps deep stacks in range

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(nn.functional.relu(self.first(nn.functional.relu(x))))


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Pixels [B, 3, H, W] in [-1, 1] <-> latents [B, latent_channels, H/f, W/f], f = patch * 2 ** (levels - 1).

    Args:
        latent_channels: channels of a latent.
        patch: pixels per side folded into channels before the first convolution.
        block_out_channels: channels at each level, finest first.
        layers_per_block: residual blocks per level and direction; the decoder has one more at coarse levels.
        scaling_factor: latents times this have about unit variance (diffusers' convention).
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        patch: int = 2,
        block_out_channels: tuple[int, ...] = (64, 128, 192),
        layers_per_block: int = 2,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        levels = list(block_out_channels)
        pixels = 3 * patch * patch
        down: list[nn.Module] = [nn.PixelUnshuffle(patch), nn.Conv2d(pixels, levels[0], 3, padding=1)]
        for index, channels in enumerate(levels):
            if index:
                down.append(nn.Conv2d(levels[index - 1], channels, 2, stride=2))
            down += [_Residual(channels) for _ in range(layers_per_block)]
        self.encoder = nn.Sequential(*down, nn.ReLU(), nn.Conv2d(levels[-1], latent_channels, 3, padding=1))
        up: list[nn.Module] = [nn.Conv2d(latent_channels, levels[-1], 3, padding=1)]
        for index in range(len(levels) - 1, -1, -1):
            up += [_Residual(levels[index]) for _ in range(layers_per_block + (1 if index else 0))]
            if index:
                up += [nn.Conv2d(levels[index], 4 * levels[index - 1], 1), nn.PixelShuffle(2)]
        self.decoder = nn.Sequential(*up, nn.ReLU(), nn.Conv2d(levels[0], pixels, 3, padding=1), nn.PixelShuffle(patch))

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Images [B, 3, H, W] in [-1, 1] -> `.latent_dist`; multiply by `config.scaling_factor` as for any VAE."""
        distribution = PointDistribution(self.encoder(x))
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(self, z: Tensor, return_dict: bool = True) -> Any:
        """Latents divided by `config.scaling_factor` -> `.sample` [B, 3, H, W], not clipped."""
        sample = self.decoder(z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    @torch.no_grad()
    def normalise_latents(self, mean: Tensor, std: Tensor) -> None:
        """Folds `(z - mean) / std` per channel into the weights on both sides; decoded pictures do not change.

        Zero padding sees `mean` as zero afterwards, so pictures change by a hair along their border.
        """
        last, first = self.encoder[-1], self.decoder[0]
        assert isinstance(last, nn.Conv2d) and isinstance(first, nn.Conv2d)
        assert first.bias is not None and last.bias is not None
        last.weight.div_(std[:, None, None, None])
        last.bias.sub_(mean).div_(std)
        first.bias.add_((first.weight.sum((2, 3)) * mean).sum(1))
        first.weight.mul_(std[None, :, None, None])


def stride(vae: Any) -> int:
    """Pixels per latent pixel and side, for this class or diffusers' AutoencoderKL."""
    levels = len(vae.config.block_out_channels)
    return int(getattr(vae.config, "patch", 1) * 2 ** (levels - 1))
