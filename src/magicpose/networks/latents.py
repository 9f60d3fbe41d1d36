"""Pictures <-> latents: the only place that knows the autoencoder's scaling factor.

Shapes: pictures [N, 3, H, W] in [-1, 1]; latents [N, C, h, w] of about unit variance. `device`: where the work is
done, for an autoencoder whose weights wait elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

BATCH = 8  # pictures that go through the autoencoder together


@torch.no_grad()
def encode(
    vae: Any,
    images: Tensor,
    generator: torch.Generator | None = None,
    batch: int = BATCH,
    device: torch.device | None = None,
) -> Tensor:
    """Latents of `images`, float32, on the autoencoder's device; `batch` pictures at a time.

    `generator` draws the sample of the posterior; None: torch's own.
    """
    weights = next(vae.parameters())
    latents = [
        vae.encode(chunk.to(device or weights.device, weights.dtype)).latent_dist.sample(generator).float()
        for chunk in torch.split(images, batch)
    ]
    scaled: Tensor = torch.cat(latents) * vae.config.scaling_factor
    return scaled


def decode(vae: Any, latents: Tensor, batch: int = BATCH, device: torch.device | None = None) -> Iterator[Tensor]:
    """Pictures of `latents`, float32, not clipped: up to `batch` of them with every turn, made when asked for."""
    weights = next(vae.parameters())
    for chunk in torch.split(latents, batch):
        with torch.no_grad():  # a decorator does not reach into a generator that is resumed later
            scaled = chunk.to(device or weights.device, weights.dtype) / vae.config.scaling_factor
            images: Tensor = vae.decode(scaled).sample
        yield images.float()
