"""Names of other tools for networks of any shape lead to the original's; a LoRA keeps or refuses every key."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_lora import PLAIN, unet

from magicpose.checkpoints.original.dialects import canonical, from_ema
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.lora import merge_lora
from magicpose.checkpoints.original.read import Components
from magicpose.errors import UserError

shapes = st.tuples(st.lists(st.booleans(), min_size=1, max_size=4), st.integers(1, 3))


def networks(shape: Any) -> dict[str, Any]:
    attention, layers = shape
    common: dict[str, Any] = {
        "block_out_channels": (32,) * len(attention),
        "layers_per_block": layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        "cross_attention_dim": 16,
        "attention_head_dim": 8,
    }
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention))
    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel(**common, up_block_types=up),
            "pose_controlnet": ControlNetModel(**common, conditioning_embedding_out_channels=(16,) * (layers + 1)),
            "vae": AutoencoderKL(
                block_out_channels=(32,) * len(attention),
                down_block_types=("DownEncoderBlock2D",) * len(attention),
                up_block_types=("UpDecoderBlock2D",) * len(attention),
                layers_per_block=layers,
            ),
        }


@settings(max_examples=10, deadline=None)
@given(shapes, st.sampled_from(["unet", "pose_controlnet", "vae"]))
def test_diffusers_names_lead_to_the_originals(shape: Any, part: str) -> None:
    module = networks(shape)[part]
    renamed, names = canonical(module.state_dict(), "x")
    wanted = set(export_original(Components(**{part: module}, unused={})))
    assert set(renamed) == wanted
    assert {names.get(name, name) for name in renamed} == set(module.state_dict())


@settings(max_examples=5, deadline=None)
@given(shapes)
def test_an_ema_copy_is_spelt_back(shape: Any) -> None:
    state = export_original(Components(unet=networks(shape)["unet"], unused={}))
    for key in state:
        bare = key.removeprefix("model.diffusion_model.")
        assert from_ema("model_ema.diffusion_model" + bare.replace(".", "")) == bare
    assert from_ema("model_ema.diffusion_modelinput_blocks00weightx") is None
    assert from_ema("model_ema.decay") is None


@settings(max_examples=10, deadline=None)
@given(shapes)
def test_the_originals_own_names_stay(shape: Any) -> None:
    state = export_original(Components(**networks(shape), unused={}))
    renamed, names = canonical(state, "x")
    assert list(renamed) == list(state) and not names


words = st.text("abdeloru_.0123456789", min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.one_of(words, st.tuples(st.sampled_from(sorted(PLAIN)), words).map("".join),
                 words.map("lora_unet_{}.alpha".format)))  # fmt: skip
def test_no_key_of_a_lora_is_lost(key: str) -> None:
    if key in PLAIN:
        return
    with pytest.raises(UserError) as error:
        merge_lora({"unet": unet()}, PLAIN | {key: torch.ones(1)}, 1.0, "lora")
    assert key in str(error.value)


@settings(max_examples=20, deadline=None)
@given(st.floats(-4, 4), st.floats(0.01, 100))
def test_strength_is_linear_and_taken_back_by_its_negative(scale: float, alpha: float) -> None:
    network = unet()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = PLAIN | {next(iter(PLAIN)).split(".")[0] + ".alpha": torch.tensor(alpha)}
    merge_lora({"unet": network}, state, scale, "lora")
    merge_lora({"unet": network}, state, -scale, "lora")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], atol=1e-3, rtol=1e-3)
