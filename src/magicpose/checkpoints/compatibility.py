"""Whether networks are of one base: said in a sentence before they run, not by a matrix product deep inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magicpose.errors import UserError

FAMILY = "take a Stable Diffusion 1.5 base"


def check_base(unet: Any, source: str) -> None:
    """Raises UserError for the UNets of other families (`unet.config` tells)."""
    config = unet.config
    if config.get("addition_embed_type"):
        raise UserError(f"{source}: a UNet with added embeddings, so of SDXL; {FAMILY}")
    if config.get("use_linear_projection"):
        raise UserError(f"{source}: linear projections, so made for Stable Diffusion 2.x or SDXL; {FAMILY}")
    if config.get("in_channels") == 9:
        raise UserError(f"{source}: takes 9 latent channels, so an inpainting variant; {FAMILY}")


def check_fit(parts: Mapping[str, Any], source: str) -> None:
    """Raises UserError where networks (by their names in `Components`) do not fit the UNet among them."""
    unet = parts.get("unet")
    if unet is None:
        return
    for part in ("appearance", "pose_controlnet", "motion"):
        if parts.get(part) is None:
            continue
        for name in ("block_out_channels", "cross_attention_dim"):
            ours, theirs = (_plain(network.config.get(name)) for network in (unet, parts[part]))
            if theirs is not None and ours != theirs:
                raise UserError(f"{source}: its {part} has {name} {theirs}, the UNet {ours}; they must be of one base")
    facts = {
        "vae": ("latent_channels", "in_channels"),
        "text_encoder": ("hidden_size", "cross_attention_dim"),
    }
    for part, (theirs_name, ours_name) in facts.items():
        if parts.get(part) is None:
            continue
        theirs, ours = getattr(parts[part].config, theirs_name, None), unet.config.get(ours_name)
        if theirs is not None and theirs != ours:
            numbers = f"{theirs_name} {theirs}, the UNet {ours_name} {ours}"
            raise UserError(f"{source}: its {part} has {numbers}; they must be of one base")


def _plain(value: Any) -> Any:
    """Lists from JSON and tuples from code alike."""
    return tuple(value) if isinstance(value, list | tuple) else value
