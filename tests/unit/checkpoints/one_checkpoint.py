"""One tiny checkpoint for a whole test run: its networks, its original form, and the comparison with what was read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_originals import parts
from torch import Tensor

from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.read import Components

State = dict[str, Tensor]


@cache
def networks() -> dict[str, Any]:
    return parts("unet", "vae", "text_encoder", "pose_controlnet", "motion").present()


def original(*names: str) -> State:
    return export_original(Components(**{name: networks()[name] for name in names}))


def base() -> State:
    return original("unet", "vae", "text_encoder")


def network(part: str) -> State:
    """A network's own (diffusers', transformers') names."""
    return dict(networks()[part].state_dict())


def same_networks(found: Components, names: str) -> None:
    assert set(found.present()) == set(names.split())
    for name, module in found.present().items():
        mine, theirs = module.state_dict(), networks()[name].state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], value) for key, value in theirs.items()), name


def save(state: State, path: Path) -> Path:
    save_file({k: v.contiguous().clone() for k, v in state.items()}, path)
    return path
