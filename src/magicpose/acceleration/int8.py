"""Convolutions and linear layers in 8-bit integers, for networks that run on a CPU: a quarter faster or more, inexact.

Weights get one scale per output channel, once. Activations get one scale and zero point per call, from their smallest
and largest value: nothing is calibrated. Products run in oneDNN's integer kernels (VNNI or AMX), through the operators
that torch's own x86 quantisation uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magicpose.acceleration.replacement import Replacement, replace_layers
from magicpose.errors import UserError

_LEVELS = 253  # of 256: room for rounding the zero point and the values
_FEWEST_CHANNELS = 64  # first and last layers are cheap, and everything passes through them
_FEWEST_ROWS = 64  # fewer (the embedding of the timestep) cost nothing
_VALUES_AT_ONCE = 2**18  # quantised through float32, which should stay in the cache


def quantise(x: Tensor) -> tuple[Tensor, float, int]:
    """uint8 values, scale and zero point with `x` about `scale * (values - zero)`; the layout of `x` is kept."""
    low, high = (float(bound) for bound in torch.aminmax(x))
    low, high = min(low, 0.0), max(high, 0.0)  # so that padding is exact
    scale = max((high - low) / _LEVELS, 1e-12)
    zero = round(-127 - low / scale)
    values = torch.empty_like(x, dtype=torch.int8)
    source, target = (_flat(tensor) for tensor in (x, values))
    wide = torch.empty(min(_VALUES_AT_ONCE, source.numel()))
    for first in range(0, source.numel(), _VALUES_AT_ONCE):
        part = source[first : first + _VALUES_AT_ONCE]
        held = wide[: len(part)].copy_(part).mul_(1 / scale).add_(zero).round_()
        target[first : first + len(part)].copy_(held)
    # By way of int8, because torch's conversion to uint8 takes ten times as long; the kernels are quick for uint8 only.
    return values.view(torch.uint8).bitwise_xor_(128), scale, zero + 128


def _flat(x: Tensor) -> Tensor:
    """All values of a dense tensor in the order of memory, without a copy."""
    return x.as_strided((x.numel(),), (1,))


def quantised_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [K, ...] and scales float32 [K] of a weight [K, ...]."""
    flat = weight.detach().float().flatten(1)
    scales = flat.abs().amax(dim=1).clamp(min=1e-12) / 127
    return (flat / scales[:, None]).round().to(torch.int8).view(weight.shape), scales


class Int8Layer(nn.Module):
    """A layer's parameters, and what the integer kernels take in their place, made at the first call."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._packed: tuple[Tensor, Tensor, Tensor] | None = None  # int8 weights, scales, zeros

    def made_bytes(self) -> int:
        """Memory of the integer weights, if they have been made: a byte each."""
        return 0 if self._packed is None else self.weight.numel()

    def __getstate__(self) -> dict[str, Any]:
        """oneDNN's packed weights cannot be copied; a copy makes its own."""
        return {**self.__dict__, "_packed": None}


class Int8Linear(Int8Layer):
    """A linear layer's stand-in with the same parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., K]."""
        rows = x.numel() // x.shape[-1]
        if rows < _FEWEST_ROWS:
            return F.linear(x, self.weight, self.bias)
        if self._packed is None:
            values, scales = quantised_weight(self.weight)
            packed = torch.ops.onednn.qlinear_prepack(values, [rows, x.shape[-1]])
            self._packed = packed, scales, torch.zeros(len(scales), dtype=torch.int64)
        values, scale, zero = quantise(x.contiguous())
        bias = None if self.bias is None else self.bias.float()
        return torch.ops.onednn.qlinear_pointwise(
            values, scale, zero, *self._packed, bias, 1.0, 0, x.dtype, "none", [], ""
        )


class Int8Conv2d(Int8Layer):
    """A convolution's stand-in with the same parameters."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        self._geometry = list(layer.stride), [int(side) for side in layer.padding], list(layer.dilation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, K, h', w'], channels last."""
        x = x.contiguous(memory_format=torch.channels_last)
        values, scale, zero = quantise(x)
        stride, padding, dilation = self._geometry
        if self._packed is None:
            weight, scales = quantised_weight(self.weight)
            packed = torch.ops.onednn.qconv_prepack(
                weight, scales, scale, zero, stride, padding, dilation, 1, list(x.shape)
            )
            self._packed = packed, scales, torch.zeros(len(scales), dtype=torch.int64)
        bias = None if self.bias is None else self.bias.float()
        return torch.ops.onednn.qconv2d_pointwise(
            values, scale, zero, *self._packed, bias, stride, padding, dilation, 1, 1.0, 0, x.dtype, "none", [], ""
        )


def use_int8(networks: Iterable[nn.Module]) -> Replacement:
    """Lets the large layers of `networks` work in 8-bit integers from now on, for inference on a CPU.

    Returns what takes it back. `state_dict` and saving stay as they were; the integer weights, half as large as
    bfloat16's, come on top. Load LoRAs and change the dtype before.

    Raises:
        UserError: this torch has no integer kernels.
    """
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise UserError("8-bit layers need torch for x86 with oneDNN; leave them out here")
    return replace_layers(networks, _quicker)


def _quicker(layer: nn.Module) -> nn.Module | None:
    if type(layer) is nn.Linear and min(layer.in_features, layer.out_features) >= _FEWEST_CHANNELS:
        return Int8Linear(layer)
    if type(layer) is nn.Conv2d and min(layer.in_channels, layer.out_channels) >= _FEWEST_CHANNELS:
        plain = layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return Int8Conv2d(layer) if plain else None
    return None
