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
from magicpose.checkpoints.original.lora import lora_loader
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
