"""Original single files <-> our networks: strict in, exact out.

Every key of a file is used, known to be dead (`families.DEAD`), or the reason for a `UserError` that names it. Weights
keep the file's dtype and are taken as they are mapped from disk, so loading allocates nothing twice; on the meta device
it allocates nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from magicpose.checkpoints.original.cast import cast
from magicpose.checkpoints.original.fill import read_networks
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.weight_files import check_memory, read_state_dict, tensor_bytes, unwrap
from magicpose.errors import UserError
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules

State = dict[str, Tensor]
Source = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class Components:
    """Whatever a checkpoint holds, as plain diffusers and transformers models; absent parts are None.

    `unused`: keys of the original that nothing reads (schedule buffers, the appearance branch's hint encoder); kept
    so that writing gives back what was read; the hint encoder's under its stage-2 name. None: made anew on export.
    """

    unet: UNet2DConditionModel | None = None
    appearance: UNet2DConditionModel | None = None
    pose_controlnet: ControlNetModel | None = None
    vae: AutoencoderKL | None = None
    text_encoder: CLIPTextModel | None = None
    motion: MotionAdapter | None = None
    unused: State | None = field(default=None, repr=False)

    def present(self) -> dict[str, nn.Module]:
        """The networks that are there, by name."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "unused"}
        return {name: module for name, module in found.items() if module is not None}


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
    model = OriginalModel(
        parts.unet,
        None if parts.appearance is None else AppearanceControl(parts.appearance),
        parts.pose_controlnet,
        None if parts.motion is None else MotionModules(parts.motion),
    )
    model.unused = parts.unused or {}
    return model


def load_components(source: Source, dtype: torch.dtype | None = None) -> Components:
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


def components_of(state: State, source: str, ignored: Ignored | None = None) -> Components:
    """The networks in a state dict with original keys; they share its memory. `source` names it in messages."""
    check_memory(tensor_bytes(state), source)
    networks, unused = read_networks(state, source, ignored)
    parts: dict[str, Any] = dict(networks)
    return Components(**parts, unused=unused)


def _name(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else str(source)
