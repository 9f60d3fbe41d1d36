"""A LoRA on the base: on a plugged-in stock pipeline, and merged into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_originals import parts
from torch import Tensor

from magicpose.checkpoints.convert import convert
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.lora import lora_loader, merge_lora
from magicpose.checkpoints.original.weight_files import read_state_dict
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel

pytest.importorskip("peft", reason="LoRA needs the lora extra")

RANK, ALPHA = 2, 4.0
UNET_LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
TEXT_LAYER = "text_model.encoder.layers.1.self_attn.out_proj"


def factors() -> dict[str, tuple[Tensor, Tensor]]:
    """(down [rank, in], up [out, rank]) for one layer of the UNet and one of the text encoder."""
    draw = torch.Generator().manual_seed(3)
    return {
        f"{part}.{layer}": (torch.randn(RANK, width, generator=draw), torch.randn(width, RANK, generator=draw))
        for part, layer, width in (("unet", UNET_LAYER, 32), ("text_encoder", TEXT_LAYER, 64))
    }


def kohya() -> dict[str, Tensor]:
    """kohya's names: underscores for dots, an alpha per layer."""
    state = {}
    for path, (down, up) in factors().items():
        part, _, layer = path.partition(".")
        name = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[part] + layer.replace(".", "_")
        state |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(ALPHA)}
    return state


def diffusers_form() -> dict[str, Tensor]:
    """diffusers' names; no alpha, so the scale (alpha / rank = 2) is put into the factor."""
    state = {}
    for path, (down, up) in factors().items():
        state |= {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up * ALPHA / RANK}
    return state


@pytest.mark.parametrize("make", [kohya, diffusers_form])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_merging_is_adding_the_product(make: Any, scale: float, tmp_path: Path) -> None:
    before = export_original(parts("unet", "text_encoder"))
    save_file({k: v.contiguous() for k, v in before.items()}, tmp_path / "base.safetensors")
    save_file(make(), tmp_path / "style.safetensors")
    sources = [tmp_path / "base.safetensors", tmp_path / "style.safetensors"]
    after = read_state_dict(convert(sources, tmp_path / "merged.ckpt", lora_scale=scale))
    originals = {
        f"unet.{UNET_LAYER}": "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
        f"text_encoder.{TEXT_LAYER}": f"cond_stage_model.transformer.{TEXT_LAYER}.weight",
    }
    for path, (down, up) in factors().items():
        key = originals[path]
        torch.testing.assert_close(after[key], before[key] + scale * ALPHA / RANK * up @ down)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], before[k]) for k in before if k not in originals.values())


def test_on_the_base_it_changes_the_output_and_unloads_cleanly() -> None:
    made = parts("unet")
    unet: Any = made.unet
    model = MagicPoseModel(unet, None, None)
    x, t, context = torch.randn(1, 4, 8, 8), torch.tensor([300]), torch.randn(1, 5, 64)

    def run() -> Tensor:
        with torch.no_grad():
            return model(x, t, context)

    before, weights, processors = run(), {k: v.clone() for k, v in unet.state_dict().items()}, unet.attn_processors
    stock = lora_loader(unet)
    stock.load_lora_weights({k: v for k, v in kohya().items() if "unet" in k}, adapter_name="style")
    assert not torch.allclose(run(), before, atol=1e-4)
    stock.unload_lora_weights()
    assert torch.equal(run(), before)
    assert unet.state_dict().keys() == weights.keys()
    assert all(torch.equal(weights[name], value) for name, value in unet.state_dict().items())
    assert unet.attn_processors == processors


def conv(layer: str, shape: tuple[int, ...]) -> dict[str, Tensor]:
    out, width, *kernel = shape
    down, up = torch.randn(RANK, width, *kernel), torch.randn(out, RANK, *[1 for _ in kernel])
    return {f"lora_unet_{layer}.lora_down.weight": down, f"lora_unet_{layer}.lora_up.weight": up}


@pytest.mark.parametrize("dora", [False, True])
def test_plugged_in_is_what_merging_gives(dora: bool) -> None:
    """The same file beside the weights and in them; diffusers' own loader loses `dora_scale`."""
    state = {k: v for k, v in kohya().items() if "unet" in k} | conv("down_blocks_0_resnets_0_conv1", (32, 32, 3, 3))
    if dora:
        state["lora_unet_" + UNET_LAYER.replace(".", "_") + ".dora_scale"] = torch.rand(32, 1) + 1
        state["lora_unet_down_blocks_0_resnets_0_conv1.dora_scale"] = torch.rand(32, 1, 1, 1) + 1
    plugged: Any = parts("unet").unet
    lora_loader(plugged).load_lora_weights(state)
    inside: Any = parts("unet").unet
    merge_lora({"unet": inside}, state, 1.0, "lora")
    inputs = torch.randn(1, 4, 8, 8), torch.tensor([300]), torch.randn(1, 5, 64)
    with torch.no_grad():
        torch.testing.assert_close(plugged(*inputs).sample, inside(*inputs).sample, rtol=1e-3, atol=1e-4)


def test_the_text_encoders_mlp_alone_is_plugged_in(tmp_path: Path) -> None:
    made = parts("unet", "text_encoder")
    text: Any = made.text_encoder
    tokens = torch.randint(0, 60, (1, 77))
    with torch.no_grad():
        before = text(tokens).last_hidden_state
        name = "lora_te_text_model_encoder_layers_0_mlp_fc1"
        state = {f"{name}.lora_down.weight": torch.randn(2, 64), f"{name}.lora_up.weight": torch.randn(96, 2)}
        save_file(state, tmp_path / "mlp.safetensors")
        lora_loader(made.unet, text).load_lora_weights(str(tmp_path / "mlp.safetensors"))
        assert not torch.allclose(text(tokens).last_hidden_state, before, atol=1e-3)


def test_what_cannot_be_plugged_in_is_said() -> None:
    unet: Any = parts("unet").unet
    name = "lora_unet_" + UNET_LAYER.replace(".", "_")
    plain = {f"{name}.lora_down.weight": torch.randn(2, 32), f"{name}.lora_up.weight": torch.randn(32, 2)}
    before = {key: value.clone() for key, value in unet.state_dict().items()}

    def refused(state: dict[str, Tensor], words: str) -> None:
        with pytest.raises(UserError, match=words):
            lora_loader(unet).load_lora_weights(state)
        assert unet.state_dict().keys() == before.keys()

    refused({f"{name}.hada_w{n}_{s}": torch.randn(32, 2) for n in "12" for s in "ab"}, "no plain LoRA.*convert")
    refused(plain | {f"{name}.dora_scale": torch.rand(1, 32)}, "no plain LoRA.*convert")
    second = conv("down_blocks_0_attentions_0_proj_in", (32, 32, 1, 1))
    refused(plain | {f"{name}.dora_scale": torch.rand(32, 1)} | second, "some of its layers only")
    refused({key: torch.cat([v, v], 1) for key, v in plain.items()}, "does not fit this base")
    refused(plain | {f"{name}.alpha": torch.tensor(0.0)}, "alpha is 0")
    refused(plain | {"lora_unet_nowhere.alpha": torch.tensor(1.0)}, "no layer in this base")


# ---- what is refused -------------------------------------------------------------------------------------------

NAME = "lora_unet_" + UNET_LAYER.replace(".", "_")
DOWN, UP = torch.ones(2, 32), torch.ones(32, 2)
PLAIN = {f"{NAME}.lora_down.weight": DOWN, f"{NAME}.lora_up.weight": UP}
REFUSED: dict[str, tuple[dict[str, Tensor], str]] = {
    "no such layer": ({"lora_unet_nowhere.lora_down.weight": DOWN}, "lora_unet_nowhere.* has no layer in this base"),
    "half a pair": ({f"{NAME}.lora_down.weight": DOWN}, "its up is missing"),
    "alpha alone": ({f"{NAME}.alpha": torch.tensor(1.0)}, "is missing"),
    "wrong width": (
        PLAIN | {f"{NAME}.lora_down.weight": torch.ones(2, 48)}, r"changes \[32, 48\].*weight is \[32, 32\]"),
    "two ranks": (PLAIN | {f"{NAME}.lora_down.weight": torch.ones(3, 32)}, "does not fit this base"),
    "a kernel on a linear layer": (PLAIN | {f"{NAME}.lora_down.weight": torch.ones(2, 32, 3, 3)}, "does not fit"),
    "a vector for a factor": (PLAIN | {f"{NAME}.lora_up.weight": torch.ones(32)}, "so no matrix"),
    "rank 0": ({f"{NAME}.lora_down.weight": torch.ones(0, 32), f"{NAME}.lora_up.weight": torch.ones(32, 0)}, "rank"),
    "alpha 0": (PLAIN | {f"{NAME}.alpha": torch.tensor(0.0)}, "alpha is 0.0"),
    "alpha NaN": (PLAIN | {f"{NAME}.alpha": torch.tensor(torch.nan)}, r"\.alpha holds NaN"),
    "alpha of two numbers": (PLAIN | {f"{NAME}.alpha": torch.ones(2)}, r"alpha is \[2\]"),
    "infinite": (PLAIN | {f"{NAME}.lora_up.weight": UP * torch.inf}, "lora_up.weight holds NaN or infinite"),
    "eight bits": (PLAIN | {f"{NAME}.lora_up.weight": UP.to(torch.float8_e4m3fn)}, "float8.*fp16 or fp32"),
    "beyond the base's range": (PLAIN | {f"{NAME}.lora_up.weight": UP * 3e38}, "no torch.float32 numbers"),
    "unknown tensor of a known layer": (PLAIN | {f"{NAME}.lora_extra": UP}, "lora_extra is nothing that a LoRA"),
    "tensors of two kinds": (PLAIN | {f"{NAME}.hada_w1_a": UP}, "hada_w1_a does not belong"),
    "dora_scale of no shape": (PLAIN | {f"{NAME}.dora_scale": torch.ones(7)}, r"dora_scale is \[7\]"),
    "magnitude of no shape": (
        {f"unet.{UNET_LAYER}.lora_A.weight": DOWN, f"unet.{UNET_LAYER}.lora_B.weight": UP,
         f"unet.{UNET_LAYER}.lora_magnitude_vector": torch.ones(7)}, "magnitude has 7 numbers"),
    "one layer twice": (PLAIN | {f"unet.{UNET_LAYER}.lora_A.weight": DOWN}, "are for one layer"),
    "a bias without a place": (PLAIN | {f"{NAME}.diff_b": torch.ones(32)}, "no bias of"),
    "a text encoder's": ({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": UP}, "has no text encoder"),
    "half a LoHa": ({f"{NAME}.hada_w1_a": UP, f"{NAME}.hada_w1_b": DOWN, f"{NAME}.hada_w2_a": UP}, "w2_b is missing"),
    "half a LoKr": ({f"{NAME}.lokr_w1": UP}, "lokr_w2 must be there"),
    "an OFT": ({f"{NAME}.oft_blocks": torch.ones(2, 4, 4)}, "an OFT or BOFT"),
    "a GLoRA": ({f"{NAME}.a1.weight": UP}, "a GLoRA"),
    "an SDXL LoRA": ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": UP}, "for SDXL"),
    "SDXL's depth": (
        {"lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q.lora_up.weight": UP}, "for SDXL"),
    "a Flux LoRA": ({"lora_unet_double_blocks_0_img_attn_proj.lora_up.weight": UP}, "SD 3 or Flux"),
    "a motion LoRA without modules": (
        {"down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.processor."
         "to_q_lora.up.weight": UP}, "no motion module; name the AnimateDiff"),
    "with an embedding": (PLAIN | {"bundle_emb.cat.string_to_param.*": UP}, "textual inversions inside"),
    "a Control-LoRA": ({"lora_controlnet": torch.ones(0), "input_blocks.0.0.up": UP}, "Control-LoRA"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name_and_nothing_changed(case: str) -> None:
    state, words = REFUSED[case]
    unet: Any = parts("unet").unet
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    good = conv("down_blocks_0_resnets_0_conv1", (32, 32, 3, 3))
    with pytest.raises(UserError, match=words) as error:
        merge_lora({"unet": unet}, good | state, 1.0, "style.safetensors")
    assert str(error.value).startswith("style.safetensors: ") and "\n" not in str(error.value)
    assert all(torch.equal(before[key], value) for key, value in unet.state_dict().items())


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_strength_that_is_no_number(scale: float) -> None:
    with pytest.raises(UserError, match="strength"):
        merge_lora({"unet": parts("unet").unet}, PLAIN, scale, "style")  # type: ignore[dict-item]


def test_a_folder_of_peft_is_a_source(tmp_path: Path) -> None:
    before = export_original(parts("unet"))
    save_file({k: v.contiguous() for k, v in before.items()}, tmp_path / "base.safetensors")
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 4}')
    path = f"base_model.model.{UNET_LAYER}"
    save_file({f"{path}.lora_A.weight": DOWN, f"{path}.lora_B.weight": UP}, folder / "adapter_model.safetensors")
    after = read_state_dict(convert([tmp_path / "base.safetensors", folder], tmp_path / "merged.safetensors"))
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    torch.testing.assert_close(after[key], before[key] + 2 * UP @ DOWN)


def test_a_motion_lora_goes_into_the_modules_before_it(tmp_path: Path) -> None:
    before = export_original(parts("motion"))
    save_file({k: v.contiguous() for k, v in before.items()}, tmp_path / "mm.safetensors")
    stem = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0."
    key = f"{stem}processor.to_q_lora.{{}}.weight"
    torch.save(
        {"state_dict": {f"module.{key.format('down')}": DOWN, f"module.{key.format('up')}": UP}}, tmp_path / "zoom.ckpt"
    )
    merged = convert([tmp_path / "mm.safetensors", tmp_path / "zoom.ckpt"], tmp_path / "zooming.safetensors")
    after = read_state_dict(merged)
    torch.testing.assert_close(after[f"{stem}to_q.weight"], before[f"{stem}to_q.weight"] + UP @ DOWN)
    assert [k for k in after if not torch.equal(after[k], before[k])] == [f"{stem}to_q.weight"]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    base, lora = tmp_path / "base.safetensors", tmp_path / "lora.safetensors"
    save_file({k: v.contiguous() for k, v in export_original(parts("unet")).items()}, base)

    def refused(state: dict[str, Tensor], words: str, *sources: Path) -> None:
        save_file(state, lora)
        with pytest.raises(UserError, match=words):
            convert([*sources, lora], tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["base.safetensors", "lora.safetensors"]

    unet_only = {k: v for k, v in diffusers_form().items() if k.startswith("unet.")}
    refused(unet_only, "needs its base")
    refused(diffusers_form(), r"text_encoder\..* has no layer in this base", base)
    refused({k.replace("down_blocks.0", "down_blocks.7"): v for k, v in unet_only.items()}, "no layer", base)
    refused({k: torch.cat([v, v], 1) for k, v in unet_only.items()}, "does not fit this base", base)
    refused({k: v * torch.nan for k, v in unet_only.items()}, "NaN", base)
