"""Keys of LoRA files -> layers of the base: every spelling of a layer, every kind of tensor, nothing left over.

| written by | a layer of the UNet | of the text encoder |
|---|---|---|
| kohya, LyCORIS | `lora_unet_down_blocks_0_..._to_q` (or the original's numbers) | `lora_te_text_model_encoder_...` |
| diffusers | `unet.down_blocks.0...to_q`, `...attn1.processor.to_q_lora` | `text_encoder.text_model.encoder...` |
| PEFT | `base_model.model.down_blocks.0...to_q` | `base_model.model.text_model.encoder...` |
| AnimateDiff (motion LoRA) | `down_blocks.0.motion_modules.0...attention_blocks.0.processor.to_q_lora` | |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from magicpose.checkpoints.original import keys
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.errors import UserError

Networks = Mapping[str, nn.Module]  # name in `Components` -> network
FITTING = "take a LoRA made for Stable Diffusion 1.5"

_ADAPTER = r"(\.(?!weight$|bias$)[^.]+)?"  # PEFT's name of the adapter, "default" as a rule
# What a tensor is -> how its key may end; the first that fits.
_FIELDS = {
    "down": rf"lora_down\.weight|lora_A{_ADAPTER}\.weight|lora(_linear_layer)?\.down\.weight",
    "up": rf"lora_up\.weight|lora_B{_ADAPTER}\.weight|lora(_linear_layer)?\.up\.weight",
    "up_bias": rf"lora_B{_ADAPTER}\.bias",
    "mid": r"lora_mid\.weight",
    "magnitude": rf"lora_magnitude_vector{_ADAPTER}(\.weight)?",
    **{name: rf"{name}{_ADAPTER}" for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")},
    **{name: rf"{name}{_ADAPTER}" for name in ("hada_t1", "hada_t2", "lokr_w1", "lokr_w2", "lokr_t2")},
    **{name: rf"{name}{_ADAPTER}" for name in ("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "ia3_l")},
    **{name: name for name in ("alpha", "scalar", "dora_scale", "diff", "diff_b", "w_norm", "b_norm", "on_input")},
    "ia3": r"weight",
}
_ENDINGS = {name: re.compile(rf"(?P<layer>.+?)[._]({ending})") for name, ending in _FIELDS.items()}

# Files that are no LoRA of this family, or of a kind that is not merged: a key that tells -> what to say.
_FOREIGN = (
    (r"lora_controlnet$", "a Control-LoRA, a ControlNet and no LoRA of the base; magicpose cannot read those"),
    (r"lora_te2_|(base_model\.model\.)?text_encoder_2\.", f"a LoRA for SDXL; {FITTING}"),
    (r"lora_unet_.*transformer_blocks_[1-9]\d*_|unet\..*transformer_blocks\.[1-9]", f"a LoRA for SDXL; {FITTING}"),
    (r"(lora_)?transformer[._]|.*(double|single|joint)_(transformer_)?blocks", f"a LoRA for SD 3 or Flux; {FITTING}"),
    (r".*\.oft_", "an OFT or BOFT adapter, which turns weights; merge it into the base with the tool that made it"),
    (r".*\.(a1|a2|b1|b2|bm1|bm2)\.weight$", "a GLoRA; merge it into the base with the tool that made it"),
    (r".*\.bias_(indices|values|size)$", "a LoRA with sparse biases; merge it with the tool that made it"),
    (r".*\.lora_embedding_[AB]", "a LoRA on an embedding; merge it with PEFT (merge_and_unload)"),
    (r".*\.(vera_|boft_|ln_tuning|lora_ga_)", "an adapter of PEFT that is no LoRA; merge it with PEFT"),
    (r"bundle_emb\.", "a LoRA with textual inversions inside; use a version without them, or --ignore-unknown"),
)
# A key that names a network -> which one, for those the base lacks.
_WHOSE = (
    (r"lora_te|text_encoder\.|(base_model\.model\.)?text_model\.", "text encoder", "a base with its text encoder"),
    (r".*motion_modules[._]", "motion module", "the AnimateDiff motion modules before this motion LoRA"),
)


@dataclass(frozen=True)
class Change:
    """What a file holds for one layer: tensors by what they are, and their keys for messages."""

    part: str
    path: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def changes(
    state: Mapping[str, Tensor], networks: Networks, source: str, ignored: Ignored | None = None
) -> list[Change]:
    """The tensors of a LoRA by layer of `networks`.

    Raises:
        UserError: a tensor of no known kind, or for a layer that is not there; the sentence names it.
    """
    ignored = ignored or Ignored()
    spellings = {alias: (part, path) for part, net in networks.items() for alias, path in _spellings(part, net)}
    found: dict[tuple[str, str], Change] = {}
    for key, tensor in state.items():
        layer, kind = _parse(key)
        place = spellings.get(layer)
        if kind is None or place is None:
            if ignored.rest([key]):
                raise UserError(f"{source}: {_stranger(key, kind, networks)}")
            continue
        change = found.setdefault(place, Change(*place))
        if kind in change.tensors:
            raise UserError(f"{source}: {change.keys[kind]} and {key} are for one layer; get another copy of the file")
        change.tensors[kind], change.keys[kind] = tensor, key
    return list(found.values())


def _parse(key: str) -> tuple[str, str | None]:
    """(layer as the file spells it, kind of tensor or None)."""
    name = re.sub(r"^(base_model\.model\.)+", "", key).replace(".processor.", ".")
    for kind, ending in _ENDINGS.items():
        if found := ending.fullmatch(name):
            return found["layer"], kind
    return name, None


def _stranger(key: str, kind: str | None, networks: Networks) -> str:
    """Why a key has no place."""
    for pattern, what in _FOREIGN:
        if re.match(pattern, key):
            return f"this is {what} ({key})"
    for pattern, what, remedy in _WHOSE:
        if kind and re.match(pattern, key) and what.replace(" module", "").replace(" ", "_") not in networks:
            return f"{key} has no layer in this base, which has no {what}; name {remedy}, or pass --ignore-unknown"
    if kind is None:
        return f"{key} is nothing that a LoRA is known to hold; get another copy, or pass --ignore-unknown {key}"
    return f"{key} has no layer in this base; {FITTING}"


# ---- spellings -------------------------------------------------------------------------------------------------

_CLIP = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}  # diffusers' old names


def _spellings(part: str, network: nn.Module) -> Iterator[tuple[str, str]]:
    """(spelling, module path) of every layer with weights."""
    original = _original_names(part, network)
    for path, module in network.named_modules():
        if isinstance(getattr(module, "weight", None), Tensor):
            for spelling in _SPELLERS[part](path, keys.translate(path + ".", original)):
                yield spelling, path
                if spelling.endswith(("to_out.0", "to_out_0")):
                    yield spelling[:-2], path


def _of_unet(path: str, original: str | None) -> Iterator[str]:
    flat = path.replace(".", "_")
    yield from (f"lora_unet_{flat}", f"lycoris_{flat}", f"unet.{path}", path)
    if original is not None:
        stem = original.rstrip(".")
        yield from (f"lora_unet_{stem.replace('.', '_')}", f"diffusion_model.{stem}", f"unet.{stem}")


def _of_text(path: str, original: str | None) -> Iterator[str]:
    del original
    nested = "text_model." + path.removeprefix("text_model.")
    parent, _, leaf = nested.rpartition(".")
    for name in {nested, f"{parent}.{_CLIP.get(leaf, leaf)}" if parent.endswith("self_attn") else nested}:
        flat = name.replace(".", "_")
        yield from (f"lora_te_{flat}", f"lora_te1_{flat}", f"text_encoder.{name}", name)
        yield from (f"text_encoder.{name.removeprefix('text_model.')}", name.removeprefix("text_model."))


def _of_motion(path: str, original: str | None) -> Iterator[str]:
    for name in {path, (original or path).rstrip(".")}:
        yield from (f"unet.{name}", name, f"lora_unet_{name.replace('.', '_')}")


_SPELLERS = {"unet": _of_unet, "text_encoder": _of_text, "motion": _of_motion}


def _original_names(part: str, network: nn.Module) -> keys.Modules:
    """The key table of a UNet or of motion modules; empty for shapes that the original does not know."""
    config = getattr(network, "config", {})
    if part == "motion":
        levels = len(config["block_out_channels"])
        layout = keys.Layout((False,) * levels, config["motion_layers_per_block"])
        return keys.motion_modules(layout, config["use_motion_mid_block"])
    if part != "unet" or not isinstance(config["layers_per_block"], int):
        return {}
    attention = tuple("CrossAttn" in kind for kind in config["down_block_types"])
    return keys.unet_modules(keys.Layout(attention, config["layers_per_block"]))
