"""Every kind of LoRA against PEFT's own merged weights, and against the formulas of LyCORIS where PEFT has none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_originals import motion_adapter, parts
from torch import Tensor

from magicpose.checkpoints.original.lora import merge_lora
from magicpose.checkpoints.original.lora_settings import Strength, adapter_file, read_strengths
from magicpose.errors import UserError

peft = pytest.importorskip("peft", reason="the oracle of these tests is PEFT")
# PEFT remarks on how it saves, and calls transformers by an old name
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore:`is_gradient_checkpointing`:FutureWarning")

State = dict[str, Tensor]
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
LINEAR, PROJECTION, CONV = f"{BLOCK}.attn1.to_q", "down_blocks.0.attentions.0.proj_in", "down_blocks.0.resnets.0.conv1"
TARGETS = ["attn1.to_q", "attn2.to_k", "proj_in", "resnets.0.conv1", "ff.net.0.proj"]


def adapted(network: Any, config: Any, folder: Path) -> tuple[State, Any]:
    """An adapter with random numbers, written to `folder` by PEFT: (PEFT's merged weights, the network without it)."""
    plain = copy.deepcopy(network)
    model = peft.get_peft_model(network, config)
    torch.manual_seed(7)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            centre = 1.0 if "magnitude" in name or "ia3" in name else 0.0
            parameter.data = centre * parameter.data + 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return {k: v.clone() for k, v in model.merge_and_unload().state_dict().items()}, plain


def merge_folder(network: Any, part: str, folder: Path, scale: float = 1.0) -> State:
    file = adapter_file(folder)
    assert file is not None
    state = load_file(file)
    merge_lora({part: network}, state, scale, str(file), read_strengths(file, list(state)))
    return network.state_dict()


def assert_merged(actual: State, wanted: State, before: State) -> None:
    assert actual.keys() == wanted.keys()
    for key in wanted:
        torch.testing.assert_close(actual[key], wanted[key], rtol=1e-4, atol=1e-5)
    assert sum(not torch.equal(wanted[key], before[key]) for key in wanted) >= 4


PEFT_KINDS: dict[str, Any] = {
    "lora": peft.LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS),
    "patterns": peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=TARGETS, rank_pattern={"attn1.to_q": 2}, alpha_pattern={"attn2.to_k": 3}
    ),
    "rslora": peft.LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS, use_rslora=True),
    "dora": peft.LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS, use_dora=True),
    "bias": peft.LoraConfig(r=4, lora_alpha=6, target_modules=["proj_in", "ff.net.0.proj"], lora_bias=True),
    "loha": peft.LoHaConfig(r=3, alpha=5, target_modules=TARGETS),
    "loha tucker": peft.LoHaConfig(r=3, alpha=5, target_modules=TARGETS, use_effective_conv2d=True),
    "lokr": peft.LoKrConfig(r=3, alpha=5, target_modules=TARGETS),
    "lokr tucker": peft.LoKrConfig(r=3, alpha=5, target_modules=TARGETS, use_effective_conv2d=True),
    "lokr both": peft.LoKrConfig(r=2, alpha=5, target_modules=TARGETS, decompose_both=True, decompose_factor=4),
    "ia3": peft.IA3Config(
        target_modules=["attn1.to_q", "attn2.to_k", "ff.net.0.proj"], feedforward_modules=["ff.net.0.proj"]
    ),
}


@pytest.mark.parametrize("kind", PEFT_KINDS)
def test_as_peft_merges_it(kind: str, tmp_path: Path) -> None:
    wanted, unet = adapted(parts("unet").unet, PEFT_KINDS[kind], tmp_path)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    assert_merged(merge_folder(unet, "unet", tmp_path), wanted, before)


@pytest.mark.parametrize("dora", [False, True])
def test_the_text_encoder(dora: bool, tmp_path: Path) -> None:
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["mlp.fc1", "q_proj", "out_proj"], use_dora=dora)
    wanted, text = adapted(parts("text_encoder").text_encoder, config, tmp_path)
    before = {key: value.clone() for key, value in text.state_dict().items()}
    assert_merged(merge_folder(text, "text_encoder", tmp_path), wanted, before)


@pytest.mark.parametrize("scale", [0.5, -1.0])
def test_scale_acts_on_the_direction_of_a_dora_as_in_peft(scale: float, tmp_path: Path) -> None:
    """diffusers' `fuse_lora(lora_scale)` scales PEFT's layers so."""
    network = parts("unet").unet
    plain = copy.deepcopy(network)
    model = peft.get_peft_model(network, PEFT_KINDS["dora"])
    for module in model.modules():
        if hasattr(module, "scale_layer"):
            module.lora_B["default"].weight.data.normal_(0, 0.3)
            module.scale_layer(scale)
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    model.save_pretrained(tmp_path)
    wanted = model.merge_and_unload().state_dict()
    assert_merged(merge_folder(plain, "unet", tmp_path, scale), wanted, before)


def kohya(state: State, alphas: dict[str, float]) -> State:
    """PEFT's LoRA under kohya's names; alpha per layer, DoRA's lengths as kohya has them: [out, 1(, 1, 1)]."""
    renamed: State = {}
    for key, value in state.items():
        path, _, kind = key.removeprefix("base_model.model.").partition(".lora_")
        name = "lora_unet_" + path.replace(".", "_")
        if kind.startswith("magnitude"):
            four = state[key.partition(".lora_")[0] + ".lora_A.weight"].ndim == 4
            renamed[f"{name}.dora_scale"] = value.reshape(-1, 1, 1, 1) if four else value.reshape(-1, 1)
        else:
            renamed[f"{name}.lora_{'down' if kind == 'A.weight' else 'up'}.weight"] = value
        renamed[f"{name}.alpha"] = torch.tensor(next((a for end, a in alphas.items() if path.endswith(end)), 6.0))
    return renamed


@pytest.mark.parametrize("kind", ["patterns", "dora"])
def test_kohyas_names_say_the_same(kind: str, tmp_path: Path) -> None:
    wanted, unet = adapted(parts("unet").unet, PEFT_KINDS[kind], tmp_path)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    state = kohya(load_file(tmp_path / "adapter_model.safetensors"), {"attn2.to_k": 3.0} if kind == "patterns" else {})
    assert any("dora_scale" in key for key in state) == (kind == "dora")
    merge_lora({"unet": unet}, state, 1.0, "kohya")
    assert_merged(unet.state_dict(), wanted, before)


def test_diffusers_header_says_the_strength(tmp_path: Path) -> None:
    """diffusers writes PEFT's settings into the file's header; the keys hold no alpha."""
    wanted, unet = adapted(parts("unet").unet, PEFT_KINDS["lora"], tmp_path)
    state = load_file(tmp_path / "adapter_model.safetensors")
    renamed = {key.replace("base_model.model.", "unet."): value for key, value in state.items()}
    header = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 6, "unet.use_dora": False})}
    file = tmp_path / "pytorch_lora_weights.safetensors"
    save_file(renamed, file, metadata=header)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    merge_lora({"unet": unet}, renamed, 1.0, str(file), read_strengths(file, list(renamed)))
    assert_merged(unet.state_dict(), wanted, before)


def test_an_alpha_in_the_file_wins_over_settings() -> None:
    unet: Any = parts("unet").unet
    layer = unet.get_submodule(LINEAR)
    before = layer.weight.clone()
    state = {f"unet.{LINEAR}.lora_A.weight": draw(2, 32), f"unet.{LINEAR}.lora_B.weight": draw(32, 2)}
    merge_lora({"unet": unet}, state | {f"unet.{LINEAR}.alpha": torch.tensor(6.0)}, 1.0, "x", {"": Strength(2, 1)})
    torch.testing.assert_close(layer.weight, before + 3 * draw(32, 2) @ draw(2, 32))


# ---- what PEFT does not have -----------------------------------------------------------------------------------


def one(layer: str, tensors: State, scale: float = 1.0, prefix: str = "lora_unet_") -> tuple[Any, Any]:
    """(the layer before, the layer after) one change of the tiny UNet; all other weights must stay."""
    unet: Any = parts("unet").unet
    before = copy.deepcopy(unet)
    merge_lora({"unet": unet}, {prefix + layer.replace(".", "_") + k: v for k, v in tensors.items()}, scale, "lora")
    after = unet.state_dict()
    others = [key for key in after if not key.startswith(layer + ".")]
    assert all(torch.equal(after[key], before.state_dict()[key]) for key in others)
    return before.get_submodule(layer), unet.get_submodule(layer)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_locon_with_a_middle() -> None:
    """A Tucker core between two 1x1 convolutions: what the three of them compute one after the other."""
    down, mid, up = draw(3, 32, 1, 1), draw(3, 3, 3, 3, seed=2), draw(32, 3, 1, 1, seed=3)
    before, after = one(CONV, {
        ".lora_down.weight": down, ".lora_mid.weight": mid, ".lora_up.weight": up, ".alpha": torch.tensor(6.0)
    }, 0.5)  # fmt: skip
    picture, conv = draw(1, 32, 5, 5, seed=4), torch.nn.functional.conv2d
    wanted = before(picture) + 0.5 * 6 / 3 * conv(conv(conv(picture, down), mid, padding=1), up)
    torch.testing.assert_close(after(picture), wanted, rtol=1e-4, atol=1e-4)


def test_locon_without_a_middle() -> None:
    down, up = draw(3, 32, 3, 3), draw(32, 3, 1, 1, seed=3)
    before, after = one(CONV, {".lora_down.weight": down, ".lora_up.weight": up, ".scalar": torch.tensor(2.0)})
    picture, conv = draw(1, 32, 5, 5, seed=4), torch.nn.functional.conv2d
    wanted = before(picture) + 2 * conv(conv(picture, down, padding=1), up)
    torch.testing.assert_close(after(picture), wanted, rtol=1e-4, atol=1e-4)


def test_linear_factors_on_a_1x1_convolution() -> None:
    before, after = one(PROJECTION, {".lora_down.weight": draw(3, 32), ".lora_up.weight": draw(32, 3, seed=2)})
    wanted = before.weight + (draw(32, 3, seed=2) @ draw(3, 32))[..., None, None]
    torch.testing.assert_close(after.weight, wanted)


def test_dora_on_the_inputs() -> None:
    """LyCORIS before `wd_on_out`: one length per input."""
    down, up, lengths = draw(3, 64), draw(32, 3, seed=2), draw(1, 64, seed=3).abs()
    tensors = {".lora_down.weight": down, ".lora_up.weight": up, ".dora_scale": lengths}
    _, after = one(f"{BLOCK}.attn2.to_k", tensors)
    torch.testing.assert_close(after.weight.norm(dim=0), lengths[0])


@pytest.mark.parametrize("on_input", [True, False])
def test_ia3_of_lycoris(on_input: bool) -> None:
    values = draw(64 if on_input else 32)
    before, after = one(f"{BLOCK}.attn2.to_k", {".weight": values, ".on_input": torch.tensor(on_input)}, 0.5)
    wanted = before.weight * (1 + 0.5 * (values[None] if on_input else values[:, None]))
    torch.testing.assert_close(after.weight, wanted)


def test_differences_of_weights_biases_and_norms() -> None:
    before, after = one(PROJECTION, {".diff": draw(32, 32, 1, 1), ".diff_b": draw(32, seed=2)}, 0.5)
    torch.testing.assert_close(after.weight, before.weight + 0.5 * draw(32, 32, 1, 1))
    torch.testing.assert_close(after.bias, before.bias + 0.5 * draw(32, seed=2))
    before, after = one("down_blocks.0.resnets.0.norm1", {".w_norm": draw(32), ".b_norm": draw(32, seed=2)})
    torch.testing.assert_close(after.weight, before.weight + draw(32))
    torch.testing.assert_close(after.bias, before.bias + draw(32, seed=2))
    before, after = one(PROJECTION, {".diff_b": draw(32, seed=2)})
    assert torch.equal(after.weight, before.weight)
    torch.testing.assert_close(after.bias, before.bias + draw(32, seed=2))


def test_lokr_of_whole_factors_has_strength_one() -> None:
    """LyCORIS writes some alpha beside whole factors; without a rank it says nothing."""
    first, second = draw(4, 4), draw(8, 8, seed=2)
    before, after = one(LINEAR, {".lokr_w1": first, ".lokr_w2": second, ".alpha": torch.tensor(1.0)})
    torch.testing.assert_close(after.weight, before.weight + torch.kron(first, second))


@pytest.mark.parametrize(
    "key",
    [
        "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.processor.to_q_lora"
        ".{}.weight",
        "unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn2.processor.to_q_lora.{}.weight",
        "unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn2.to_q.lora.{}.weight",
    ],
)
def test_motion_lora(key: str) -> None:
    motion = motion_adapter()
    layer = motion.get_submodule("down_blocks.0.motion_modules.0.transformer_blocks.0.attn2.to_q")
    before = layer.weight.clone()
    merge_lora({"motion": motion}, {key.format("down"): draw(2, 32), key.format("up"): draw(32, 2)}, 1.0, "zoom")
    torch.testing.assert_close(layer.weight, before + draw(32, 2) @ draw(2, 32))


SPELLINGS = [
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_{}.weight",
    "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0.lora_{}.weight",
    "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_{}.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.lora.{}.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.{}.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.{}.weight",
    "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_{}.weight",
]


@pytest.mark.parametrize("key", SPELLINGS)
def test_spellings_of_one_layer(key: str) -> None:
    unet: Any = parts("unet").unet
    layer = unet.get_submodule(f"{BLOCK}.attn1.to_out.0")
    before = layer.weight.clone()
    merge_lora({"unet": unet}, {key.format("down"): draw(2, 32), key.format("up"): draw(32, 2)}, 1.0, "lora")
    torch.testing.assert_close(layer.weight, before + draw(32, 2) @ draw(2, 32))


TEXT_SPELLINGS = [
    "lora_te_text_model_encoder_layers_1_self_attn_out_proj.lora_{}.weight",
    "lora_te1_text_model_encoder_layers_1_self_attn_out_proj.lora_{}.weight",
    "text_encoder.text_model.encoder.layers.1.self_attn.out_proj.lora_linear_layer.{}.weight",
    "text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora.{}.weight",
    "text_encoder.encoder.layers.1.self_attn.out_proj.lora.{}.weight",
]


@pytest.mark.parametrize("key", TEXT_SPELLINGS)
def test_spellings_in_the_text_encoder(key: str) -> None:
    text: Any = parts("text_encoder").text_encoder
    layer = next(m for name, m in text.named_modules() if name.endswith("encoder.layers.1.self_attn.out_proj"))
    before = layer.weight.clone()
    merge_lora({"text_encoder": text}, {key.format("down"): draw(2, 64), key.format("up"): draw(64, 2)}, 1.0, "lora")
    torch.testing.assert_close(layer.weight, before + draw(64, 2) @ draw(2, 64))


# ---- settings of PEFT that cannot be followed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"peft_type": "OFT"}, "kind OFT"),
        ({"init_lora_weights": "pissa_niter_4"}, "began as pissa_niter_4"),
        ({"r": 0}, "rank or alpha of 0"),
        ({"r": 4, "lora_alpha": float("nan")}, "rank or alpha of nan"),
        ({"r": 4, "alpha_pattern": {"(a+)+$": 1}}, "expressions"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    save_file({"base_model.model.x.lora_A.weight": draw(2, 2)}, tmp_path / "adapter_model.safetensors")
    file = adapter_file(tmp_path)
    assert file is not None
    with pytest.raises(UserError, match="adapter_config") as error:
        read_strengths(file, ["base_model.model.x.lora_A.weight"])
    assert said in str(error.value)


def test_a_strength_that_is_not_said_is_noted(tmp_path: Path) -> None:
    save_file({"base_model.model.x.lora_A.weight": draw(2, 2)}, tmp_path / "adapter_model.safetensors")
    with pytest.warns(UserWarning, match="lora_alpha"):
        assert read_strengths(tmp_path / "adapter_model.safetensors", ["base_model.model.x.lora_A.weight"]) == {}
