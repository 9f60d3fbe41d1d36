"""Keys that nothing knows: refused by name, left out on request, recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from one_checkpoint import base, network, same_networks, save
from safetensors import safe_open

from magicpose.checkpoints.convert import convert
from magicpose.checkpoints.folder import read_folder
from magicpose.checkpoints.original.read import load_components
from magicpose.errors import UserError

UNET = "model.diffusion_model."


def leftovers(path: Path) -> Path:
    extra = {
        "merge.recipe": torch.ones(1),
        f"{UNET}mixer.0": torch.full((1,), torch.nan),
        f"{UNET}mixer.1": torch.ones(1),
    }
    return save(base() | extra, path)


def test_a_merging_tools_leftovers(tmp_path: Path) -> None:
    source = leftovers(tmp_path / "merged.safetensors")
    with pytest.raises(UserError, match=r"1 unknown \(merge\.recipe\)"):
        convert(source, tmp_path / "out")
    with pytest.raises(UserError, match=r"2 unknown .*mixer\.0, .*mixer\.1"):
        convert(source, tmp_path / "out", ignore_unknown=["merge.recipe"])
    patterns = ["merge.recipe", "*.mixer.*"]
    keys = ["merge.recipe", f"{UNET}mixer.0", f"{UNET}mixer.1"]
    folder = convert(source, tmp_path / "out", ignore_unknown=patterns)
    assert json.loads((folder / "model_index.json").read_text())["_ignored_keys"] == keys
    same_networks(read_folder(folder), "unet vae text_encoder")
    file = convert(source, tmp_path / "out.safetensors", ignore_unknown=patterns)
    with safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["ignored_keys"]) == keys
        assert set(opened.keys()) == set(base())
    pickled = torch.load(convert(source, tmp_path / "out.ckpt", ignore_unknown=patterns), weights_only=True)
    assert json.loads(pickled["ignored_keys"]) == keys


def test_only_unknown_keys_can_be_left_out(tmp_path: Path) -> None:
    source = leftovers(tmp_path / "merged.safetensors")
    folder = convert(source, tmp_path / "all", ignore_unknown=["*"])  # all that is unknown, and no weight
    same_networks(read_folder(folder), "unet vae text_encoder")
    with pytest.raises(UserError, match=r"--ignore-unknown .*out\.2\.weight: the sources hold no such unknown key"):
        convert(source, tmp_path / "x", ignore_unknown=[f"{UNET}out.2.weight", "merge.*", "*.mixer.*"])
    damaged = base()
    damaged.pop(f"{UNET}out.2.weight")
    with pytest.raises(UserError, match="1 missing"):
        convert(save(damaged, tmp_path / "d.safetensors"), tmp_path / "x", ignore_unknown=["*"])
    assert not (tmp_path / "x").exists()


def test_leftovers_elsewhere(tmp_path: Path) -> None:
    """In a pickle beside the tensors, in a LoRA, in a folder."""
    torch.save({**base(), "recipe": "0.3 A + 0.7 B"}, tmp_path / "merged.ckpt")
    with pytest.raises(UserError, match=r"'recipe' is a str.*--ignore-unknown recipe"):
        convert(tmp_path / "merged.ckpt", tmp_path / "out")
    folder = convert(tmp_path / "merged.ckpt", tmp_path / "out", ignore_unknown=["recipe"])
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    lora = {f"{name}.lora_down.weight": torch.ones(2, 32), f"{name}.lora_up.weight": torch.ones(32, 2)}
    source = save(lora | {"lora_te_nowhere.alpha": torch.ones(())}, tmp_path / "lora.safetensors")
    convert([folder, source], tmp_path / "styled", ignore_unknown=["lora_te_*"])
    index = json.loads((tmp_path / "styled/model_index.json").read_text())
    assert index["_ignored_keys"] == ["lora_te_nowhere.alpha"]
    save(network("vae") | {"extra": torch.ones(1)}, folder / "vae/diffusion_pytorch_model.safetensors")
    with pytest.raises(UserError, match=r"1 unknown \(extra\)"):
        convert(folder, tmp_path / "again")
    convert(folder, tmp_path / "again", ignore_unknown=["extra"])
    with pytest.raises(UserError, match=r"lora_unet_x\.alpha"):  # a forgotten key does not make a checkpoint a LoRA
        load_components(base() | {"lora_unet_x.alpha": torch.ones(())})
