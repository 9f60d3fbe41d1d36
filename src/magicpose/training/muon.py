"""Muon (Jordan et al. 2024) for the matrices and convolution kernels, AdamW for everything else.

Momentum whose singular values are all brought near one: no direction of a layer is learned much later than another,
which pays most in runs as short as the embedded model's (docs/log.md). torch.optim.Muon refuses convolutions, most
of this network; here a kernel [out, in, k, k] is the matrix [out, in*k*k] that it is. Updates are scaled to the size
AdamW's have (Liu et al. 2025), so one learning rate serves both halves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch import distributed as dist

MOMENTUM = 0.95
EPS = 1e-8
_QUINTIC = (3.4445, -4.7750, 2.0315)  # steep at zero; five rounds leave singular values in about 0.7 to 1.2
_ROUNDS = 5
_BY_ADAM = ("conv_in.", "conv_out.", "embedding", "embeddings.")  # first and last layers, tables of vectors


class Muon(torch.optim.Optimizer):
    """Drop-in for AdamW over named parameters.

    Args:
        parameters: by name; the names decide which are matrices (`_BY_ADAM`, vectors and scalars are not).
        lr: of both halves.
        betas, weight_decay: of AdamW; the decay is decoupled and applies to both.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        matrices = [p for name, p in parameters.items() if is_matrix(name, p)]
        others = [p for name, p in parameters.items() if not is_matrix(name, p)]
        groups = [{"params": matrices, "orthogonal": True}, {"params": others, "orthogonal": False}]
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update; parameters without a gradient stay as they are."""
        assert closure is None, "the training loop computes gradients itself"
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            for parameter in given:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            update = self._orthogonal if group["orthogonal"] else self._adam
            update(given, group)
        return None

    def _orthogonal(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        alike: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            alike[tuple(parameter.shape)].append(parameter)
        directions = [torch.stack([self._direction(p) for p in some]) for some in alike.values()]
        for some, updates in zip(alike.values(), orthogonalise_together(directions)):
            scale = 0.2 * max(updates.shape[-2:]) ** 0.5
            for parameter, update in zip(some, updates):
                parameter.sub_(update.view_as(parameter), alpha=group["lr"] * scale)

    def _direction(self, parameter: nn.Parameter) -> Tensor:
        """The gradient with momentum and Nesterov's look ahead, [out, in]."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(momentum, MOMENTUM).flatten(1)

    def _adam(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state |= {"step": torch.zeros(()), "mean": torch.zeros_like(parameter)}
                state["square"] = torch.zeros_like(parameter)
            state["step"] += 1
            steps = float(state["step"])
            mean = state["mean"].lerp_(parameter.grad, 1 - first)
            square = state["square"].lerp_(parameter.grad.square(), 1 - second)
            root = (square / (1 - second**steps)).sqrt_().add_(EPS)
            parameter.addcdiv_(mean, root, value=-group["lr"] / (1 - first**steps))


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether `name` is a linear map in the middle of a network, to be updated as a whole."""
    return parameter.ndim >= 2 and not any(part in name for part in _BY_ADAM)


def orthogonalise_together(stacks: list[Tensor]) -> list[Tensor]:
    """`orthogonalise` of each stack [N, out, in], each matrix by one of the processes of the run.

    After backward every process holds the same gradients; on two cores the products are a fifth of a step, so each
    process does its share and sends the rest theirs, in the bfloat16 they were computed in: nothing is rounded anew.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [orthogonalise(stack) for stack in stacks]
    world, rank = dist.get_world_size(), dist.get_rank()
    shares = [stack.tensor_split(world) for stack in stacks]
    sizes = [[parts[r].numel() for parts in shares] for r in range(world)]
    mine = torch.zeros(max(map(sum, sizes)), dtype=torch.bfloat16, device=stacks[0].device)
    for part, place in zip((parts[rank] for parts in shares), torch.split(mine[: sum(sizes[rank])], sizes[rank])):
        if len(part):
            place.copy_(orthogonalise(part).flatten())
    everyone = [torch.empty_like(mine) for _ in range(world)]
    dist.all_gather(everyone, mine)
    pieces = [torch.split(received[: sum(size)], size) for received, size in zip(everyone, sizes)]
    return [torch.cat(parts).view_as(stack).float() for parts, stack in zip(zip(*pieces), stacks)]


def orthogonalise(matrices: Tensor) -> Tensor:
    """Singular values brought near one: [N, out, in] -> [N, out, in] float32, by a quintic Newton-Schulz iteration.

    In bfloat16, as is usual: what matters is that no singular value stays small, not that all are equal.
    """
    x = matrices.bfloat16()
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.transpose(1, 2)).float()
