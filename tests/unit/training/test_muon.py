"""Muon: what it does to singular values, which parameters it takes, and that it learns."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from magicpose.training.config import OptimizerConfig
from magicpose.training.muon import Muon, is_matrix, orthogonalise
from magicpose.training.optimiser import make_optimizer


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    result = orthogonalise(matrices)
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.3 and values[torch.linalg.svdvals(matrices) > 0.5].min() > 0.5
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    aligned = torch.einsum("nij,nik,nkj->n", result, left, right) / values.sum(1)
    assert (aligned > 0.95).all(), "the directions must stay"


def test_first_and_last_layers_vectors_and_tables_are_left_to_adam() -> None:
    table = {
        "unet.mid_block.resnets.0.conv1.weight": (8, 8, 3, 3),
        "unet.down_blocks.0.attentions.0.proj_in.weight": (8, 8, 1, 1),
        "unet.mid_block.resnets.0.conv1.bias": (8,),
        "unet.conv_in.weight": (8, 4, 3, 3),
        "unet.time_embedding.linear_1.weight": (8, 8),
        "text_encoder.embeddings.token_embedding.weight": (50, 8),
    }
    taken = [name for name, shape in table.items() if is_matrix(name, torch.zeros(shape))]
    assert taken == list(table)[:2]


def test_a_step_is_the_orthogonal_direction_at_adams_size() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(32, 16)
    before = layer.weight.detach().clone()
    optimizer = Muon(dict(layer.named_parameters()), lr=0.1)
    layer(torch.randn(64, 32)).square().sum().backward()
    gradient = layer.weight.grad.clone()
    optimizer.step()
    # Momentum starts at zero, so the first direction is a multiple of the gradient.
    expected = before - 0.1 * 0.2 * 32**0.5 * orthogonalise(gradient[None])[0]
    assert torch.allclose(layer.weight, expected, atol=2e-3)
    assert float((layer.weight - before).detach().square().mean().sqrt()) == pytest.approx(0.1 * 0.2, rel=0.35)


def test_the_other_half_is_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.randn(5)), nn.Parameter(torch.zeros(5))
    theirs.data.copy_(ours.data)
    settings = {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.1}
    pairs = [(ours, Muon({"bias": ours}, **settings)), (theirs, torch.optim.AdamW([theirs], **settings))]
    for step in range(4):
        for parameter, optimizer in pairs:
            parameter.grad = torch.sin(torch.arange(5.0) + step) * parameter.detach()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_state_goes_through_a_checkpoint() -> None:
    def train(steps: range, layer: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for step in steps:
            x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            layer(x).square().mean().backward()
            optimizer.step()

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(3)
        layer = nn.Linear(6, 6)
        return layer, make_optimizer(OptimizerConfig(kind="muon", learning_rate=0.01), dict(layer.named_parameters()))

    whole, optimizer = fresh()
    train(range(6), whole, optimizer)
    first, optimizer = fresh()
    train(range(3), first, optimizer)
    second, resumed = fresh()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    train(range(3, 6), second, resumed)
    assert torch.equal(whole.weight, second.weight) and torch.equal(whole.bias, second.bias)


SHARED = """
import torch
from magicpose.training.muon import orthogonalise, orthogonalise_together
torch.distributed.init_process_group("gloo")
torch.manual_seed(0)
stacks = [torch.randn(shape) for shape in ((5, 12, 30), (1, 20, 8), (2, 16, 16))]
alone = [orthogonalise(stack) for stack in stacks]
for stack in stacks:  # what the other process has to do is not known here
    other = stack.tensor_split(2)[1 - torch.distributed.get_rank()]
    other.fill_(float("nan"))
for one, together in zip(alone, orthogonalise_together(stacks), strict=True):
    torch.testing.assert_close(together, one, rtol=0, atol=1e-2)
print("equal")
"""


def test_processes_share_the_work_and_end_with_the_same() -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--no_python"]
    ran = subprocess.run(
        [*launch, sys.executable, "-c", SHARED], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0 and ran.stdout.count("equal") == 2, ran.stderr[-2000:]
