"""Other tools' names for the same tensors -> the original's keys, before anything else looks at a file.

| in the file | kind of file |
|---|---|
| `cond_stage_model.transformer.` without `text_model.` | Stable Diffusion 1.x written by old transformers |
| `encoder.`, `decoder.`, `quant_conv.` | a VAE alone, the original's or diffusers' names |
| `text_model.`, `embeddings.`, `encoder.layers.` | a CLIP text encoder alone |
| `diffusion_model.`, `input_blocks.`, `time_embed.` | a UNet or ControlNet alone, the original's names |
| `down_blocks.`, `conv_in.`, `time_embedding.` | a UNet or ControlNet alone, diffusers' names |
| `unet.`, `vae.`, `text_encoder.`, `controlnet.` | diffusers' networks in one file |
| `model_ema.diffusion_modelinput_blocks00weight` | a base of which only the EMA copy was kept |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from magicpose.checkpoints.original import keys
from magicpose.errors import UserError

State = dict[str, Tensor]
Names = dict[str, str]  # the original's key -> the file's

_TOWER = r"(?=(embeddings|encoder\.layers|final_layer_norm)\.)"
_AUTOENCODER = r"(?=(encoder|decoder|quant_conv|post_quant_conv)\.)"
_NETWORK = (
    r"(?=(input_blocks|output_blocks|middle_block|middle_block_out|zero_convs|input_hint_block|time_embed|out|conv_in"
    r"|conv_out|conv_norm_out|time_embedding|down_blocks|up_blocks|mid_block|controlnet_\w+)\.)"
)
_CONTROLNET = re.compile(r"(zero_convs|controlnet_down_blocks)\.")
_TEMPORAL = re.compile(r"(unet\.)?(?=(down_blocks|up_blocks|mid_block)\..*motion_modules\.)")
_BARE = "bare"  # `control_model.` or `model.diffusion_model.`, as the rest of the file says

# Beginning of a key -> what it becomes; the first that matches.
_BEGINNINGS = (
    (rf"cond_stage_model\.transformer\.{_TOWER}", keys.TEXT),
    (r"((text_encoder|transformer)\.)?text_model\.", keys.TEXT),
    (rf"(text_encoder\.)?{_TOWER}", keys.TEXT),
    (rf"(vae\.)?{_AUTOENCODER}", keys.VAE),
    (rf"controlnet\.{_NETWORK}", keys.CONTROL),
    (rf"(unet|diffusion_model)\.{_NETWORK}", keys.UNET),
    (_NETWORK, _BARE),
)
_OLD_ATTENTION = re.compile(r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.")
_NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

_EMA = "model_ema.diffusion_model"
_EMA_TOKEN = re.compile(
    r"(input_blocks|output_blocks)(\d+)(\d)(?=\D)"
    r"|(in_layers|out_layers|emb_layers|middle_block|time_embed|transformer_blocks|to_out|net|out)(\d)"
    r"|(skip_connection|attn[12]|norm[123]?|proj_in|proj_out|proj|to_q|to_k|to_v|ff|op|conv|weight|bias)"
)


def canonical(state: Mapping[str, Tensor], source: str) -> tuple[State, Names]:
    """The state with the original's keys, and for every key that changed its name in the file.

    Raises:
        UserError: two keys of the file are the same tensor of the original.
    """
    beginnings = _beginnings(state)
    named = {key: _begun(key, beginnings) for key in state}
    if not any(name.startswith(keys.UNET) for name in named.values()):
        named |= {key: keys.UNET + name for key in state if (name := from_ema(key)) is not None}
    for prefix, table_of in _DIFFUSERS.items():
        named |= _from_diffusers(named, prefix, table_of)
    names: Names = {}
    for key, name in named.items():
        if name in names:
            raise UserError(f"{source}: {names[name]} and {key} are one weight ({name}); get another copy of the file")
        names[name] = key
    return {name: state[key] for name, key in names.items()}, {n: k for n, k in names.items() if n != k}


def modern_attention(key: str) -> str:
    """diffusers' old names of a VAE's attention (`query`, `proj_attn`) -> today's (`to_q`, `to_out.0`)."""
    return _OLD_ATTENTION.sub(lambda m: f"{m[1]}.{_NEW_NAMES[m[2]]}.", key)


def from_ema(key: str) -> str | None:
    """The UNet's key behind a key of its EMA copy, which is written without dots; None for any other key."""
    if not key.startswith(_EMA):
        return None
    flat = key.removeprefix(_EMA).replace(".", "")
    pieces = list(_EMA_TOKEN.finditer(flat))
    if "".join(piece[0] for piece in pieces) != flat:
        return None
    return ".".join(part for piece in pieces for part in piece.groups() if part)


def _beginnings(names: Iterable[str]) -> list[tuple[re.Pattern[str], str]]:
    control = any(_CONTROLNET.match(name) for name in names)
    bare = keys.CONTROL if control else keys.UNET
    return [(re.compile(pattern), bare if new is _BARE else new) for pattern, new in _BEGINNINGS]


def _begun(key: str, beginnings: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """`key` with the original's beginning; temporal modules have none of their own."""
    if found := _TEMPORAL.match(key):
        return key[found.end() :]
    for pattern, beginning in beginnings:
        if found := pattern.match(key):
            return beginning + key[found.end() :]
    return key


# ---- diffusers' names ------------------------------------------------------------------------------------------


def _from_diffusers(named: Mapping[str, str], prefix: str, table_of: Callable[[list[str]], keys.Modules]) -> Names:
    """File's key -> original's, for the keys of a network (those that begin with `prefix`) in diffusers' names."""
    ours = {key: modern_attention(n.removeprefix(prefix)) for key, n in named.items() if n.startswith(prefix)}
    if not any(re.match(r"((en|de)coder\.)?(down_blocks|up_blocks|mid_block)\.", name) for name in ours.values()):
        return {}
    table = table_of(list(ours.values()))
    return {key: prefix + (keys.translate(name, table) or name) for key, name in ours.items()}


def _layout(names: list[str], half: str = "") -> keys.Layout:
    """Layout from diffusers' names; of one level where there is nothing to read."""
    start = half + r"down_blocks\."
    levels = keys.indices(start + r"(\d+)\.", names)
    attention = keys.indices(start + r"(\d+)\.attentions\.", names)
    layers = len(keys.indices(start + r"0\.resnets\.(\d+)\.", names))
    return keys.Layout(tuple(level in attention for level in range(len(levels))) or (False,), max(layers, 1))


def _unet_table(names: list[str]) -> keys.Modules:
    return keys.unet_modules(_layout(names))


def _controlnet_table(names: list[str]) -> keys.Modules:
    hint = keys.indices(r"controlnet_cond_embedding\.blocks\.(\d+)\.", names)
    return keys.controlnet_modules(_layout(names), len(hint))


def _vae_table(names: list[str]) -> keys.Modules:
    return keys.vae_modules(_layout(names, r"encoder\."))


_DIFFUSERS = {keys.UNET: _unet_table, keys.CONTROL: _controlnet_table, keys.VAE: _vae_table}
