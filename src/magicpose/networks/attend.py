"""Attention a slice of queries at a time, so that scores stay in the cache: what CPUs without AMX run, and train with.

On CPUs with AVX-512 but no AMX, torch's flash kernel is no faster in bfloat16 than in float32, and its backward is
slower still (docs/speed.md); plain products use the bfloat16 units, but all scores at once are too many for the cache.

Shapes: B batch, T queries, S keys, d channels of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_SCORES_AT_ONCE = 2**23  # 16 MiB in bfloat16


@torch.library.custom_op("magicpose::attend_in_slices", mutates_args=())
def attend_in_slices(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V: [B, heads, T, d], [B, heads, S, d] twice -> [B, heads, T, d].

    One operator to `torch.compile`, which would unroll the slices; it has no gradient.
    """
    heads, tokens, keys = query.shape[1], query.shape[2], key.shape[2]
    query, key, value = (x.contiguous() for x in (query, key, value))  # strided products are half as fast
    scores, weights = query.new_empty(2, heads, _rows(query, key), keys)  # once: fresh pages cost like the products
    attended = torch.empty_like(query)
    for sample, part in _slices(query, key):
        s, w = scores[:, : tokens - part.start], weights[:, : tokens - part.start]
        _attend(query[sample, :, part], key[sample], value[sample], s, w, attended[sample, :, part])
    return attended


@attend_in_slices.register_fake
def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(query, memory_format=torch.contiguous_format)


def train_in_slices(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same with a gradient (of the first order)."""
    attended: Tensor = _AttentionInSlices.apply(query, key, value)  # type: ignore[no-untyped-call]
    return attended


class _AttentionInSlices(torch.autograd.Function):
    """Kept for the backward pass: the weights in the precision of the products, [B, heads, T, S]. Under autocast plain
    operators would keep two float32 arrays of that size.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (x.contiguous() for x in (query, key, value))
        batch, heads, tokens, keys = *query.shape[:3], key.shape[2]
        scores, weights = query.new_empty(heads, _rows(query, key), keys), query.new_empty(batch, heads, tokens, keys)
        attended = torch.empty_like(query)
        for sample, part in _slices(query, key):
            s, w = scores[:, : tokens - part.start], weights[sample, :, part]
            _attend(query[sample, :, part], key[sample], value[sample], s, w, attended[sample, :, part])
        ctx.save_for_backward(query, key, value, weights, attended)
        return attended

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, weights, attended = ctx.saved_tensors
        gradient, scale = gradient.contiguous(), query.shape[-1] ** -0.5
        # Rows of the softmax sum to one: its Jacobian is diag(w) - w w^T, and w . dw is this.
        mean = (gradient.float() * attended.float()).sum(-1, keepdim=True).to(gradient.dtype)
        d_query, d_key, d_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        scores = query.new_empty(query.shape[1], _rows(query, key), key.shape[2])
        for sample, part in _slices(query, key):
            k, w, g = key[sample], weights[sample, :, part], gradient[sample, :, part]
            s = scores[:, : w.shape[1]]
            d_value[sample].baddbmm_(w.mT, g)
            torch.bmm(g, value[sample].mT, out=s)
            s.sub_(mean[sample, :, part]).mul_(w)
            d_query[sample, :, part] = torch.bmm(s, k).mul_(scale)
            d_key[sample].baddbmm_(s.mT, query[sample, :, part], alpha=scale)
        return d_query, d_key, d_value


def _attend(query: Tensor, key: Tensor, value: Tensor, scores: Tensor, weights: Tensor, out: Tensor) -> None:
    """One slice: [heads, rows, d], [heads, S, d] twice; fills `scores`, `weights` [heads, rows, S] and `out`."""
    torch.baddbmm(scores, query, key.mT, beta=0, alpha=query.shape[-1] ** -0.5, out=scores)  # scaled before rounding
    torch.softmax(scores, dim=-1, out=weights)
    out.copy_(weights @ value)


def _rows(query: Tensor, key: Tensor) -> int:
    """Queries in a slice."""
    return max(1, min(query.shape[2], _SCORES_AT_ONCE // (query.shape[1] * key.shape[2])))


def _slices(query: Tensor, key: Tensor) -> Iterator[tuple[int, slice]]:
    """(sample, queries) for every slice."""
    rows = _rows(query, key)
    for sample in range(len(query)):
        for first in range(0, query.shape[2], rows):
            yield sample, slice(first, first + rows)
