"""The average of the weights against its formula."""

import pytest
import torch
from torch import nn

from magicpose.training.ema import Average


@pytest.mark.parametrize("decay", [0.9, 0.15, 0.25])
def test_three_updates_follow_the_formula(decay: float) -> None:
    """a_n = d_n a_{n-1} + (1 - d_n) w_n with d_n = min(decay, (1 + n) / (10 + n)): 2/11, 3/12, 4/13."""
    weights = nn.Parameter(torch.tensor([1.0, -2.0]))
    average = Average({"w": weights}, decay)
    wanted = weights.detach().double()
    for n in (1, 2, 3):
        with torch.no_grad():
            weights.add_(torch.tensor([3.0, 0.5 * n]))
        average.update(n)
        kept = min(decay, (1 + n) / (10 + n))
        wanted = kept * wanted + (1 - kept) * weights.detach().double()
        torch.testing.assert_close(average.values["w"].double(), wanted, rtol=1e-6, atol=1e-6)


def test_late_averages_keep_the_share_that_was_asked_for() -> None:
    weights = nn.Parameter(torch.zeros(1))
    average = Average({"w": weights}, 0.99)
    with torch.no_grad():
        weights.fill_(1.0)
    average.update(100_000)
    assert float(average.values["w"]) == pytest.approx(0.01, rel=1e-4)
    with average.applied():
        assert float(weights.detach()) == pytest.approx(0.01, rel=1e-4)
    assert float(weights.detach()) == 1.0
