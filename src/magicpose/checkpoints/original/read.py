"""Original single files <-> our networks: strict in, exact out.

Every key of a file is used, known to be dead (`keys.DEAD`), or the reason for a `UserError` that names it. Weights keep
the file's dtype and are taken as they are mapped from disk, so loading allocates nothing twice; on the meta device it
allocates nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from magicpose.checkpoints.compatibility import check_fit
from magicpose.checkpoints.original import configs, keys
from magicpose.checkpoints.original.weight_files import (
    check_finite,
    check_memory,
    read_state_dict,
    tensor_bytes,
    unwrap,
)
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
            module.to(dtype)
    return parts


def components_of(state: State, source: str) -> Parts:
    """The networks in a state dict with original keys; they share its memory. `source` names it in messages."""
    check_memory(tensor_bytes(state), source)
    parts = _build(split(state, source), source)
    check_finite(state, source)
    return parts


def _name(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else str(source)


# ---- which network a key belongs to ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Groups:
    """A file's tensors by network, keys without prefix; `prefixes` puts them back for messages."""

    weights: dict[str, State]
    prefixes: dict[str, str]
    unused: State


def split(state: State, source: str) -> Groups:
    """Sorts the keys of an original file into networks; refuses foreign files and keys without a home."""
    for pattern, what in keys.FOREIGN:
        if any(re.match(pattern, key) for key in state):
            raise UserError(f"{source}: this is {what}; {configs.SD15_FAMILY}")
    if any(keys.LORA.match(key) for key in state):
        raise UserError(f"{source}: this is a LoRA; give it after its base: magicpose convert BASE LORA -o FOLDER")
    if any(key.startswith("zero_convs.") for key in state):  # a ControlNet published without its prefix
        state = {keys.CONTROL + key: value for key, value in state.items()}
    prefixes = part_prefixes(state)
    groups = Groups({}, prefixes, {})
    homeless = []
    for key, value in state.items():
        part = next((part for part, prefix in prefixes.items() if prefix and key.startswith(prefix)), None)
        name = key.removeprefix(prefixes[part]) if part else key
        if part == "appearance" and name.startswith("input_hint_block."):
            groups.unused[keys.APPEARANCE + name] = value
        elif keys.DEAD.match(key):
            groups.unused[key] = value
        elif "_motion_module." in name or re.match(r"(down_blocks|up_blocks|mid_block)\..*motion_modules\.", name):
            groups.weights.setdefault("motion", {})[name] = value
        elif part:
            groups.weights.setdefault(part, {})[name] = value
        else:
            homeless.append(key)
    if not groups.weights:
        raise UserError(f"{source}: no checkpoint of ours (its first key is {homeless[:1]}); {configs.SD15_FAMILY}")
    _refuse(source, {"unknown": homeless})
    return groups


def part_prefixes(state: Iterable[str]) -> dict[str, str]:
    """Prefix of every network; `control_model.` is the appearance branch if it has a decoder, else a ControlNet."""
    decoder = any(key.startswith(keys.CONTROL + "output_blocks.") for key in state)
    published = any(key.startswith(keys.CONTROL) for key in state)
    return {
        "unet": keys.UNET,
        "appearance": keys.CONTROL if decoder else keys.APPEARANCE,
        "pose_controlnet": keys.CONTROL if published and not decoder else keys.POSE,
        "vae": keys.VAE,
        "text_encoder": keys.TEXT,
        "motion": "",
    }


def _refuse(source: str, problems: Mapping[str, list[str]]) -> None:
    """One sentence with the first offending keys, if there are any."""
    said = [f"{len(found)} {what} ({', '.join(found[:3])})" for what, found in problems.items() if found]
    if said:
        raise UserError(f"{source}: {'; '.join(said)}; use a complete, unmodified checkpoint of this family")


# ---- building --------------------------------------------------------------------------------------------------


def _build(groups: Groups, source: str) -> Parts:
    """The networks, in the order of the table."""
    built: dict[str, Any] = {}
    for part, weights in groups.weights.items():
        network, modules = _PLANS[part](weights, source)
        own = ("conv_norm_out.", "conv_out.") if part == "appearance" else ()
        built[part] = fill(network, weights, modules, source, groups.prefixes[part], own)
    unet, appearance = built.get("unet"), built.get("appearance")
    if appearance is not None:  # its own output layers were never stored: nothing reads them
        for layer in ("conv_norm_out", "conv_out"):
            given = getattr(unet if unet is not None else appearance, layer).state_dict()
            getattr(appearance, layer).load_state_dict({k: _real(v) for k, v in given.items()}, assign=True)
    check_fit(built, source)
    return Parts(**built, unused=groups.unused)


def _real(value: Tensor) -> Tensor:
    return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value.detach().clone()


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


_PLANS: dict[str, Plan] = {
    "unet": lambda weights, source: _unet_like(weights, source, keys.unet_modules),
    "appearance": lambda weights, source: _unet_like(weights, source, keys.appearance_modules),
    "pose_controlnet": _controlnet,
    "vae": _vae,
    "text_encoder": _text,
    "motion": _motion,
}


def fill(
    network: nn.Module,
    weights: State,
    modules: keys.Modules,
    source: str,
    prefix: str = "",
    absent: tuple[str, ...] = (),
) -> nn.Module:
    """Puts `weights` (their keys, as `modules` has them) into `network`, which has none yet.

    Refuses any difference in keys or shapes, except that our keys starting with one of `absent` may be missing.
    """
    table, expected = keys.reverse(modules), network.state_dict()
    ours: State = {}
    unknown, misshapen = [], []
    for key, value in weights.items():
        name = keys.translate(key, table)
        if name is None or name not in expected:
            unknown.append(prefix + key)
            continue
        wanted = expected[name].shape
        if value.ndim == 4 and len(wanted) == 2 and value.shape[2:] == (1, 1):  # the VAE's attention: 1x1 convolutions
            value = value[:, :, 0, 0]
        if value.shape != wanted:
            misshapen.append(f"{prefix}{key} is {list(value.shape)}, not {list(wanted)}")
        ours[name] = value
    lost = [name for name in expected if name not in ours and not name.startswith(absent)]
    missing = [prefix + (keys.translate(name, modules) or name) for name in lost]
    _refuse(source, {"unknown": unknown, "missing": missing, "of another shape": misshapen})
    network.load_state_dict(ours, strict=not absent, assign=True)
    _restore_position_ids(network)
    return network.eval()


def _restore_position_ids(network: nn.Module) -> None:
    """CLIP's position numbers are no weights, so no file brings them to a network built without storage."""
    for module in network.modules():
        numbers = getattr(module, "position_ids", None)
        if isinstance(numbers, Tensor) and numbers.is_meta:
            module.register_buffer("position_ids", torch.arange(numbers.shape[-1])[None], persistent=False)
