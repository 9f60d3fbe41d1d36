"""Rough pictures of latents, in no time: a linear map from latent channels to colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_WIDTH = 1024  # of a sheet, in pixels, about


@dataclass(frozen=True)
class LatentPreview:
    """`colours` [C + 1, 3]: what each latent channel, and a constant, adds to red, green and blue (0 to 1)."""

    colours: Tensor

    @classmethod
    def fit(cls, latents: Tensor, picture: Image.Image) -> LatentPreview:
        """By least squares from one picture and its `latents` [1, C, h, w], so any autoencoder will do."""
        height, width = latents.shape[2:]
        small = picture.convert("RGB").resize((width, height), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(small)).float().view(-1, 3) / 255
        # rcond: what hardly varies in this one picture says nothing about its colour
        return cls(torch.linalg.lstsq(_with_constant(latents), pixels, rcond=1e-3, driver="gelsd").solution)

    def __call__(self, latents: Tensor) -> list[Image.Image]:
        """Pictures of `latents` [F, C, h, w], one pixel for each of theirs."""
        pixels = (_with_constant(latents) @ self.colours).view(len(latents), *latents.shape[2:], 3)
        values = (pixels * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        return [Image.fromarray(frame) for frame in values]


def _with_constant(latents: Tensor) -> Tensor:
    """[F, C, h, w] -> [F * h * w, C + 1], float32 on the CPU."""
    rows = latents.detach().float().cpu().permute(0, 2, 3, 1).flatten(0, 2)
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures (of one size) in rows, enlarged to a sheet that is easy to look at."""
    columns = math.ceil(math.sqrt(len(pictures)))
    side = max(1, _WIDTH // columns // pictures[0].width)
    width, height = (side * length for length in pictures[0].size)
    sheet = Image.new("RGB", (columns * width, math.ceil(len(pictures) / columns) * height))
    for index, picture in enumerate(pictures):
        enlarged = picture.resize((width, height), Image.Resampling.BICUBIC)
        sheet.paste(enlarged, (index % columns * width, index // columns * height))
    return sheet
