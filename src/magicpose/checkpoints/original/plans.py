"""For each network in an original file: an empty network of its shape, and the table from our names to the file's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from magicpose.checkpoints.original import configs, keys
from magicpose.errors import UserError

State = dict[str, Tensor]
Plan = Callable[[State, str], tuple[nn.Module, keys.Modules]]


def empty(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without storage: shapes first, weights are assigned later."""
    with torch.device("meta"):
        return make()


def _layout(found: keys.Layout | None, source: str, what: str) -> keys.Layout:
    if found is None:
        raise UserError(f"{source}: the blocks of its {what} are incomplete or of another family; get another copy")
    return found


def _unet_like(weights: State, source: str, modules: Callable[[keys.Layout], keys.Modules]) -> Any:
    layout = _layout(keys.unet_layout(weights), source, "UNet")
    config = configs.unet_config(weights, layout, source)
    return empty(lambda: UNet2DConditionModel.from_config(config)), modules(layout)


def _controlnet(weights: State, source: str) -> tuple[nn.Module, keys.Modules]:
    layout = _layout(keys.unet_layout(weights), source, "ControlNet")
    config = configs.controlnet_config(weights, layout, source)
    modules = keys.controlnet_modules(layout, configs.hint_blocks(weights))
    return empty(lambda: ControlNetModel.from_config(config)), modules


def _vae(weights: State, source: str) -> tuple[nn.Module, keys.Modules]:
    layout = _layout(keys.vae_layout(weights), source, "VAE")
    config = configs.vae_config(weights, layout, source)
    return empty(lambda: AutoencoderKL.from_config(config)), keys.vae_modules(layout)


def _text(weights: State, source: str) -> tuple[nn.Module, keys.Modules]:
    config = CLIPTextConfig(**configs.text_config(weights, source))
    network = empty(lambda: CLIPTextModel(config))
    return network, text_table(network)


def text_table(network: nn.Module) -> keys.Modules:
    """Older transformers nest the tower under `text_model`; newer ones do not."""
    nested = "text_model." if any(name.startswith("text_model.") for name in network.state_dict()) else ""
    return {nested + ours: theirs for ours, theirs in keys.text_modules().items()}


def _motion(weights: State, source: str) -> tuple[nn.Module, keys.Modules]:
    layout = _layout(keys.motion_layout(weights), source, "motion modules")
    middle = any(key.startswith("mid_block.") for key in weights)
    flat = any("_motion_module." in key for key in weights)
    nested = any(".temporal_transformer." in key for key in weights)
    modules = keys.release_motion_modules(layout) if flat else keys.motion_modules(layout, middle)
    if not nested:  # diffusers' own names: nothing to translate
        modules = {ours: ours for ours in modules}
    _drop_duplicate_positions(weights, source)
    table = keys.reverse(modules)
    ours = {name: value for key, value in weights.items() if (name := keys.translate(key, table))}
    config = configs.motion_config(ours, layout, middle, source)
    return empty(lambda: MotionAdapter.from_config(config)), modules


def _drop_duplicate_positions(weights: State, source: str) -> None:
    """The original stores one position table per attention; diffusers shares it, so both must agree."""
    for key in [key for key in weights if key.endswith(keys.DUPLICATE_POSITIONS)]:
        copy, first = weights.pop(key), weights.get(key.replace(keys.DUPLICATE_POSITIONS, keys.FIRST_POSITIONS))
        if first is None or copy.shape != first.shape or not (copy.is_meta or torch.equal(copy, first)):
            raise UserError(f"{source}: {key} differs from its twin in attention 0; get another copy of the file")


PLANS: dict[str, Plan] = {
    "unet": lambda weights, source: _unet_like(weights, source, keys.unet_modules),
    "appearance": lambda weights, source: _unet_like(weights, source, keys.appearance_modules),
    "pose_controlnet": _controlnet,
    "vae": _vae,
    "text_encoder": _text,
    "motion": _motion,
}
