"""The modes that are compared: how our networks are held, one row each."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from magicpose.bench.stack import Stack
from magicpose.compiling import compile_networks


@dataclass(frozen=True)
class Mode:
    """`channels_last`: memory layout of the networks; `compiled`: UNet and ControlNet through torch.compile."""

    dtype: torch.dtype
    channels_last: bool
    compiled: bool
    about: str


ORIGINAL = "original"  # not a mode of ours: the re-created loop, on the float32 networks

MODES: dict[str, Mode] = {
    "fp32": Mode(torch.float32, False, False, "nothing but the order of the work changed"),
    "bf16": Mode(torch.bfloat16, False, False, "networks in bfloat16, solver in float32"),
    "bf16-nhwc": Mode(torch.bfloat16, True, False, "the same with channels last"),
    "bf16-compiled": Mode(torch.bfloat16, True, True, "the same through torch.compile, weights frozen"),
}


def prepare(mode: Mode, stack: Stack) -> Stack:
    """The stack in this mode: `stack` itself (float32, as built) where nothing differs, else a copy."""
    if mode == MODES["fp32"]:
        return stack
    copied = copy.deepcopy(stack)
    networks: tuple[Any, Any] = (copied.model, copied.vae)
    for network in networks:
        network.to(dtype=mode.dtype, memory_format=torch.channels_last if mode.channels_last else None)
    if mode.compiled:
        compile_networks(copied.model)
    return copied
