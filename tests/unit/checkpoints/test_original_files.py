"""Whole checkpoints at tiny size, in and out, and every way in which a file can be wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_originals import motion_adapter, parts, stage1, stage2
from torch import Tensor

from magicpose.checkpoints.convert import convert
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.read import Components, load_components, load_original
from magicpose.checkpoints.original.weight_files import check_memory, read_state_dict
from magicpose.errors import UserError

State = dict[str, Tensor]


def assert_same(actual: State, wanted: State) -> None:
    assert actual.keys() == wanted.keys()
    for key, value in wanted.items():
        assert actual[key].dtype == value.dtype and torch.equal(actual[key], value), key


@pytest.fixture(scope="module")
def full() -> State:
    return stage2()


@pytest.fixture(scope="module")
def base() -> State:
    """A Stable Diffusion file reduced to its UNet: quick to read."""
    return export_original(parts("unet"))


def save(state: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({k: v.clone(memory_format=torch.contiguous_format) for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return path


# ---- in and out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_round_trip_through_a_file(full: State, suffix: str, tmp_path: Path) -> None:
    path = save(full, tmp_path / f"model{suffix}")
    assert_same(export_original(load_components(path)), full)
    left_out = (
        "first_stage_model.",
        "cond_stage_model.transformer.text_model.e",
        "cond_stage_model.transformer.text_model.f",
    )
    model = export_original(load_original(path))
    ids = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    assert_same(model, {k: v for k, v in full.items() if not k.startswith(left_out) or k == ids})


def test_wrappers_of_training_scripts_are_opened(base: State, tmp_path: Path) -> None:
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in base.items()}}
    path = save(wrapped, tmp_path / "model.th")
    assert_same(export_original(load_components(path)), base)


def test_old_torch_format(base: State, tmp_path: Path) -> None:
    torch.save(base, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(export_original(load_components(tmp_path / "old.pth")), base)


def test_dtype_is_kept_or_changed_on_request(base: State) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in base.items()}
    assert_same(export_original(load_components(half)), half)
    assert load_original(half, dtype=torch.float32).unet.dtype == torch.float32


def test_the_models_weights_are_its_own(base: State) -> None:
    model = load_original(base)
    key, before = "model.diffusion_model.out.2.weight", base["model.diffusion_model.out.2.weight"].clone()
    with torch.no_grad():
        model.unet.conv_out.weight.zero_()
    assert torch.equal(base[key], before)
    assert not export_original(model)[key].any()


def test_stage_one_says_control_model_and_gains_a_pose_branch(full: State) -> None:
    state = stage1()
    assert any(key.startswith("control_model.output_blocks.") for key in state)
    model = load_original(state)
    assert model.pose_controlnet is None and model.appearance is not None
    assert_same(export_original(model), state)
    model.pose_controlnet = load_original(full).pose_controlnet
    assert {k for k in export_original(model) if "text" not in k} == {
        k for k in full if not k.startswith(("first_stage_model.", "cond_stage_model."))
    }


def test_loaded_networks_compute_what_the_saved_ones_did() -> None:
    before = parts("unet", "appearance", "pose_controlnet", "vae", "text_encoder")
    after = load_components(export_original(before))
    x, t, context = torch.randn(1, 4, 8, 8), torch.tensor([7]), torch.randn(1, 5, 64)
    tokens, image = torch.randint(0, 60, (1, 77)), torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        for name in ("unet", "appearance"):
            nets = getattr(before, name), getattr(after, name)
            if name == "appearance":  # its output layers are not in any file: compare what leads there
                for net in nets:
                    torch.nn.init.ones_(net.conv_out.weight), torch.nn.init.zeros_(net.conv_out.bias)
                    torch.nn.init.ones_(net.conv_norm_out.weight), torch.nn.init.zeros_(net.conv_norm_out.bias)
            assert torch.equal(*(net(x, t, context).sample for net in nets))
        assert before.vae is not None and after.vae is not None
        assert torch.equal(before.vae(image).sample, after.vae(image).sample)
        assert before.text_encoder is not None and after.text_encoder is not None
        states = [net(tokens).last_hidden_state for net in (before.text_encoder, after.text_encoder)]
        assert torch.equal(*states)


@pytest.mark.parametrize(("middle", "positions"), [(False, 24), (True, 32), (False, 32)], ids=["v1", "v2", "v3"])
def test_animatediff_files(middle: bool, positions: int, tmp_path: Path) -> None:
    adapter = motion_adapter(middle, positions)
    state = export_original(Components(motion=adapter))
    assert all(".temporal_transformer." in key for key in state)
    parts_back = load_components(save({"state_dict": state}, tmp_path / "mm.ckpt"))
    assert parts_back.motion is not None
    assert parts_back.motion.config.use_motion_mid_block == middle
    assert_same(parts_back.motion.state_dict(), adapter.state_dict())
    with pytest.raises(UserError, match="holds only motion, no UNet"):
        load_original(state)


def test_motion_travels_inside_a_whole_model() -> None:
    together = parts("unet", "motion")
    state = export_original(together)
    assert any(key.startswith("model.diffusion_model.input_blocks_motion_module.") for key in state)
    assert_same(export_original(load_original(state)), state)


def test_extra_weights_known_to_be_dead_are_accepted(base: State) -> None:
    dead = {"model_ema.decay": torch.ones(()), "cond_stage_model.logit_scale": torch.ones(())}
    assert_same(export_original(load_components(base | dead)), base | dead)


# ---- what is wrong ---------------------------------------------------------------------------------------------


def refused(source: Any, *said: str) -> None:
    with pytest.raises(UserError) as error:
        load_original(source)
    assert "\n" not in str(error.value)
    for words in said:
        assert words in str(error.value), str(error.value)


UNET = "model.diffusion_model."


def test_every_key_is_accounted_for(base: State) -> None:
    refused(base | {"model.something": torch.ones(1)}, "1 unknown (model.something)")
    refused(base | {f"{UNET}input_blocks.1.0.extra.weight": torch.ones(1)}, "unknown", "input_blocks.1.0.extra.weight")
    missing = f"{UNET}output_blocks.0.0.in_layers.2.weight"
    refused({k: v for k, v in base.items() if k != missing}, f"1 missing ({missing})")
    refused(base | {missing: torch.ones(3, 3)}, f"{missing} is [3, 3], not [64, 128, 3, 3]")


def test_broken_numbers(base: State) -> None:
    key = f"{UNET}middle_block.0.in_layers.2.weight"
    for wrong in (torch.nan, torch.inf):
        refused(base | {key: base[key].clone().index_fill_(0, torch.tensor([0]), wrong)}, key, "NaN or infinite")


def test_other_families(base: State) -> None:
    key = "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight"
    refused({key: torch.ones(1)}, "SDXL", "1.5-family")
    refused({"cond_stage_model.model.positional_embedding": torch.ones(1)}, "Stable Diffusion 2.x")
    linear = {
        k: v[:, :, 0, 0] if k.endswith((".proj_in.weight", ".proj_out.weight")) and v.ndim == 4 else v
        for k, v in base.items()
    }
    refused(linear, "linear projections", "SDXL")
    wide = base | {f"{UNET}input_blocks.0.0.weight": torch.ones(32, 9, 3, 3)}
    refused(wide, "inpainting")
    refused({"fc.weight": torch.ones(1)}, "fc.weight", "1.5-family")
    refused({"lora_unet_mid_block.lora_up.weight": torch.ones(1)}, "this is a LoRA")


def test_networks_of_two_bases_in_one_file(full: State) -> None:
    other = {k: v for k, v in full.items() if not k.startswith("pose_control_model.")}
    narrow = parts("pose_controlnet").pose_controlnet
    assert narrow is not None
    config = dict(narrow.config) | {"cross_attention_dim": 32}
    foreign = Components(pose_controlnet=type(narrow).from_config(config), appearance=parts("appearance").appearance)
    pose = {k: v for k, v in export_original(foreign).items() if k.startswith("pose_control_model.")}
    refused(other | pose, "pose_controlnet has cross_attention_dim 32, the UNet 64")


def test_parts_that_cannot_stand_alone(full: State) -> None:
    refused({k: v for k, v in full.items() if k.startswith("pose_control_model.")}, "no UNet", "magicpose convert")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_truncated(base: State, suffix: str, kept: float, tmp_path: Path) -> None:
    path = save(base, tmp_path / f"model{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(path, str(path))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch EXECUTED",)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_named_and_never_run(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.ones(1), "x": Evil()}, "evil.ckpt", _use_new_zipfile_serialization=zipped)
    refused(Path("evil.ckpt"), "system", "could run code", "safetensors")
    Path("plain.pth").write_bytes(pickle.dumps({"x": Evil()}))
    refused(Path("plain.pth"), "plain.pth")
    assert not Path("EXECUTED").exists()


def test_not_tensors(full: State, tmp_path: Path) -> None:
    refused(save({"state_dict": {"a": 1}}, tmp_path / "a.ckpt"), "'a' is a int, not a tensor")
    refused(save(torch.ones(2), tmp_path / "b.ckpt"), "holds a Tensor")
    refused(save({}, tmp_path / "c.ckpt"), "holds nothing")
    (tmp_path / "d.ckpt").write_text("hello")
    refused(tmp_path / "d.ckpt", "d.ckpt")
    refused(tmp_path / "no.ckpt", "no such file")
    (tmp_path / "e.txt").touch()
    refused(tmp_path / "e.txt", "not a weight file")
    with zipfile.ZipFile(tmp_path / "f.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"0" * 100_000)
    refused(tmp_path / "f.ckpt", "compressed zip archive")


def test_not_enough_memory(tmp_path: Path) -> None:
    """A real file that claims 16 TiB (sparse, so it costs no disk), and tensors larger than their storage."""
    refused({f"{UNET}out.0.weight": torch.ones(1).expand(2**21, 2**21)}, "GiB of memory", "GiB are free")
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(2**43)
    refused(path, "huge.safetensors", "needs 8192.0 GiB of memory")
    check_memory(2**30, "x", available_bytes=2**30)
    with pytest.raises(UserError, match=r"needs 2\.0 GiB of memory, 1\.0 GiB are free"):
        check_memory(2**31, "x", available_bytes=2**30)


# ---- convert ---------------------------------------------------------------------------------------------------


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_to_folder_and_back(full: State, tmp_path: Path) -> None:
    source = save(full, tmp_path / "stage2.ckpt")
    folder = convert(source, tmp_path / "model")
    assert left_behind(folder) == [
        "appearance", "model_index.json", "pose_controlnet", "scheduler", "text_encoder", "unet", "vae",
    ]  # fmt: skip
    back = read_state_dict(convert(folder, tmp_path / "back.safetensors"))
    hint = {k for k in full if k.startswith("appearance_control_model.input_hint_block.")}
    assert_same({k: v for k, v in back.items() if k not in hint}, {k: v for k, v in full.items() if k not in hint})
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in full.items()}
    assert left_behind(tmp_path) == ["back.safetensors", "model", "stage2.ckpt"]


def test_file_to_file_is_exact(full: State, tmp_path: Path) -> None:
    source = save(full, tmp_path / "stage2.ckpt")
    assert_same(read_state_dict(convert(source, tmp_path / "copy.safetensors")), full)
    half = read_state_dict(convert(source, tmp_path / "half.pth", dtype="float16"))
    assert half[f"{UNET}out.2.weight"].dtype == torch.float16


def test_several_sources_make_one_model(full: State, tmp_path: Path) -> None:
    base = save(
        {k: v for k, v in full.items() if k.startswith((UNET, "first_", "cond_"))}, tmp_path / "sd15.safetensors"
    )
    first = save(stage1(), tmp_path / "stage1.ckpt")
    pose = parts("pose_controlnet", seed=5)
    openpose = save(export_original(pose), tmp_path / "control_v11p_sd15_openpose.pth")
    motion = tmp_path / "adapter"
    motion_adapter().save_pretrained(motion)
    merged = read_state_dict(convert([base, first, openpose, motion], tmp_path / "all.safetensors"))
    assert torch.equal(
        merged["pose_control_model.zero_convs.0.0.bias"], export_original(pose)["control_model.zero_convs.0.0.bias"]
    )
    model = load_original(merged)
    assert model.motion is not None and model.appearance is not None
    assert_same(export_original(load_components(merged)), merged)


def test_bad_destinations_leave_nothing(base: State, tmp_path: Path) -> None:
    source = save(base, tmp_path / "stage2.ckpt")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    with pytest.raises(UserError, match="exists already"):
        convert(source, precious)
    with pytest.raises(UserError, match="would be lost"):
        convert(source, precious, overwrite=True)
    with pytest.raises(UserError, match="unknown dtype"):
        convert(source, tmp_path / "x", dtype="int3")
    broken = save({k: v for k, v in base.items() if "middle_block.0" not in k}, tmp_path / "broken.ckpt")
    with pytest.raises(UserError, match="missing"):
        convert(broken, tmp_path / "y")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        convert(source, tmp_path / "file" / "model")
    assert left_behind(tmp_path) == ["broken.ckpt", "file", "precious", "stage2.ckpt"]
    assert left_behind(precious) == ["thesis.txt"]


def test_overwriting_a_model(base: State, tmp_path: Path) -> None:
    source = save(base, tmp_path / "stage2.ckpt")
    folder = convert(source, tmp_path / "model")
    assert convert(folder, folder, dtype="float16", overwrite=True) == folder
    assert load_components(convert(folder, tmp_path / "m.ckpt")).unet.dtype == torch.float16  # type: ignore[union-attr]
    assert left_behind(tmp_path) == ["m.ckpt", "model", "stage2.ckpt"]


def test_what_the_file_form_cannot_say() -> None:
    stock = parts("unet").unet
    assert stock is not None
    four = type(stock).from_config(dict(stock.config) | {"attention_head_dim": 4})
    with pytest.raises(UserError, match="attention_head_dim 4"):
        export_original(Components(unet=four))


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no model_index\.json"):
        convert(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "model_index.json").write_text("{}")
    with pytest.raises(UserError, match="stands alone"):
        convert(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    with pytest.raises(UserError, match="holds a FluxTransformer2DModel"):
        convert(tmp_path / "empty", tmp_path / "out")


def test_importing_the_package_stays_cheap() -> None:
    code = "import sys, magicpose; magicpose.__dir__(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
