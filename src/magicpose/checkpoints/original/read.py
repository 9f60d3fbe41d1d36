"""Original single files <-> our networks: strict in, exact out.

Every key of a file is used, known to be dead (`families.DEAD`), or the reason for a `UserError` that names it. Weights
keep the file's dtype and are taken as they are mapped from disk, so loading allocates nothing twice; on the meta device
it allocates nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magicpose.checkpoints.original.cast import cast
from magicpose.checkpoints.original.fill import read_networks
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.weight_files import check_memory, read_state_dict, tensor_bytes, unwrap
from magicpose.checkpoints.parts import Parts
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel

State = dict[str, Tensor]
Source = str | Path | Mapping[str, Any]


class OriginalModel(MagicPoseModel):
    """A model read from an original file, which remembers the file's dead keys for an exact way back."""

    unused: State


def load_original(source: Source, dtype: torch.dtype | None = None) -> MagicPoseModel:
    """The model inside an original stage-1, stage-2 or Stable Diffusion 1.5 checkpoint.

    Args:
        source: `.safetensors/.ckpt/.pth/.th`, or a state dict (copied).
        dtype: None keeps the file's.

    A VAE and a text encoder in the file are checked and left out: `load_components` gives them too.

    Raises:
        UserError: a file that is damaged, foreign, incomplete, or has a key nobody knows; the sentence names it.
    """
    parts = load_components(source, dtype)
    if parts.unet is None:
        held = " and ".join(parts.present())
        raise UserError(
            f"{_name(source)}: holds only {held}, no UNet; convert it together with its base: "
            "magicpose convert BASE THIS -o FOLDER"
        )
    model = parts.model(OriginalModel)
    assert isinstance(model, OriginalModel)
    model.unused = dict(parts.unused or {})
    return model


def load_components(source: Source, dtype: torch.dtype | None = None) -> Parts:
    """Every network in an original file: also ControlNet files and AnimateDiff motion modules, which stand alone."""
    name = _name(source)
    if isinstance(source, Mapping):
        state = unwrap(source, name)
        check_memory(tensor_bytes(state), name)
        state = {key: value.detach().clone() for key, value in state.items()}
    else:
        state = read_state_dict(source)
    parts = components_of(state, name)
    if dtype is not None:
        for module in parts.present().values():
            cast(module, dtype=dtype)
    return parts


def components_of(state: State, source: str, ignored: Ignored | None = None) -> Parts:
    """The networks in a state dict with original keys; they share its memory. `source` names it in messages."""
    check_memory(tensor_bytes(state), source)
    networks, unused = read_networks(state, source, ignored)
    parts: dict[str, Any] = dict(networks)
    return Parts(**parts, unused=unused)


def _name(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else str(source)
