"""LoRAs of every common kind: merged into the base for good, or plugged into a stock pipeline's networks.

Every tensor of a file is merged, or the reason for a `UserError` that names it; diffusers' own loader leaves out what
it does not know (DoRA's scale, say) with a warning.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.lora_kinds import Broken, Misfit, merged
from magicpose.checkpoints.original.lora_layers import FITTING, Change, changes
from magicpose.checkpoints.original.lora_settings import Strength
from magicpose.checkpoints.original.weight_files import check_finite
from magicpose.errors import UserError


def merge_lora(
    networks: Mapping[str, nn.Module],
    state: Mapping[str, Tensor],
    scale: float,
    source: str,
    strengths: Mapping[str, Strength] | None = None,
    ignored: Ignored | None = None,
) -> None:
    """Adds a LoRA, `scale` times, into the weights of the base for good, all of it or nothing.

    Args:
        networks: what may be changed, by its name in `Components`: "unet", "text_encoder", "motion".
        state: the file's tensors, kohya's, diffusers', PEFT's or AnimateDiff's names.
        scale: the user's strength; of a DoRA it moves the direction, the magnitude is the file's.
        source: names the file in messages.
        strengths: what PEFT wrote beside the tensors (`read_strengths`).
        ignored: keys to leave out where nothing knows them.

    Raises:
        UserError: a tensor that no layer takes, that does not fit, or is no number; the sentence names it.
    """
    if not math.isfinite(scale):
        raise UserError(f"the strength of a LoRA must be a number, not {scale}")
    found = checked_changes(networks, state, source, ignored)
    new: list[tuple[nn.Parameter, Tensor]] = []
    for change in found:
        layer: Any = networks[change.part].get_submodule(change.path)
        ratio = ratio_of(change, strengths or {})
        try:
            results = merged(layer.weight.data, _bias_of(layer), change.tensors, scale, ratio)
        except (Misfit, RuntimeError) as error:
            raise unfit(change, source, error) from error
        new += zip((layer.weight, layer.bias)[: len(results)] if len(results) > 1 else (layer.weight,), results)
        if not all(bool(result.isfinite().all()) for result in results):
            raise UserError(
                f"{source}: {_key(change)} makes weights that are no {results[0].dtype} numbers; "
                "take the float32 version of the base, or a smaller --lora-scale"
            )
    for parameter, value in new:
        parameter.data = value


def checked_changes(
    networks: Mapping[str, nn.Module], state: Mapping[str, Tensor], source: str, ignored: Ignored | None = None
) -> Sequence[Change]:
    """The LoRA's tensors by layer; at least one, and all of them numbers."""
    found = changes(state, networks, source, ignored)
    if not found:
        raise UserError(f"{source}: holds nothing that changes this base; {FITTING}")
    for change in found:
        check_finite({change.keys[kind]: tensor for kind, tensor in change.tensors.items()}, source)
    return found


def _bias_of(layer: Any) -> Tensor | None:
    bias = getattr(layer, "bias", None)
    return bias.data if isinstance(bias, Tensor) else None


def ratio_of(change: Change, strengths: Mapping[str, Strength]) -> float | None:
    """alpha / rank of a layer by PEFT's settings, if there are any."""
    strength = strengths.get(change.part, strengths.get(""))
    return None if strength is None else strength.ratio(change.path)


def _key(change: Change) -> str:
    """A key of the layer for messages: of a factor rather than of its strength."""
    return min(change.keys.items(), key=lambda item: item[0] == "alpha")[1]


def unfit(change: Change, source: str, error: Exception) -> UserError:
    """The sentence for a layer's tensors that cannot be merged."""
    reason = str(error).strip().split("\n")[0][:120]
    if isinstance(error, Broken):
        return UserError(f"{source}: {_key(change)} cannot be merged ({reason}); get another copy of the file")
    return UserError(f"{source}: {_key(change)} does not fit this base ({reason}); {FITTING}")


# ---- without merging -------------------------------------------------------------------------------------------


def lora_loader(unet: Any, text_encoder: Any | None = None) -> Any:
    """A stock pipeline of these networks alone, for its `load_lora_weights`, `fuse_lora` and `unload_lora_weights`.

    Its `load_lora_weights` takes a file or a state dict and is strict: what PEFT cannot hold beside the weights (LoHa,
    LoKr, differences, ...) is a `UserError`, and can be merged with `convert`. Needs peft.
    """
    if importlib.util.find_spec("peft") is None:
        raise UserError("a LoRA that can be taken out again needs peft; run: pip install 'magicpose[lora]'")
    from magicpose.checkpoints.original.lora_plugged import StrictLoader

    return StrictLoader(
        vae=None,
        text_encoder=text_encoder,
        tokenizer=None,
        unet=unet,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
