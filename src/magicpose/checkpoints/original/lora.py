"""LoRA for the base, kohya's and diffusers' formats, through diffusers' own loader (needs the `lora` extra)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from diffusers import StableDiffusionPipeline
from torch import Tensor

from magicpose.checkpoints.original.weight_files import check_finite
from magicpose.errors import UserError

# diffusers' old spelling of CLIP's attention projections
CLIP_NAMES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def lora_loader(unet: Any, text_encoder: Any | None = None) -> Any:
    """A stock pipeline of these networks alone, for its `load_lora_weights`, `fuse_lora` and `unload_lora_weights`.

    A pipeline made with `from_stable_diffusion` needs none: load the LoRA on the stock pipeline itself.
    """
    stock: Any = StableDiffusionPipeline
    return stock(
        vae=None,
        text_encoder=text_encoder,
        tokenizer=None,
        unet=unet,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def merge_lora(unet: Any, text_encoder: Any | None, state: Mapping[str, Tensor], scale: float, source: str) -> None:
    """Adds a LoRA, `scale` times, into the weights of the base for good; `source` names it in messages.

    Raises:
        UserError: peft is not installed, or a layer of the LoRA is not in this base.
    """
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"{source}: a LoRA needs peft; run: pip install 'magicpose[lora]'")
    check_finite(state, source)
    loader = lora_loader(unet, text_encoder)
    try:
        renamed = StableDiffusionPipeline.lora_state_dict(dict(state))[0]
        _check_layers(renamed, unet, text_encoder, source)
        loader.load_lora_weights(dict(state))
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        reason = str(error).strip().split("\n")[0][:120]
        raise UserError(f"{source}: does not fit this base ({reason}); take a LoRA made for it") from error
    loader.fuse_lora(lora_scale=scale)
    loader.unload_lora_weights()


def _check_layers(renamed: Mapping[str, Any], unet: Any, text_encoder: Any | None, source: str) -> None:
    """Every layer the LoRA changes must be there: diffusers' loader only warns."""
    networks = {"unet": unet, "text_encoder": text_encoder}
    layers = {
        part: {name.removeprefix("text_model.") for name, _ in network.named_modules()}
        for part, network in networks.items()
        if network is not None
    }
    for key in renamed:
        part, _, path = key.partition(".")
        if part not in layers or _layer(path) not in layers[part]:
            raise UserError(f"{source}: {key} has no layer in this base; take a LoRA made for Stable Diffusion 1.5")


def _layer(path: str) -> str:
    """Module path behind a key; `attn1.to_q.lora_A.weight`, `attn1.processor.to_q_lora.down.weight` are one layer."""
    stem = re.split(r"(?:_lora|\.lora\w*|\.alpha)(?:\.|$)", path)[0].replace(".processor.", ".")
    parent, _, leaf = stem.removeprefix("text_model.").rpartition(".")
    return f"{parent}.{CLIP_NAMES.get(leaf, leaf) if parent.endswith('self_attn') else leaf}"
