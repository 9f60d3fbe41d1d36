"""Winograd and 8-bit layers against torch's own, and networks that get them and give them back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magicpose.acceleration.int8 import Int8Conv2d, Int8Linear, quantise, use_int8
from magicpose.acceleration.packed import PackedLinear, PackedMatrix, use_packed
from magicpose.acceleration.replacement import Replacement, replace_layers
from magicpose.acceleration.winograd import WinogradConv2d, Workspace, convolve, packed_weight, transform, use_winograd
from magicpose.bench.measure import psnr

Use = Callable[[Iterable[nn.Module]], Replacement]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(actual: Tensor, wanted: Tensor) -> float:
    return float((actual.double() - wanted.double()).norm() / wanted.double().norm())


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(64, 96, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(96, 64, 3, padding=1, stride=2),
        nn.Sequential(nn.Conv2d(64, 64, 1), nn.Linear(16, 16), nn.Conv2d(64, 64, 3, padding=1, bias=False)),
    ).eval()


# ---- Winograd --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 5, 13, 6), (3, 1, 1, 17), (1, 2, 5, 4)])
def test_winograd_is_the_convolution(m: int, shape: tuple[int, ...]) -> None:
    x, w = draw(*shape), draw(7, shape[1], 3, 3, seed=1)
    wanted = F.conv2d(x.double(), w.double(), padding=1)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        out = convolve(given, packed_weight(w, m), m, Workspace())
        assert error(out, wanted) < 3e-6
        assert out.shape == wanted.shape


def test_the_result_has_the_layout_of_the_input() -> None:
    x, weight = draw(2, 64, 8, 12), packed_weight(draw(96, 64, 3, 3, seed=1), 4)
    assert convolve(x, weight, 4, Workspace()).is_contiguous()
    last = convolve(x.contiguous(memory_format=torch.channels_last), weight, 4, Workspace())
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("at_once", [1, 2000, 9000])
def test_portions_change_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, memory = draw(3, 4, 21, 9), packed_weight(draw(6, 4, 3, 3, seed=1), 4), Workspace()
    whole = convolve(x, weight, 4, memory).clone()
    monkeypatch.setattr("magicpose.acceleration.winograd._VALUES_AT_ONCE", at_once)
    assert error(convolve(x, weight, 4, memory), whole) < 1e-6


def test_one_tile_is_exact_where_numbers_are() -> None:
    two = transform(2)
    assert two.inputs.abs().max() == 1 and two.outputs.abs().max() == 1
    x, w = torch.arange(16.0).view(1, 1, 4, 4), torch.tensor([[[[0.0, 1, 0], [2, 4, 2], [0, 1, 0]]]])
    assert torch.equal(convolve(x, packed_weight(w, 2), 2, Workspace()), F.conv2d(x, w, padding=1))


def test_only_plain_3x3_convolutions_are_exchanged() -> None:
    network = small_network()
    with use_winograd([network]) as used:
        assert len(used) == 2
        assert isinstance(network[0], WinogradConv2d) and isinstance(network[3][2], WinogradConv2d)
    odd = (
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2),
        nn.Conv2d(64, 4, 3, padding=1),
    )
    assert len(use_winograd([nn.Sequential(*odd)])) == 0


def test_gradients_take_the_direct_way() -> None:
    network = small_network()[0]
    wrapped = nn.Sequential(network)
    use_winograd([wrapped])
    x = draw(1, 64, 8, 8).requires_grad_()
    assert torch.equal(wrapped(x), network(x))


# ---- packed weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 7, 256, 1000])
def test_a_packed_matrix_serves_any_number_of_rows(rows: int) -> None:
    weight, bias, x = draw(96, 64, seed=1), draw(96, seed=2), draw(2, rows, 64)
    matrix = PackedMatrix(weight)
    assert (matrix.rows, matrix.nbytes) == (96, 4 * 96 * 64)
    assert error(matrix(x, bias), F.linear(x.double(), weight.double(), bias.double())) < 1e-6
    assert error(matrix(x), F.linear(x.double(), weight.double())) < 1e-6


def test_without_onednn_matrices_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magicpose.acceleration.packed._can_pack", lambda: False)
    weight, x = draw(96, 64, seed=1), draw(5, 64)
    assert torch.equal(PackedMatrix(weight)(x), F.linear(x, weight))


def test_only_plain_large_linear_layers_are_packed() -> None:
    class Own(nn.Linear):
        pass

    network = nn.Sequential(nn.Linear(64, 64), nn.Linear(16, 64), Own(64, 64))
    with use_packed([network]) as used:
        assert len(used) == 1 and isinstance(network[0], PackedLinear)
        x = draw(3, 64).requires_grad_()
        network[0](x).sum().backward()  # the direct way: the packed product has no gradient
        assert x.grad is not None and network[0].made_bytes() == 0


# ---- 8-bit integers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (5.0, 1e-3), (-300.0, 20.0), (0.0, 0.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quantising_is_right_to_half_a_step(shift: float, scale: float, dtype: torch.dtype) -> None:
    x = (draw(2, 3, 50, 70) * scale + shift).to(dtype).contiguous(memory_format=torch.channels_last)
    values, step, zero = quantise(x)
    assert values.dtype == torch.uint8 and values.stride() == x.stride()
    assert 0 <= zero <= 255
    back = step * (values.double() - zero)
    assert float((back - x.double()).abs().max()) <= 0.51 * step + 1e-9


def test_quantising_large_tensors_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(1000)
    whole = quantise(x)[0]
    monkeypatch.setattr("magicpose.acceleration.int8._VALUES_AT_ONCE", 64)
    assert torch.equal(quantise(x)[0], whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_8_bit_layers_are_close(dtype: torch.dtype) -> None:
    linear, conv = nn.Linear(96, 128), nn.Conv2d(64, 96, 3, stride=2, padding=1)
    for layer, quick, x in (
        (linear, Int8Linear, F.silu(draw(2, 70, 96))),
        (conv, Int8Conv2d, F.silu(draw(2, 64, 12, 10))),
    ):
        wanted = layer(x)
        out = quick(layer.to(dtype))(x.to(dtype))  # type: ignore[operator]
        assert out.dtype == dtype and out.shape == wanted.shape
        assert error(out, wanted) < 0.03


def test_few_rows_stay_as_they_are() -> None:
    linear = nn.Linear(96, 128)
    x = draw(2, 96)
    assert torch.equal(Int8Linear(linear)(x), linear(x))


# ---- networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("use", "decibel"), [(use_winograd, 100), (use_int8, 30)])
@torch.no_grad()
def test_networks_get_quicker_layers_and_their_own_back(use: Use, decibel: float) -> None:
    network = nn.Sequential(*small_network()[:3])
    x = draw(1, 64, 32, 32)
    wanted, state, layers = network(x), network.state_dict(), list(network.modules())
    used = use([network])
    assert not network[0].training
    out = network(x)
    assert decibel < psnr(out, wanted) < 200
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    made = network[0].made_bytes() / network[0].weight.numel()
    assert made == (1 if use is use_int8 else 4 * 36 / 9)
    other = F.silu(draw(2, 64, 8, 12))  # another shape and range than at the first call
    assert psnr(network(other), nn.Sequential(*layers[1:])(other)) > decibel
    assert torch.equal(copy.deepcopy(network)(x), out)
    used.remove()
    used.remove()
    assert list(network.modules()) == layers
    assert torch.equal(network(x), wanted)


@torch.no_grad()
def test_packed_layers_copy_and_leave() -> None:
    network = nn.Sequential(nn.Linear(64, 96), nn.SiLU(), nn.Linear(96, 64, bias=False)).eval()
    x, layers = draw(2, 70, 64), list(network.modules())
    wanted, state = network(x), network.state_dict()
    used = use_packed([network])
    out = network(x)
    assert error(out, wanted) < 1e-6 and network.state_dict().keys() == state.keys()
    assert network[0].made_bytes() == network[0].weight.nbytes
    assert torch.equal(copy.deepcopy(network)(x), out)
    used.remove()
    assert list(network.modules()) == layers


def test_replacements_add_up_and_go_together() -> None:
    network = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.Linear(64, 64))
    layers = list(network)
    both = use_winograd([network]) + use_packed([network])
    assert len(both) == 2 and all(now is not before for now, before in zip(network, layers, strict=True))
    both.remove()
    assert list(network) == layers


def test_a_layer_that_is_used_twice_is_exchanged_everywhere() -> None:
    shared = nn.Linear(2, 2)
    network = nn.ModuleList([shared, nn.Sequential(shared)])
    with replace_layers([network], lambda layer: nn.Linear(2, 2) if layer is shared else None):
        assert all(layer is not shared for layer in network.modules())
    assert network[0] is shared and network[1][0] is shared
