"""A LoRA beside the weights, to be taken out again: diffusers' loader and PEFT, held to take all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from magicpose.checkpoints.original.lora import checked_changes, ratio_of, unfit
from magicpose.checkpoints.original.lora_kinds import Misfit, alpha_over_rank
from magicpose.checkpoints.original.lora_layers import Change
from magicpose.checkpoints.original.lora_settings import adapter_file, read_strengths
from magicpose.checkpoints.original.weight_files import read_state_dict
from magicpose.errors import UserError

# diffusers' names; only with the old ones it takes the layers of CLIP's MLP
_SPELT = {
    "unet": {"down": "lora_A.weight", "up": "lora_B.weight", "magnitude": "lora_magnitude_vector"},
    "text_encoder": {
        "down": "lora_linear_layer.down.weight",
        "up": "lora_linear_layer.up.weight",
        "magnitude": "lora_magnitude_vector",
    },
}
_HELD = {"down": "lora_A", "up": "lora_B", "magnitude": "lora_magnitude_vector"}  # our name -> PEFT's


class StrictLoader(StableDiffusionPipeline):
    """The stock pipeline, with a `load_lora_weights` that loads all of a file or refuses it."""

    def load_lora_weights(self, source: Any, adapter_name: str | None = None, **settings: Any) -> None:
        """Puts a LoRA or DoRA beside the weights of the networks.

        Args:
            source: a file, a folder that PEFT wrote, or a state dict with kohya's, diffusers' or PEFT's names.
            adapter_name: PEFT's name for it; None: one is made.
            settings: as diffusers' `load_lora_into_unet` and `load_lora_into_text_encoder` take them.

        Raises:
            UserError: a tensor that PEFT cannot hold here, or that no layer takes; the sentence names it.
        """
        name, state, strengths = "the LoRA", source, {}
        if not isinstance(source, Mapping):
            file = adapter_file(Path(source)) or Path(source)
            name, state = str(source), read_state_dict(file)
            strengths = read_strengths(file, list(state))
        networks = {n: net for n in ("unet", "text_encoder") if (net := getattr(self, n, None)) is not None}
        found = checked_changes(networks, state, name)
        plain = [_plain(change, networks, name, ratio_of(change, strengths)) for change in found]
        if len({"magnitude" in tensors for tensors in plain}) > 1:
            raise UserError(f"{name}: DoRA in some of its layers only, which PEFT cannot hold; {_MERGE}")
        for part, network in networks.items():
            wanted = {
                f"{part}.{change.path}.{_SPELT[part][kind]}": tensor
                for change, tensors in zip(found, plain, strict=True)
                for kind, tensor in tensors.items()
                if change.part == part
            }
            if wanted:
                getattr(self, f"load_lora_into_{part}")(
                    wanted, None, network, adapter_name=adapter_name, _pipeline=self, **settings
                )
        _check_held(found, plain, networks, name)


_MERGE = "merge it for good: magicpose convert BASE LORA -o FOLDER"


def _plain(change: Change, networks: Mapping[str, nn.Module], source: str, given: float | None) -> dict[str, Tensor]:
    """Factors with alpha / rank inside, and DoRA's magnitude as PEFT has it."""
    key = next(iter(change.keys.values()))
    layer: Any = networks[change.part].get_submodule(change.path)
    tensors = dict(change.tensors)
    length = tensors.pop("dora_scale", None)
    by_output = length is None or length.numel() == len(length) == len(layer.weight)
    if not {"down", "up"} <= set(tensors) <= {"down", "up", "alpha", "magnitude"} or not by_output:
        raise UserError(f"{source}: {key} is no plain LoRA, which is all that PEFT can hold here; {_MERGE}")
    magnitude = tensors.get("magnitude", length)
    try:
        ratio = alpha_over_rank(tensors, len(tensors["down"]), given)
    except Misfit as error:
        raise unfit(change, source, error) from error
    held = {"down": tensors["down"], "up": tensors["up"] * ratio}
    if magnitude is not None:
        held["magnitude"] = magnitude.reshape(-1) if layer.weight.ndim == 2 else magnitude.reshape(1, -1, 1, 1)
    widths = (held["down"].shape[1], held["up"].shape[0])
    if widths != (layer.weight.shape[1], layer.weight.shape[0]) or len(held["down"]) != held["up"].shape[1]:
        raise unfit(change, source, Misfit(f"the weight is {list(layer.weight.shape)}"))
    return held


def _check_held(found: Any, plain: Any, networks: Mapping[str, nn.Module], source: str) -> None:
    """diffusers only warns of what it drops: every tensor must stand in its layer now."""
    for change, tensors in zip(found, plain, strict=True):
        layer: Any = networks[change.part].get_submodule(change.path)
        for kind, tensor in tensors.items():
            by_adapter = getattr(layer, _HELD[kind], None)
            last = list(by_adapter.values())[-1] if by_adapter else None
            value = getattr(last, "weight", last)
            same = value is not None and torch.allclose(value.flatten().cpu().float(), tensor.flatten().cpu().float())
            if not same:
                raise UserError(f"{source}: {change.keys.get(kind, change.path)} did not arrive in PEFT; {_MERGE}")
