"""The key table is one to one for any shape of network, and rebuilds a network's configuration from its keys."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from magicpose.checkpoints.original import keys
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.read import Components, load_components

layouts = st.builds(
    keys.Layout, st.lists(st.booleans(), min_size=1, max_size=5).map(tuple), st.integers(min_value=1, max_value=3)
)


@given(layouts, st.booleans())
def test_tables_are_one_to_one(layout: keys.Layout, middle: bool) -> None:
    for table in (
        keys.unet_modules(layout),
        keys.controlnet_modules(layout),
        keys.vae_modules(layout),
        keys.motion_modules(layout, middle),
        keys.release_motion_modules(layout),
    ):
        back = keys.reverse(table)
        for ours in table:
            key = keys.translate(f"{ours}.weight", table)
            assert key is not None and keys.translate(key, back) == f"{ours}.weight"


@given(layouts)
def test_layout_is_read_back_from_original_keys(layout: keys.Layout) -> None:
    originals = [f"{name}.weight" for name in keys.unet_modules(layout).values()]
    assert keys.unet_layout(originals) == layout
    flat = [f"{name}.weight" for name in keys.release_motion_modules(layout).values()]
    assert keys.motion_layout(flat) == keys.Layout((False,) * layout.levels, layout.layers)


@settings(max_examples=8, deadline=None)
@given(
    layout=layouts.filter(lambda layout: layout.levels <= 3),
    widths=st.lists(st.sampled_from((32, 64)), min_size=3, max_size=3),
    context=st.sampled_from((16, 40)),
)
def test_any_network_comes_back_from_its_original_form(layout: Any, widths: list[int], context: int) -> None:
    shape: dict[str, Any] = {
        "block_out_channels": tuple(widths[: layout.levels]),
        "layers_per_block": layout.layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in layout.attention),
        "cross_attention_dim": context,
        "attention_head_dim": 8,
    }
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(layout.attention))
    with torch.device("meta"):
        before = Components(
            unet=UNet2DConditionModel(**shape, up_block_types=up), pose_controlnet=ControlNetModel(**shape)
        )
    state = export_original(before)
    after = load_components(state)
    for name, module in before.present().items():
        again = after.present()[name]
        for setting in shape:
            assert getattr(again.config, setting) == module.config[setting]
        shapes = {k: v.shape for k, v in module.state_dict().items()}
        assert {k: v.shape for k, v in again.state_dict().items()} == shapes
    assert export_original(after).keys() == state.keys()
