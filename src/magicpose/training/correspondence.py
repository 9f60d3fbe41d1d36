"""A loss on the attention to the reference: it should fall on the piece of the person that the target shows.

Not in the paper, which fine-tunes a UNet that has learned this on millions of pictures; a network trained from nothing
has not. For synthetic people the surface coordinates of every pixel are known: where on the body, in the rest pose, it
lies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magicpose.errors import UserError
from magicpose.networks.attention import QueryKey

REACH_M = 0.04  # points of the surface farther apart than this do not match
_DECODER = "up_blocks."  # the ControlNet adds to these blocks alone: no other layer knows the pose


def matching_cells(target: NDArray[np.float32], reference: NDArray[np.float32], cells: int) -> NDArray[np.int64]:
    """For each point of the target, the cell of the reference that shows the same piece of the surface, or -1.

    Args:
        target, reference: [h, w, 3] surface coordinates in metres, rest pose; NaN: background.
        cells: latent pixels per side; divides h and w.
    Returns: [cells * cells, points per cell].
    Raises UserError where the cells do not fit.
    """
    height, width = target.shape[:2]
    if height % cells or width % cells:
        raise UserError(
            f"{width}x{height} places do not fit {cells}x{cells} latents: render clips of data.size_px, or twice that"
        )
    found = np.full(height * width, -1, np.int64)
    wanted, known = target.reshape(-1, 3), reference.reshape(-1, 3)
    here, there = (np.flatnonzero(~np.isnan(points[:, 0])) for points in (wanted, known))
    if len(here) and len(there):
        a, b = wanted[here].astype(np.float32), known[there].astype(np.float32)
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
        nearest = squared.argmin(1)
        near = squared[np.arange(len(here)), nearest] < REACH_M**2
        rows, columns = np.divmod(there[nearest[near]], width)
        found[here[near]] = rows * cells // height * cells + columns * cells // width
    tall, wide = height // cells, width // cells
    return found.reshape(cells, tall, cells, wide).swapaxes(1, 2).reshape(cells * cells, tall * wide)


def correspondence_loss(probe: Mapping[str, QueryKey], wanted: Tensor) -> Tensor:
    """Cross-entropy of the decoder's attention to the reference against the matching cells, in nats: [B].

    The heads are averaged before the logarithm, so it is enough that one head looks at the right cell.

    Args:
        probe: queries and reference keys by layer, as `MultiSourceAttention` records them.
        wanted: int64 [B, cells * cells, P], from `matching_cells`.
    """
    losses = [_layer_loss(layer, wanted) for name, layer in probe.items() if name.startswith(_DECODER)]
    return torch.stack(losses).mean(0)


def _layer_loss(layer: QueryKey, wanted: Tensor) -> Tensor:
    query, key, heads = layer
    q, k = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key))
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    weights = torch.softmax(scores, dim=-1).mean(1)  # [B, T, R]
    cells = _coarser(wanted, round(query.shape[1] ** 0.5))
    valid = cells >= 0
    surprise = -torch.gather(weights, 2, cells.clamp(min=0)).clamp(min=1e-6).log()
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
