"""Rounds networks to a coarse grid of fp16 numbers: they compress to 5.5 bits a weight instead of 15.

    python runs/round_weights.py out/tiny/joint/export/unet out/tiny/joint/export/text_encoder

Done to the frozen UNet before the paper's stages, they train on what is shipped and make good what the rounding cost.
Numbers already on the grid stay as they are.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

LEVELS = 4  # grid points in a standard deviation of a tensor: 22 dB and 5.5 bits a weight; 6: 27 dB, 6.5 bits


def rounded(weights: Tensor, levels: int = LEVELS) -> Tensor:
    """`weights` on multiples of the power of two next to their deviation / `levels`; vectors are left alone."""
    values = weights.float()
    if values.dim() < 2 or not values.any():
        return weights
    spacing = 2.0 ** torch.round(torch.log2(values.std() / levels))
    finer = spacing / 2  # rounding adds to the deviation, so the grid of a rounded tensor may seem too fine
    if torch.equal(torch.round(values / finer) * finer, values):
        return weights
    return (torch.round(values / spacing) * spacing).to(weights.dtype)


def main(folders: list[Path]) -> None:
    for path in (path for folder in folders for path in folder.rglob("*.safetensors")):
        before = load_file(path)
        after = {name: rounded(value) for name, value in before.items()}
        flat, kept = (torch.cat([v.float().flatten() for v in some.values()]) for some in (before, after))
        error = 10 * torch.log10(flat.square().sum() / (flat - kept).square().sum())
        bits = 8 * len(zlib.compress(kept.half().numpy().tobytes())) / len(kept)
        save_file(after, path, metadata={"format": "pt"})
        print(f"{path}: {error:.1f} dB, {bits:.1f} bits a weight")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
