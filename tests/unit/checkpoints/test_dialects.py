"""One checkpoint in the names of every tool that writes it: the same networks come out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from one_checkpoint import base, network, networks, original, same_networks, save
from torch import Tensor

from magicpose.checkpoints.folder import read_folder, write_folder
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.read import Components, load_components
from magicpose.errors import UserError

State = dict[str, Tensor]
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def only(state: State, prefix: str, new: str = "") -> State:
    return {new + k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def old_attention(state: State) -> State:
    """A VAE as diffusers wrote it until 2023, and as the Hub's Stable Diffusion 1.5 still has it."""
    renamed = {}
    for key, value in state.items():
        for new, old in OLD_ATTENTION.items():
            key = re.sub(rf"(attentions\.0)\.{re.escape(new)}\.", rf"\1.{old}.", key)
        renamed[key] = value
    assert renamed.keys() != state.keys()
    return renamed


def ema(state: State) -> State:
    """The EMA copy as LDM's LitEma names it: no dots."""
    flat = {f"model_ema.diffusion_model{k.removeprefix(UNET).replace('.', '')}": v
            for k, v in state.items() if k.startswith(UNET)}  # fmt: skip
    return flat | {"model_ema.decay": torch.ones(()), "model_ema.num_updates": torch.ones((), dtype=torch.int)}


# kind of file -> (what it holds, the parts that must come out)
KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    "whole": (base, "unet vae text_encoder"),
    "old transformers": (
        lambda: {k.replace("transformer.text_model.", "transformer."): v for k, v in base().items()},
        "unet vae text_encoder",
    ),
    "UNet with prefix": (lambda: only(base(), UNET, UNET), "unet"),
    "UNet bare": (lambda: only(base(), UNET), "unet"),
    "UNet of ComfyUI": (lambda: only(base(), UNET, "diffusion_model."), "unet"),
    "UNet of diffusers": (lambda: network("unet"), "unet"),
    "EMA only": (lambda: ema(base()) | {k: v for k, v in base().items() if not k.startswith(UNET)},
                 "unet vae text_encoder"),
    "EMA beside the UNet": (lambda: {k: v * 2 for k, v in ema(base()).items()} | base(), "unet vae text_encoder"),
    "EMA only, dotted": (lambda: only(base(), UNET, "model_ema.diffusion_model."), "unet"),
    "VAE with prefix": (lambda: only(base(), VAE, VAE), "vae"),
    "VAE bare": (lambda: only(base(), VAE), "vae"),
    "VAE of a training": (
        lambda: only(base(), VAE) | {"loss.logvar": torch.ones(()), "loss.discriminator.main.0.bias": torch.ones(2),
                                     "model_ema.decay": torch.ones(())}, "vae"),
    "VAE of diffusers": (lambda: network("vae"), "vae"),
    "VAE of old diffusers": (lambda: old_attention(network("vae")), "vae"),
    "text encoder bare": (lambda: only(base(), TEXT), "text_encoder"),
    "text encoder of transformers": (lambda: only(base(), TEXT, "text_model."), "text_encoder"),
    "text encoder of a whole CLIP": (
        lambda: only(base(), TEXT, "text_model.") | {"logit_scale": torch.ones(()),
                                                     "text_projection.weight": torch.ones(4, 4)}, "text_encoder"),
    "ControlNet with prefix": (lambda: original("pose_controlnet"), "pose_controlnet"),
    "ControlNet bare": (lambda: only(original("pose_controlnet"), "control_model."), "pose_controlnet"),
    "ControlNet of diffusers": (lambda: network("pose_controlnet"), "pose_controlnet"),
    "all of diffusers": (
        lambda: {
            f"{part.removeprefix('pose_')}.{k}": v
            for part in ("unet", "vae", "text_encoder", "pose_controlnet")
            for k, v in network(part).items()
        },
        "unet vae text_encoder pose_controlnet",
    ),
    "AnimateDiff in diffusers' names": (
        lambda: network("unet") | network("motion"), "unet motion"),
}  # fmt: skip
WRAPPED: dict[str, Callable[[State], Any]] = {
    "state_dict twice": lambda s: {"state_dict": {"state_dict": s}},
    "trainer": lambda s: {"model": s, "optimizer": {"lr": 1.0}, "epoch": 3},
    "prefix state_dict": lambda s: {f"state_dict.{k}": v for k, v in s.items()},
    "data parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "data parallel, one network": lambda s: {k.replace(UNET, f"{UNET}module."): v for k, v in s.items()},
    "compiled": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    make, names = KINDS[kind]
    same_networks(load_components(save(make(), tmp_path / "in.safetensors")), names)


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers(wrapper: str, tmp_path: Path) -> None:
    state = only(base(), UNET, UNET)
    torch.save(WRAPPED[wrapper](state), tmp_path / "in.ckpt")
    assert export_original(load_components(tmp_path / "in.ckpt")).keys() == state.keys()


def test_old_attention_in_a_folder(tmp_path: Path) -> None:
    """The VAE of the Hub's Stable Diffusion 1.5 folder."""
    write_folder(Components(vae=networks()["vae"]), tmp_path / "model", {}, "")
    save(old_attention(network("vae")), tmp_path / "model/vae/diffusion_pytorch_model.safetensors")
    same_networks(read_folder(tmp_path / "model"), "vae")
    same_networks(read_folder(tmp_path / "model/vae"), "vae")


def test_text_encoders_in_a_folder(tmp_path: Path) -> None:
    """Nested under `text_model` as older transformers write it, with the numbers that are no weights."""
    write_folder(Components(text_encoder=networks()["text_encoder"]), tmp_path / "model", {}, "")
    weights = tmp_path / "model/text_encoder/model.safetensors"
    same_networks(read_folder(tmp_path / "model"), "text_encoder")
    nested = {f"text_model.{key.removeprefix('text_model.')}": v for key, v in network("text_encoder").items()}
    save(nested | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, weights)
    same_networks(read_folder(tmp_path / "model"), "text_encoder")
    save(nested | {"text_model.extra": torch.ones(1)}, weights)
    with pytest.raises(UserError, match=r"1 unknown \(text_model\.extra\)"):
        read_folder(tmp_path / "model")
    tokens = torch.randint(0, 60, (1, 77))
    save(nested, weights)
    found: Any = read_folder(tmp_path / "model").text_encoder
    with torch.no_grad():
        states = [net(tokens).last_hidden_state for net in (found, networks()["text_encoder"])]
    assert torch.equal(*states)


FOREIGN = {
    "v_pred": (torch.ones(0), "predicts velocity"),
    "difference": (torch.ones(0), "difference to a base"),
    "ip_adapter.1.to_k_ip.weight": (torch.ones(2, 2), "IP-Adapter"),
    "adapter.body.0.in_conv.weight": (torch.ones(2, 2), "T2I-Adapter"),
    "string_to_param.*": (torch.ones(2, 2), "textual inversion"),
    "add_embedding.linear_1.weight": (torch.ones(2, 2), "SDXL"),
    "lora_controlnet": (torch.ones(0), "Control-LoRA"),
}


@pytest.mark.parametrize("key", FOREIGN)
def test_files_of_other_kinds_get_their_own_line(key: str) -> None:
    tensor, said = FOREIGN[key]
    with pytest.raises(UserError, match=said):
        load_components(network("unet") | {key: tensor})


def test_messages_name_the_keys_of_the_file() -> None:
    state = network("unet")
    with pytest.raises(UserError, match=r"1 unknown \(mid_block\.extra\.weight\)"):
        load_components(state | {"mid_block.extra.weight": torch.ones(1)})
    with pytest.raises(UserError, match=r": down_blocks\.0\.resnets\.0\.norm1\.bias holds NaN"):
        load_components(state | {"down_blocks.0.resnets.0.norm1.bias": torch.full((32,), torch.nan)})
    with pytest.raises(UserError, match=r"encoder\.conv_in\.bias is \[3\]"):
        load_components(only(base(), VAE) | {"encoder.conv_in.bias": torch.ones(3)})
    with pytest.raises(UserError, match="are one weight"):
        load_components(only(base(), VAE) | only(base(), VAE, VAE))
    with pytest.raises(UserError, match="twice"):
        load_components(only(base(), VAE) | only(base(), VAE, "module."))
    with pytest.raises(UserError, match="2 unknown"):  # of an EMA copy that is half of a base nothing may be lost
        load_components(network("unet") | {"x.1": torch.ones(1), "x.2": torch.ones(1)})
