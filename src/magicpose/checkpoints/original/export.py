"""Our networks -> the original's single files, key for key."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL

from magicpose.checkpoints.original import keys
from magicpose.checkpoints.original.plans import text_table
from magicpose.checkpoints.original.read import Components, OriginalModel, State
from magicpose.checkpoints.original.schedule import schedule_buffers
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules

# What leaves no trace in the shapes of weights: heads (as diffusers calls them here) and norm groups.
IMPLIED = {"attention_head_dim": 8, "norm_num_groups": 32, "motion_num_attention_heads": 8}


def export_original(model: MagicPoseModel | Components) -> State:
    """The original's state dict: load, export, and every key and value is as it was.

    A model without pose ControlNet gives a stage-1 file, with one a stage-2 file; ControlNet or motion modules alone
    give the published forms of those. Dead keys come from the file that was read, else they are made anew.
    """
    parts = model if isinstance(model, Components) else _components(model)
    present = parts.present()
    _check_exportable(present)
    prefixes = {"unet": keys.UNET, "vae": keys.VAE, "text_encoder": keys.TEXT, "motion": ""}
    prefixes["appearance"] = keys.APPEARANCE if "pose_controlnet" in present else keys.CONTROL
    prefixes["pose_controlnet"] = keys.POSE if "appearance" in present else keys.CONTROL
    if "unet" in present:
        prefixes["motion"] = keys.UNET
    state: State = {}
    for part, module in present.items():
        table = _table(part, module, within_unet="unet" in present)
        for name, value in module.state_dict().items():
            if part == "appearance" and name.startswith(("conv_norm_out.", "conv_out.")):
                continue
            key = keys.translate(name, table)
            assert key is not None, f"no rule for {part}'s {name}"
            if part == "vae" and ".attentions." in name and value.ndim == 2:
                value = value[:, :, None, None]
            state[prefixes[part] + key] = value.detach()
            if key.endswith(keys.FIRST_POSITIONS):
                twin = key.replace(keys.FIRST_POSITIONS, keys.DUPLICATE_POSITIONS)
                state[prefixes[part] + twin] = value.detach().clone()
    dead = _fresh_dead_keys(parts) if parts.unused is None else parts.unused
    return state | {key.replace(keys.APPEARANCE, prefixes["appearance"]): value for key, value in dead.items()}


def _check_exportable(present: Mapping[str, Any]) -> None:
    """Refuses what a file without configuration would be misread as: its readers assume these numbers."""
    for part, module in present.items():
        if part == "vae" and not isinstance(module, AutoencoderKL):
            raise UserError(f"a {type(module).__name__} has no original form; write a folder instead of a single file")
        for name, implied in IMPLIED.items():
            actual = module.config.get(name, implied) if part != "text_encoder" else implied
            if actual != implied:
                raise UserError(
                    f"the {part} has {name} {actual}, which the original form cannot say (it implies {implied}); "
                    "write a folder instead of a single file"
                )


def _components(model: MagicPoseModel) -> Components:
    motion = model.motion
    assert motion is None or isinstance(motion, MotionModules), "motion modules of another kind cannot be exported"
    return Components(
        unet=model.unet,
        appearance=None if model.appearance is None else model.appearance.unet,
        pose_controlnet=model.pose_controlnet,
        motion=None if motion is None else motion.adapter,
        unused=model.unused if isinstance(model, OriginalModel) else None,
    )


def _table(part: str, module: Any, within_unet: bool) -> keys.Modules:
    """The rules for a network of ours, from its configuration."""
    if part == "text_encoder":
        return text_table(module)
    config = module.config
    if part == "motion":
        layout = keys.Layout((False,) * len(config.block_out_channels), config.motion_layers_per_block)
        if within_unet and not config.use_motion_mid_block:
            return keys.release_motion_modules(layout)
        return keys.motion_modules(layout, config.use_motion_mid_block)
    layout = keys.Layout(tuple("CrossAttn" in kind for kind in config.down_block_types), config.layers_per_block)
    if part == "pose_controlnet":
        return keys.controlnet_modules(layout, 2 * (len(config.conditioning_embedding_out_channels) - 1))
    plain = {"unet": keys.unet_modules, "appearance": keys.appearance_modules, "vae": keys.vae_modules}
    return plain[part](layout)


def _fresh_dead_keys(parts: Components) -> State:
    """What the original insists on finding in a file although nothing reads it."""
    state: State = schedule_buffers() if parts.unet is not None else {}
    if parts.appearance is not None:
        config = parts.appearance.config
        widths = [3, 16, 16, 32, 32, 96, 96, 256, config.block_out_channels[0]]
        for k, (before, after) in enumerate(itertools.pairwise(widths)):
            block = f"{keys.APPEARANCE}input_hint_block.{2 * k}"
            state[f"{block}.weight"] = torch.zeros(after, before, 3, 3)
            state[f"{block}.bias"] = torch.zeros(after)
    if parts.text_encoder is not None:
        positions = parts.text_encoder.config.max_position_embeddings
        state[keys.TEXT + "embeddings.position_ids"] = torch.arange(positions)[None]
    return state
