"""Weights on a coarse grid, learned there: files that compress to a third of the size, loaded as ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from magicpose.errors import UserError


def grid_spacing(weights: Tensor, levels: float) -> float:
    """The power of two nearest to the weights' standard deviation over `levels`; 0 where they are all equal.

    A power of two, so that rounded weights have few significant bits: exact in half precision, and compressible.
    """
    deviation = float(weights.std(correction=0))
    return 2.0 ** round(float(torch.log2(torch.tensor(deviation / levels)))) if deviation else 0.0


class Rounding:
    """Networks run with rounded matrices and convolutions, and the optimiser moves the exact ones beneath.

    The gradient at the rounded weights is taken for the exact ones' (straight-through estimator, Bengio et al. 2013),
    so that a change too small to show adds up until it does. Vectors (biases, norms) stay exact. Spacings are those of
    the weights as they are now.

    Args:
        parameters: by name; `levels` grid points to a standard deviation, 0: nothing is rounded, less: UserError.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], levels: float) -> None:
        if levels < 0:
            raise UserError(f"rounding must be 0 (exact) or more, not {levels:g}")
        matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1] if levels else []
        spacings = [(parameter, grid_spacing(parameter.detach(), levels)) for parameter in matrices]
        self.spacings = [(parameter, spacing) for parameter, spacing in spacings if spacing]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The rounded weights in place of the exact ones."""
        exact = [parameter.detach().clone() for parameter, _ in self.spacings]
        with torch.no_grad():
            for parameter, spacing in self.spacings:
                parameter.div_(spacing).round_().mul_(spacing)
        try:
            yield
        finally:
            with torch.no_grad():
                for (parameter, _), before in zip(self.spacings, exact, strict=True):
                    parameter.copy_(before)
