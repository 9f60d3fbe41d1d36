"""LoRA for the base, kohya's and diffusers' formats, through diffusers' own loader (needs the `lora` extra)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from diffusers import StableDiffusionPipeline
from torch import Tensor

from magicpose.conversion.files import check_finite
from magicpose.errors import UserError

NAME = "merged"


def load_lora(unet: Any, text_encoder: Any | None, state: Mapping[str, Tensor], name: str, source: str) -> None:
    """Attaches a LoRA to a base, removable with `unload_lora`.

    Args:
        state: the file's tensors, in either format.
        name: what the LoRA is called from now on.

    Raises:
        UserError: peft is not installed, or the file does not fit this base.
    """
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"{source}: a LoRA needs peft; run: pip install 'magicpose[lora]'")
    check_finite(state, source)
    try:
        renamed, alphas = StableDiffusionPipeline.lora_state_dict(dict(state))
        StableDiffusionPipeline.load_lora_into_unet(renamed, alphas, unet, adapter_name=name)
        if text_encoder is not None and any(key.startswith("text_encoder.") for key in renamed):
            StableDiffusionPipeline.load_lora_into_text_encoder(
                renamed, alphas, text_encoder, prefix="text_encoder", adapter_name=name
            )
    except (RuntimeError, ValueError, KeyError) as error:
        first = str(error).strip().split("\n")[0]
        raise UserError(f"{source}: does not fit this base ({first[:120]}); take a LoRA made for it") from error
    if name not in getattr(unet, "peft_config", {}) and name not in getattr(text_encoder, "peft_config", {}):
        raise UserError(f"{source}: none of its layers is in this base; take a LoRA made for Stable Diffusion 1.5")


def unload_lora(unet: Any, text_encoder: Any | None, name: str) -> None:
    """Takes a LoRA off again; weights and modules are then as before."""
    for network in (unet, text_encoder):
        if network is not None and name in getattr(network, "peft_config", {}):
            network.delete_adapters(name) if len(network.peft_config) > 1 else _strip(network)


def _strip(network: Any) -> None:
    """The last LoRA leaves: the plain layers come back."""
    if hasattr(network, "unload_lora"):
        network.unload_lora()
    else:
        from diffusers.utils import recurse_remove_peft_layers

        recurse_remove_peft_layers(network)
        del network.peft_config
        network._hf_peft_config_loaded = False


def merge_lora(parts: Any, state: Mapping[str, Tensor], scale: float, source: str) -> None:
    """Adds a LoRA, `scale` times, into the weights of the base for good."""
    if parts.unet is None:
        raise UserError(f"{source}: a LoRA needs its base; name the base before it")
    load_lora(parts.unet, parts.text_encoder, state, NAME, source)
    for network in (parts.unet, parts.text_encoder):
        if network is not None and NAME in getattr(network, "peft_config", {}):
            for module in network.modules():
                if hasattr(module, "merge") and hasattr(module, "scale_layer"):
                    module.scale_layer(scale)
                    module.merge()
            _strip(network)
