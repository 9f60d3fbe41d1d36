"""Rounding: the grid, what it leaves alone, and steps too small to show."""

import pytest
import torch
from torch import nn

from magicpose.errors import UserError
from magicpose.training.rounding import Rounding, grid_spacing


@pytest.mark.parametrize(("deviation", "levels", "spacing"), [(1.0, 2.0, 0.5), (1.3, 1.0, 1.0), (0.01, 3.0, 2.0**-8)])
def test_spacings_are_powers_of_two(deviation: float, levels: float, spacing: float) -> None:
    weights = torch.tensor([deviation, -deviation]).repeat(8)
    assert grid_spacing(weights, levels) == spacing


def test_only_matrices_that_vary_are_rounded_and_given_back() -> None:
    torch.manual_seed(0)
    parameters = {
        "matrix": nn.Parameter(torch.randn(16, 16)),
        "vector": nn.Parameter(torch.randn(16)),
        "zeros": nn.Parameter(torch.zeros(4, 4)),
    }
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    with Rounding(parameters, 2.0).applied():
        assert (parameters["matrix"] % 0.5 == 0).all() and (parameters["matrix"] - before["matrix"]).abs().max() <= 0.25
        assert torch.equal(parameters["vector"], before["vector"])
        assert torch.equal(parameters["zeros"], before["zeros"])
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters.items())
    with Rounding(parameters, 0.0).applied():
        assert torch.equal(parameters["matrix"], before["matrix"])
    with pytest.raises(UserError, match="rounding must be 0"):
        Rounding(parameters, -1.0)


def test_changes_too_small_to_show_add_up() -> None:
    """A fit that rounding alone would miss: the target lies two grid points off, each step moves a twentieth of one."""
    weights = nn.Parameter(torch.tensor([[1.0, -1.0], [1.0, -1.0]]))
    target = weights.detach() + 2.0
    rounding = Rounding({"weights": weights}, 1.0)
    optimizer = torch.optim.SGD([weights], lr=0.05)
    shown = set()
    for _ in range(60):
        with rounding.applied():
            shown.add(float(weights.detach()[0, 0]))
            (weights - target).abs().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    with rounding.applied():
        assert (weights - target).abs().max() <= 1.0
    assert shown >= {1.0, 2.0, 3.0} and all(value.is_integer() for value in shown)
