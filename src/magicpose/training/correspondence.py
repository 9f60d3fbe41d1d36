"""Teaching attention where to look: the reference shows a piece of the person, the target shows it elsewhere.

Not in the paper, which fine-tunes a UNet that has learned this on millions of pictures; a network trained from nothing
has not. Synthetic people know where on the person every pixel lies, so it can be told.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magicpose.errors import UserError
from magicpose.networks.attention import Match

REACH_M = 0.04  # farther apart, in the rest pose, two places are not the same piece
_ONLY = "up_blocks."  # the ControlNet speaks to these blocks alone: no other layer can know the pose


def matches(target: NDArray[np.float32], reference: NDArray[np.float32], cells: int) -> NDArray[np.int64]:
    """The cell of the reference that shows what each place of the target shows, or -1.

    Args:
        target, reference: [h, w, 3] places in metres, rest pose; NaN: background.
        cells: latent pixels per side; divides h and w.
    Returns: [cells * cells, places per cell].
    Raises UserError where the cells do not fit.
    """
    height, width = target.shape[:2]
    if height % cells or width % cells:
        raise UserError(
            f"{width}x{height} places do not fit {cells}x{cells} latents: render clips of data.size_px, or twice that"
        )
    found = np.full(height * width, -1, np.int64)
    wanted, known = target.reshape(-1, 3), reference.reshape(-1, 3)
    here, there = (np.flatnonzero(~np.isnan(places[:, 0])) for places in (wanted, known))
    if len(here) and len(there):
        a, b = wanted[here].astype(np.float32), known[there].astype(np.float32)
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
        nearest = squared.argmin(1)
        near = squared[np.arange(len(here)), nearest] < REACH_M**2
        rows, columns = np.divmod(there[nearest[near]], width)
        found[here[near]] = rows * cells // height * cells + columns * cells // width
    tall, wide = height // cells, width // cells
    return found.reshape(cells, tall, cells, wide).swapaxes(1, 2).reshape(cells * cells, tall * wide)


def correspondence_loss(probe: Mapping[str, Match], wanted: Tensor) -> Tensor:
    """Cross-entropy of where the decoder's self-attention looks in the reference, in nats, heads taken together: [B].

    Args:
        probe: queries and reference keys by layer, as `MultiSourceAttention` records them.
        wanted: int64 [B, cells * cells, P], from `matches`.
    """
    losses = [_layer_loss(match, wanted) for name, match in probe.items() if name.startswith(_ONLY)]
    return torch.stack(losses).mean(0)


def _layer_loss(match: Match, wanted: Tensor) -> Tensor:
    query, key, heads = match
    q, k = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key))
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    weights = torch.softmax(scores, dim=-1).mean(1)  # [B, T, R]: it is enough that one head looks there
    asked = _coarser(wanted, round(query.shape[1] ** 0.5))
    valid = asked >= 0
    surprise = -torch.gather(weights, 2, asked.clamp(min=0)).clamp(min=1e-6).log()
    return (surprise * valid).sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)


def _coarser(wanted: Tensor, cells: int) -> Tensor:
    """[B, n * n, P] of a grid of n x n cells as [B, cells * cells, P'] of one of cells x cells."""
    n = round(wanted.shape[1] ** 0.5)
    if n == cells:
        return wanted
    factor = n // cells
    moved = torch.where(wanted < 0, wanted, wanted // n // factor * cells + wanted % n // factor)
    blocks = moved.view(len(moved), cells, factor, cells, factor, -1).transpose(2, 3)
    return blocks.reshape(len(moved), cells * cells, -1)
