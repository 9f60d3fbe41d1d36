"""Matrices laid out once for oneDNN's products, for float32 networks that run on a CPU.

A plain layer's product reads its weights as they lie, or sorts them at every call. Only rounding differs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magicpose.acceleration.replacement import Replacement, replace_layers

_FEWEST_CHANNELS = 64  # below, a call costs more than its products
_ROWS_EXPECTED = 256  # of what is multiplied; the order hardly depends on it, so one serves all sizes


class PackedMatrix:
    """A weight [K, C], float32, ready to be multiplied with; where torch comes without oneDNN, as it was."""

    def __init__(self, weight: Tensor) -> None:
        self.rows, self.nbytes = len(weight), weight.nbytes
        self._packs = _can_pack()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_EXPECTED) if self._packs else weight

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """`F.linear`: [..., C] -> [..., K]."""
        if not self._packs:
            return F.linear(x, self._weight, bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, bias, "none", [], "")


@functools.cache
def _can_pack() -> bool:
    """Whether this torch has the operators that its own compiler uses for frozen linear layers."""
    there = all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    return there and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class PackedLinear(nn.Module):
    """A linear layer's stand-in with the same parameters; they are packed at the first call, as they are then."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self._packed: PackedMatrix | None = None

    def __getstate__(self) -> dict[str, Any]:
        """oneDNN's layout cannot be copied; a copy makes its own."""
        return {**self.__dict__, "_packed": None}

    def made_bytes(self) -> int:
        """Memory of the packed weights, if they have been made."""
        return 0 if self._packed is None else self._packed.nbytes

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., K]."""
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return F.linear(x, self.weight, self.bias)
        if self._packed is None:
            self._packed = PackedMatrix(self.weight.detach())
        return self._packed(x, self.bias)


def use_packed(networks: Iterable[nn.Module]) -> Replacement:
    """Lets the linear layers of `networks` (float32, on a CPU) keep packed weights, for inference.

    Returns what takes it back. `state_dict` and saving stay as they were; the packed weights come on top of the
    originals, as large as they are. Load LoRAs and change the dtype before.
    """
    return replace_layers(networks, _quicker)


def _quicker(layer: nn.Module) -> nn.Module | None:
    if type(layer) is nn.Linear and min(layer.in_features, layer.out_features) >= _FEWEST_CHANNELS:
        return PackedLinear(layer)
    return None
