"""3x3 convolutions with fewer multiplications (Winograd; Lavin and Gray, 2016), for networks that run on a CPU.

A tile of m x m results is A^T [(G w G^T) * (B^T x B)] A, x the n x n pixels it sees, n = m + 2: n^2 products per pair
of channels in place of 9 m^2. Over channels and tiles those are n^2 plain matrix products, and the transforms are
small ones beside them. m = 4 needs a quarter of the products, m = 2 four ninths.

In float32 the results differ from the direct convolution by rounding: about 1e-6 (m = 4) or 4e-7 (m = 2) of their size.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magicpose.acceleration.packed import PackedMatrix
from magicpose.acceleration.replacement import Replacement, replace_layers

_KERNEL = 3
_WIDE_SIDE = 32  # from here on m = 4; below, there are too few tiles to make up for reading its larger weights
_VALUES_AT_ONCE = 2**22  # of a transformed input, 16 MiB: about what stays in the outer caches beside the weights
_FEWEST_CHANNELS = 64  # below, the transforms cost more than the products
# Where the polynomials behind it are evaluated, infinity apart. Pairs p, 1/p round half as much as the usual 1, 2.
_POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2)),
}


class Transform(NamedTuple):
    """`inputs` kron(B^T, B^T) [n*n, n*n] and `outputs` kron(A^T, A^T) [m*m, n*n] act on flattened tiles; `kernel` is G.

    G [n, 3] is float64: weights are transformed once. The others are float32.
    """

    inputs: Tensor
    kernel: Tensor
    outputs: Tensor


@functools.cache
def transform(m: int) -> Transform:
    """The matrices for m x m results a tile (Toom and Cook's construction)."""
    points = _POINTS[m]
    n = len(points) + 1
    a = [[p**k for k in range(m)] for p in points] + [[0] * (m - 1) + [1]]
    others = [[q for q in points if q != p] for p in points]
    scales = [math.prod((p - q for q in rest), start=Fraction(1)) for p, rest in zip(points, others, strict=True)]
    g = [[p**k / scale for k in range(_KERNEL)] for p, scale in zip(points, scales, strict=True)] + [[0, 0, 1]]
    b = [_coefficients(rest, n) for rest in (*others, points)]
    a64, g64, b64 = (torch.tensor([[float(value) for value in row] for row in rows]).double() for rows in (a, g, b))
    return Transform(torch.kron(b64, b64).float(), g64, torch.kron(a64.T, a64.T).float())


def _coefficients(roots: Sequence[Fraction], length: int) -> list[Fraction]:
    """Of the polynomial with these roots, lowest power first, filled up with zeros."""
    powers = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *powers], [*(root * value for value in powers), Fraction(0)]
        powers = [high - low for high, low in zip(shifted, scaled, strict=True)]
    return powers + [Fraction(0)] * (length - len(powers))


def transformed_weight(weight: Tensor, m: int) -> Tensor:
    """G w G^T of every pair of channels: [K, C, 3, 3] -> [n*n, K, C], float32."""
    g = transform(m).kernel
    flat = torch.kron(g, g).to(weight.device, torch.float32)  # [n*n, 9]
    k, c = weight.shape[:2]
    return (flat @ weight.float().view(k * c, -1).T).view(-1, k, c)


class Workspace(threading.local):
    """Memory that a network's convolutions use one after the other, each thread its own.

    Fresh pages would cost as much as the transforms that write to them.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def __reduce__(self) -> Any:
        """A copy of a network starts with an empty one."""
        return Workspace, ()

    def take(self, name: str, *shape: int) -> Tensor:
        """Uninitialised float32, and overwritten by whoever next takes `name`."""
        count, held = math.prod(shape), self._held.get(name)
        if held is None or held.numel() < count:
            held = self._held[name] = torch.empty(count)
        return held[:count].view(shape)


def packed_weight(weight: Tensor, m: int) -> list[PackedMatrix]:
    """`transformed_weight` as `convolve` takes it: the n*n matrices [K, C]."""
    return [PackedMatrix(matrix.clone()) for matrix in transformed_weight(weight, m)]


def convolve(x: Tensor, weight: Sequence[PackedMatrix], m: int, memory: Workspace) -> Tensor:
    """`F.conv2d(x, w, padding=1)` for `weight = packed_weight(w, m)`: [B, C, h, w] -> [B, K, h, w], float32.

    Channels come last inside, so that tiles are gathered in long runs; the result has the layout of `x`.
    """
    n = m + _KERNEL - 1
    (batch, channels, height, width), out_channels = x.shape, weight[0].rows
    rows, columns = math.ceil(height / m), math.ceil(width / m)
    padded = memory.take("padded", batch, rows * m + 2, columns * m + 2, channels).zero_()
    padded[:, 1 : height + 1, 1 : width + 1] = _channels_last(x, memory)
    tiles = padded.unfold(1, n, m).unfold(2, n, m).permute(4, 5, 0, 1, 2, 3)  # [n, n, B, rows, columns, C]
    if x.is_contiguous():
        out = x.new_empty(batch, out_channels, rows, m, columns, m).permute(0, 2, 3, 4, 5, 1)
    else:
        out = x.new_empty(batch, rows, m, columns, m, out_channels)
    images, bands = _portion(batch, rows, n * n * max(channels, out_channels) * columns)
    both = transform(m)
    for i in range(0, batch, images):
        for j in range(0, rows, bands):
            part = tiles[:, :, i : i + images, j : j + bands]
            count = math.prod(part.shape[2:5])
            d = memory.take("tiles", *part.shape).copy_(part)
            v = memory.take("transformed", n * n, count * channels)
            torch.mm(both.inputs, d.view(v.shape), out=v)
            products = memory.take("products", n * n, count, out_channels)
            for matrix, v_k, product in zip(weight, v.view(n * n, count, channels), products, strict=True):
                product.copy_(matrix(v_k))
            y = memory.take("results", m * m, count * out_channels)
            torch.mm(both.outputs, products.view(n * n, -1), out=y)
            where = out[i : i + images, j : j + bands]  # [images, bands, m, columns, m, K]
            where.copy_(y.view(m, m, *part.shape[2:5], out_channels).permute(2, 3, 0, 4, 1, 5))
    return out.permute(0, 5, 1, 2, 3, 4).flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


def _channels_last(x: Tensor, memory: Workspace) -> Tensor:
    """[B, C, h, w] -> [B, h, w, C]."""
    if not x.is_contiguous():
        return x.permute(0, 2, 3, 1)
    turned = memory.take("turned", len(x), x[0, 0].numel(), x.shape[1])
    for image, matrix in zip(x.flatten(2), turned, strict=True):
        matrix.copy_(image.t())  # as matrices: torch transposes those four times as fast as a permuted tensor
    return turned.view(len(x), *x.shape[2:], -1)


def _portion(batch: int, rows: int, values: int) -> tuple[int, int]:
    """(images, rows of tiles) that are transformed at a time, where a row of one image has `values`."""
    fitting = max(1, _VALUES_AT_ONCE // values)
    if fitting >= rows:
        return min(batch, fitting // rows), rows
    return 1, math.ceil(rows / math.ceil(rows / fitting))  # portions of about the same size


class WinogradConv2d(nn.Module):
    """A 3x3 convolution's stand-in with the same parameters; its transformed weights are made at the first call.

    They are made from the weights as they are then: load LoRAs and change the dtype before.
    """

    def __init__(self, conv: nn.Conv2d, memory: Workspace) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._memory = memory
        self._packed: dict[int, list[PackedMatrix]] = {}

    def made_bytes(self) -> int:
        """Memory of the transformed weights made so far."""
        return sum(matrix.nbytes for weight in self._packed.values() for matrix in weight)

    def __getstate__(self) -> dict[str, Any]:
        """oneDNN's layout cannot be copied; a copy makes its own."""
        return {**self.__dict__, "_packed": {}}

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, K, h, w]."""
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return F.conv2d(x, self.weight, self.bias, padding=1)
        m = 4 if min(x.shape[2:]) >= _WIDE_SIDE else 2
        weight = self._packed.get(m)
        if weight is None:
            weight = self._packed[m] = packed_weight(self.weight.detach(), m)
        out = convolve(x, weight, m, self._memory)
        return out if self.bias is None else out.add_(self.bias[:, None, None])


def use_winograd(networks: Iterable[nn.Module]) -> Replacement:
    """Lets the 3x3 convolutions of `networks` work this way from now on, for inference on a CPU.

    Returns what takes it back. `state_dict` and saving stay as they were. Costs memory: the transformed weights are
    1.8 or 4 times the original ones, which stay (about 1.3 times the weights of a Stable Diffusion 1.5 UNet).
    """
    return replace_layers(networks, functools.partial(_quicker, memory=Workspace()))


def _quicker(layer: nn.Module, memory: Workspace) -> nn.Module | None:
    if type(layer) is not nn.Conv2d or min(layer.in_channels, layer.out_channels) < _FEWEST_CHANNELS:
        return None
    plain = layer.kernel_size == (_KERNEL, _KERNEL) and layer.padding == (1, 1) and layer.padding_mode == "zeros"
    plain &= layer.stride == layer.dilation == (1, 1) and layer.groups == 1
    return WinogradConv2d(layer, memory) if plain else None
