"""Offloading, as far as it can be tried on a CPU: every layer is reached, and nothing changes."""

from __future__ import annotations

import pytest
import torch

from magicpose.acceleration.offload import offload
from magicpose.bench.measure import time_fast
from magicpose.bench.stack import build_stack, make_inputs

pytestmark = pytest.mark.filterwarnings("ignore")


def test_offloaded_networks_give_the_same() -> None:
    stack = build_stack("tiny")
    inputs = make_inputs(stack, 64, 1)
    wanted = time_fast(stack, inputs, 2.0).guided
    offload([stack.model, stack.vae], torch.device("cpu"))
    hooked = [m for m in stack.model.modules() if hasattr(m, "_diffusers_hook")]
    assert len(hooked) > 100
    assert torch.equal(time_fast(stack, inputs, 2.0).guided, wanted)
