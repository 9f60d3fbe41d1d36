"""The full-size originals, key by key, without allocating them: everything on the meta device."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import torch
from recorded import DATA
from torch import Tensor

from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.read import Components, load_components, load_original

Entries = dict[str, Any]


def manifest(name: str) -> Entries:
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


def on_meta(entries: Entries) -> dict[str, Tensor]:
    return {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for key, (shape, dtype) in entries.items()
    }


def described(state: dict[str, Tensor]) -> Entries:
    return {key: [list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in state.items()}


def flat(groups: Entries) -> Entries:
    return {key: entry for group in groups.values() for key, entry in group.items()}


@pytest.fixture(scope="module")
def sd15() -> Entries:
    return manifest("manifest_sd15")


@pytest.mark.parametrize(
    ("kind", "keys_in_all"), [("inference_and_stage2", 2182), ("stage1_appearance_pretraining", 1842)]
)
def test_whole_files_both_ways(sd15: Entries, kind: str, keys_in_all: int) -> None:
    entries = flat(sd15[kind]["groups"])
    assert len(entries) == keys_in_all
    parts = load_components(on_meta(entries))
    assert parts.unet is not None and parts.unet.config.cross_attention_dim == 768
    assert described(export_original(parts)) == entries
    # Dead keys made anew give the very file that the original's strict loading wants.
    anew = Components(**parts.present())  # type: ignore[arg-type]
    assert described(export_original(anew)) == entries


def test_networks_are_stable_diffusion_15(sd15: Entries) -> None:
    parts = load_components(on_meta(flat(sd15["inference_and_stage2"]["groups"])))
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in parts.present().items()}
    assert counts == {
        "unet": 859_520_964,
        "appearance": 859_520_964,
        "pose_controlnet": 361_279_120,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
    }


def test_model_round_trip_leaves_out_vae_and_text(sd15: Entries) -> None:
    groups = sd15["inference_and_stage2"]["groups"]
    back = described(export_original(load_original(on_meta(flat(groups)))))
    left_out = groups["first_stage_model."].keys() | groups["cond_stage_model."].keys()
    entries = flat(groups)
    ids = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    assert back == {key: entries[key] for key in entries.keys() - left_out | {ids}}


def test_published_controlnet(sd15: Entries) -> None:
    entries = sd15["control_v11p_sd15_openpose.pth_expected"]["control_model."]
    parts = load_components(on_meta(entries))
    assert list(parts.present()) == ["pose_controlnet"]
    assert described(export_original(parts)) == entries
    bare = {key.removeprefix("control_model."): value for key, value in on_meta(entries).items()}
    assert described(export_original(load_components(bare))) == entries


def test_motion_inside_the_unet(sd15: Entries) -> None:
    unet = sd15["inference_and_stage2"]["groups"]["model.diffusion_model."]
    entries = unet | flat(manifest("manifest_sd15_motion")["groups"])
    parts = load_components(on_meta(entries))
    assert parts.motion is not None and parts.motion.config.motion_max_seq_length == 24
    back = described(export_original(Components(unet=parts.unet, motion=parts.motion, unused={})))
    assert back == entries
