"""The modes that are compared: how our networks are held, one row each."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from magicpose.acceleration.arithmetic import Arithmetic, use_arithmetic
from magicpose.acceleration.compiling import compile_networks
from magicpose.bench.stack import Stack


@dataclass(frozen=True)
class Mode:
    """`channels_last`: memory layout of the networks; `compiled`: UNet and ControlNet through torch.compile.

    `arithmetic`: as in `use_arithmetic`.
    """

    dtype: torch.dtype
    channels_last: bool
    compiled: bool
    about: str
    arithmetic: Arithmetic = "plain"

    @property
    def copies(self) -> bool:
        """Whether its weights differ from those of the float32 stack, or are marked in a way that would stay."""
        return self.dtype != torch.float32 or self.channels_last or self.compiled

    @property
    def prepares(self) -> bool:
        """Whether the first call makes something that later ones use."""
        return self.compiled or self.arithmetic != "plain"


ORIGINAL = "original"  # not a mode of ours: the re-created loop, on the float32 networks

MODES: dict[str, Mode] = {
    "fp32": Mode(torch.float32, False, False, "nothing but the order of the work changed"),
    "fp32-winograd": Mode(torch.float32, False, False, "3x3 convolutions with fewer products", "winograd"),
    "bf16": Mode(torch.bfloat16, False, False, "networks in bfloat16, solver in float32"),
    "bf16-nhwc": Mode(torch.bfloat16, True, False, "the same with channels last"),
    "bf16-int8": Mode(torch.bfloat16, True, False, "convolutions and linear layers in 8-bit integers", "int8"),
    "bf16-compiled": Mode(torch.bfloat16, True, True, "the same through torch.compile"),
}


@contextmanager
def prepared(mode: Mode, stack: Stack) -> Iterator[Stack]:
    """The stack in this mode: `stack` itself (float32, as built) where no weight differs, else a copy."""
    if mode.copies:
        stack = copy.deepcopy(stack)
        networks: tuple[Any, Any] = (stack.model, stack.vae)
        for network in networks:
            network.to(dtype=mode.dtype, memory_format=torch.channels_last if mode.channels_last else None)
    with use_arithmetic(mode.arithmetic, stack.model, stack.vae):
        if mode.compiled:
            compile_networks(stack.model)
        yield stack
