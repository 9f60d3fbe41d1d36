"""The one table of key rules: original checkpoints <-> diffusers modules, both ways.

Every network is a table of module paths, ours (diffusers) to the original's. A table is built for a `Layout`, so
any number of levels works; widths never appear. A key is translated by its longest module path in the table;
read backwards, the same table writes original files.

    original     model.diffusion_model.input_blocks.4.0.in_layers.2.weight
    ours         unet / down_blocks.1.resnets.0.conv1.weight
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Modules = dict[str, str]  # our module path -> the original's

# ---- what a file is made of ------------------------------------------------------------------------------------

UNET = "model.diffusion_model."
APPEARANCE = "appearance_control_model."
POSE = "pose_control_model."
CONTROL = "control_model."  # appearance in a stage-1 file, pose in a published ControlNet file
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer.text_model."


@dataclass(frozen=True)
class Layout:
    """Shape of a UNet or VAE, widths apart: `attention[level]`, and ResNet blocks per encoder level."""

    attention: tuple[bool, ...]
    layers: int

    @property
    def levels(self) -> int:
        return len(self.attention)


# ---- leaves ----------------------------------------------------------------------------------------------------

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_RESNET = {name: name for name in ("norm1", "conv1", "norm2", "conv2")} | {"conv_shortcut": "nin_shortcut"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
MOTION = {
    "norm": "norm",
    "proj_in": "proj_in",
    "proj_out": "proj_out",
    "transformer_blocks.0.attn1": "transformer_blocks.0.attention_blocks.0",
    "transformer_blocks.0.attn2": "transformer_blocks.0.attention_blocks.1",
    "transformer_blocks.0.norm1": "transformer_blocks.0.norms.0",
    "transformer_blocks.0.norm2": "transformer_blocks.0.norms.1",
    "transformer_blocks.0.norm3": "transformer_blocks.0.ff_norm",
    "transformer_blocks.0.ff": "transformer_blocks.0.ff",
    # One position table serves both attentions; the original stores it twice (`DUPLICATE_POSITIONS`).
    "transformer_blocks.0.pos_embed": "transformer_blocks.0.attention_blocks.0.pos_encoder",
}
DUPLICATE_POSITIONS = ".attention_blocks.1.pos_encoder.pe"
FIRST_POSITIONS = ".attention_blocks.0.pos_encoder.pe"


def _under(ours: str, original: str, leaves: dict[str, str]) -> Modules:
    return {f"{ours}.{leaf}": f"{original}.{theirs}" for leaf, theirs in leaves.items()}


# ---- networks --------------------------------------------------------------------------------------------------


def encoder_modules(layout: Layout) -> Modules:
    """What UNet, appearance branch and ControlNet share: time embedding, encoder, middle."""
    table = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
    }
    for level, attention in enumerate(layout.attention):
        first = level * (layout.layers + 1) + 1
        for j in range(layout.layers):
            table |= _under(f"down_blocks.{level}.resnets.{j}", f"input_blocks.{first + j}.0", RESNET)
            if attention:
                table[f"down_blocks.{level}.attentions.{j}"] = f"input_blocks.{first + j}.1"
        if level < layout.levels - 1:
            table[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{first + layout.layers}.0.op"
    table |= _under("mid_block.resnets.0", "middle_block.0", RESNET)
    table["mid_block.attentions.0"] = "middle_block.1"
    return table | _under("mid_block.resnets.1", "middle_block.2", RESNET)


def decoder_modules(layout: Layout) -> Modules:
    """The UNet's decoder; its last block has no upsampler."""
    table: Modules = {}
    for i, attention in enumerate(reversed(layout.attention)):
        for j in range(layout.layers + 1):
            n = i * (layout.layers + 1) + j
            table |= _under(f"up_blocks.{i}.resnets.{j}", f"output_blocks.{n}.0", RESNET)
            if attention:
                table[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{n}.1"
        if i < layout.levels - 1:
            table[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{n}.{1 + attention}.conv"
    return table


def appearance_modules(layout: Layout) -> Modules:
    """A full UNet without its output layers."""
    return encoder_modules(layout) | decoder_modules(layout)


def unet_modules(layout: Layout) -> Modules:
    return appearance_modules(layout) | {"conv_norm_out": "out.0", "conv_out": "out.2"}


def controlnet_modules(layout: Layout, hint_blocks: int = 6) -> Modules:
    """`hint_blocks`: convolutions of the hint encoder between its first and its last (6 in every release)."""
    zeros = layout.levels * (layout.layers + 1)
    table = encoder_modules(layout) | {"controlnet_mid_block": "middle_block_out.0"}
    table |= {f"controlnet_down_blocks.{n}": f"zero_convs.{n}.0" for n in range(zeros)}
    hint = ["conv_in", *(f"blocks.{k}" for k in range(hint_blocks)), "conv_out"]  # a SiLU sits between two
    return table | {f"controlnet_cond_embedding.{h}": f"input_hint_block.{2 * k}" for k, h in enumerate(hint)}


def vae_modules(layout: Layout) -> Modules:
    """AutoencoderKL; the original numbers the decoder's levels from the image down."""
    table = {name: name for name in ("quant_conv", "post_quant_conv")}
    for half, blocks, mirrored, resnets, sampler in (
        ("encoder", "down", False, layout.layers, "downsample"),
        ("decoder", "up", True, layout.layers + 1, "upsample"),
    ):
        table |= {f"{half}.conv_in": f"{half}.conv_in", f"{half}.conv_out": f"{half}.conv_out"}
        table[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        for level in range(layout.levels):
            ours = f"{half}.{blocks}_blocks.{level}"
            theirs = f"{half}.{blocks}.{layout.levels - 1 - level if mirrored else level}"
            for j in range(resnets):
                table |= _under(f"{ours}.resnets.{j}", f"{theirs}.block.{j}", VAE_RESNET)
            if level < layout.levels - 1:
                table[f"{ours}.{sampler}rs.0.conv"] = f"{theirs}.{sampler}.conv"
        table |= _under(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1", VAE_RESNET)
        table |= _under(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1", VAE_ATTENTION)
        table |= _under(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2", VAE_RESNET)
    return table


def text_modules() -> Modules:
    """CLIP's text tower: the original holds the very modules of transformers."""
    return {name: name for name in ("embeddings", "encoder", "final_layer_norm")}


def _motion_places(layout: Layout) -> Iterator[tuple[str, str]]:
    """(ours, the release's flat numbering) of every temporal module outside the middle."""
    for level in range(layout.levels):
        for j in range(layout.layers):
            n = level * layout.layers + j
            yield f"down_blocks.{level}.motion_modules.{j}", f"input_blocks_motion_module.{n}.0"
        for j in range(layout.layers + 1):
            n = level * (layout.layers + 1) + j
            yield f"up_blocks.{level}.motion_modules.{j}", f"output_blocks_motion_module.{n}.0"


def motion_modules(layout: Layout, middle: bool = False) -> Modules:
    """AnimateDiff's own files: our places with its names inside. `middle`: v2 has a module there too."""
    places = [ours for ours, _ in _motion_places(layout)] + ["mid_block.motion_modules.0"] * middle
    table: Modules = {}
    for place in places:
        table |= _under(place, f"{place}.temporal_transformer", MOTION)
    return table


def release_motion_modules(layout: Layout) -> Modules:
    """The temporal modules inside the research release's UNet."""
    table: Modules = {}
    for ours, theirs in _motion_places(layout):
        table |= _under(ours, f"{theirs}.temporal_transformer", MOTION)
    return table


# ---- reading the tables ----------------------------------------------------------------------------------------


def translate(key: str, modules: Modules) -> str | None:
    """`key` with its longest leading module path replaced; None when no rule covers it."""
    path = key
    while path:
        path = path.rpartition(".")[0]
        if path in modules:
            return modules[path] + key[len(path) :]
    return None


def reverse(modules: Modules) -> Modules:
    """The same table, read from the original's side."""
    backwards = {theirs: ours for ours, theirs in modules.items()}
    assert len(backwards) == len(modules), "the table must be one to one"
    return backwards


def indices(pattern: str, keys: Iterable[str]) -> set[int]:
    """The numbers that the group of `pattern` takes at the start of the keys."""
    return {int(m[1]) for key in keys if (m := re.match(pattern, key))}


def unet_layout(keys: Iterable[str]) -> Layout | None:
    """Layout from the original keys of a UNet, appearance branch or ControlNet; None if they are of another kind."""
    keys = list(keys)
    blocks = indices(r"input_blocks\.(\d+)\.", keys)
    levels = len(indices(r"input_blocks\.(\d+)\.0\.op\.", keys)) + 1
    attention = indices(r"input_blocks\.(\d+)\.1\.", keys)
    layers, rest = divmod(len(blocks) - levels, levels)  # input_blocks: conv_in, then layers and a downsampler
    if rest or layers < 1 or blocks != set(range(len(blocks))):
        return None
    return Layout(tuple(level * (layers + 1) + 1 in attention for level in range(levels)), layers)


def vae_layout(keys: Iterable[str]) -> Layout | None:
    """Layout from the original keys of an AutoencoderKL; None if they are of another kind."""
    keys = list(keys)
    levels = len(indices(r"encoder\.down\.(\d+)\.", keys))
    layers = len(indices(r"encoder\.down\.0\.block\.(\d+)\.", keys))
    return Layout((False,) * levels, layers) if levels and layers else None


def motion_layout(keys: Iterable[str]) -> Layout | None:
    """Layout from AnimateDiff's keys, or the release's numbering (which hides the levels: two layers are assumed)."""
    keys = list(keys)
    levels = len(indices(r"down_blocks\.(\d+)\.motion_modules\.", keys))
    if levels:
        layers = len(indices(r"down_blocks\.0\.motion_modules\.(\d+)\.", keys))
        return Layout((False,) * levels, layers)
    down = len(indices(r"input_blocks_motion_module\.(\d+)\.", keys))
    up = len(indices(r"output_blocks_motion_module\.(\d+)\.", keys))
    levels = up - down  # (layers + 1) * levels - layers * levels
    return Layout((False,) * levels, down // levels) if levels > 0 and down % levels == 0 else None
