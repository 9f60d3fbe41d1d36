"""`model_index.json`: one owner, strict with types, the same keys from every writer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
from PIL import Image

from magicpose.animation.options import AnimateOptions, DriverOptions
from magicpose.animation.presets import PRESETS, choose_preset
from magicpose.animation.run import animate
from magicpose.checkpoints.convert import convert
from magicpose.checkpoints.hub import EMBEDDED
from magicpose.checkpoints.index import PARTS, ModelSettings, read_schedule, read_settings, write_index
from magicpose.errors import UserError
from magicpose.media import read_metadata
from magicpose.networks.autoencoder import PatchAutoencoder
from magicpose.pipeline import MagicPosePipeline
from magicpose.training.config import TrainConfig, build
from magicpose.training.loop import train
from training_clips import settings, write_clips


def index_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
    return content


def with_changes(model: Path, folder: Path, **changes: Any) -> Path:
    """A copy of `model` whose index has other values."""
    shutil.copytree(model, folder)
    (folder / "model_index.json").write_text(json.dumps(index_of(model) | changes))
    return folder


@pytest.fixture(scope="module")
def export(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three steps of stage 2 export, from a model with its own guidance and temperature."""
    root = tmp_path_factory.mktemp("train")
    data = write_clips(root / "data", size=64)
    wishes = {"guidance_scale": 2.5, "temperature": 0.25, "steps": 7, "solver": "unipc", "image_size": 512}
    init = with_changes(tiny_sd, root / "init", **wishes, trained={"unet": {"stage": "base", "steps": 9}})
    plan = settings(data, root / "run", "pose", (init,), steps=3)
    plan["data"]["size_px"] = 64
    return train(build(TrainConfig, plan, "test"))


def test_what_training_exports_knows_its_size_and_hands_on_the_rest(export: Path) -> None:
    pipe = MagicPosePipeline.from_pretrained(export)
    assert pipe.native_side == 64
    known = read_settings(export)
    assert (known.guidance_scale, known.temperature, known.steps, known.solver) == (2.5, 0.25, 7, "unipc")
    assert known.trained == {
        "unet": {"stage": "base", "steps": 9},
        "appearance": {"stage": "pose", "steps": 3},
        "pose_controlnet": {"stage": "pose", "steps": 3},
    }


def test_every_writer_writes_the_same_keys_and_hands_the_settings_on(export: Path, tmp_path: Path) -> None:
    MagicPosePipeline.from_pretrained(export).save_pretrained(tmp_path / "saved")
    convert(export, tmp_path / "converted")
    for folder in (tmp_path / "saved", tmp_path / "converted", EMBEDDED["tiny"].folder):
        assert list(index_of(folder)) == list(index_of(export)), folder
    for folder in (tmp_path / "saved", tmp_path / "converted"):
        assert read_settings(folder) == read_settings(export)
        assert {part: index_of(folder)[part] for part in PARTS} == {part: index_of(export)[part] for part in PARTS}


def test_the_index_names_the_parts_as_diffusers_does(export: Path, tmp_path: Path) -> None:
    index = index_of(export)
    assert index["unet"] == index["appearance"] == ["diffusers", "UNet2DConditionModel"]
    assert index["pose_controlnet"] == ["diffusers", "ControlNetModel"] and index["vae"] == [
        "diffusers",
        "AutoencoderKL",
    ]
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert index["tokenizer"] == ["transformers", "CLIPTokenizer"]
    assert index["motion"] == [None, None]
    for part in ("unet", "vae", "pose_controlnet"):  # stock classes open the parts by folder
        assert getattr(diffusers, index[part][1]).from_pretrained(export / part).config["_class_name"] == index[part][1]
    shutil.copytree(EMBEDDED["tiny"].folder / "vae", tmp_path / "vae")
    write_index(tmp_path, ModelSettings(), "a test")
    home = [PatchAutoencoder.__module__, "PatchAutoencoder"]
    assert index_of(tmp_path)["vae"] == home == index_of(EMBEDDED["tiny"].folder)["vae"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"guidance_scale": "7"}, "guidance_scale must be a number, not '7'"),
        ({"guidance_scale": True}, "guidance_scale must be a number, not True"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be a number, not nan"),
        ({"guidance_scale": 10**400}, "guidance_scale must be a number"),
        ({"temperature": [1]}, r"temperature must be a number, 0 or more, not \[1\]"),
        ({"temperature": -0.5}, "temperature must be a number, 0 or more"),
        ({"image_size": "128"}, "image_size must be a whole number of pixels"),
        ({"image_size": 127.5}, "image_size must be a whole number of pixels"),
        ({"image_size": 10**9}, "image_size must be a whole number of pixels"),
        ({"image_size": 0}, "image_size must be a whole number of pixels"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"solver": "euler99"}, "solver must be one of ddim, dpm"),
        ({"solver": ["ddim"]}, "solver must be one of"),
        ({"trained": "yes"}, "trained must be an object"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused_by_name(
    tiny_sd: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = with_changes(tiny_sd, tmp_path / "model", **change)
    with pytest.raises(UserError, match=words) as said:
        MagicPosePipeline.from_pretrained(folder)
    assert str(folder / "model_index.json") in str(said.value) and "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta_start": "0.1"}, "beta_start must be a number between 0 and 1"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps must be a whole number"),
        ({"prediction_type": "sample"}, "prediction_type must be epsilon or v_prediction, not 'sample'"),
        ({"beta_schedule": ["linear"]}, "beta_schedule must be one of"),
    ],
)
def test_a_schedule_nobody_can_use_is_refused_by_name(
    tiny_sd: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    shutil.copytree(tiny_sd / "scheduler", tmp_path / "scheduler")
    path = tmp_path / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=words) as said:
        read_schedule(tmp_path)
    assert str(path) in str(said.value)


def test_an_index_that_is_no_json_object_is_refused(tiny_sd: Path, tmp_path: Path) -> None:
    for text in ("", "[1]", "{", "[" * 100_000, "\xff"):
        (tmp_path / "model_index.json").write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match=r"model_index\.json"):
            read_settings(tmp_path)


def test_folders_of_earlier_versions_keep_their_settings(tmp_path: Path) -> None:
    def read(**index: Any) -> ModelSettings:
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        return read_settings(tmp_path)

    assert read(size_px=96).image_size == 96
    assert read(size_px=96, image_size=128).image_size == 128
    assert read(scheduler="dpm++2m", steps=10).solver == "dpm++2m"
    assert read(scheduler=["diffusers", "DDIMScheduler"]).solver is None
    assert read(made_by={"vae": "joint"}).trained == {"vae": {"stage": "joint"}}
    assert read(trained={"stage": "vae", "steps": 3}).trained == {"folder": {"stage": "vae", "steps": 3}}


def test_without_a_preset_a_model_is_run_its_own_way() -> None:
    own = ModelSettings(steps=10, solver="unipc")
    assert (choose_preset(None, own).scheduler, choose_preset(None, own).steps) == ("unipc", 10)
    assert choose_preset(None, ModelSettings()) == PRESETS["balanced"]
    assert choose_preset("exact", own) == PRESETS["exact"]


def test_fast_is_half_of_the_steps_a_model_has_of_its_own() -> None:
    assert choose_preset("fast", ModelSettings()) == PRESETS["fast"]
    few = choose_preset("fast", ModelSettings(steps=8, solver="ddim"))
    assert (few.scheduler, few.steps, few.guidance_stop) == ("ddim", 4, PRESETS["fast"].guidance_stop)
    assert choose_preset("fast", ModelSettings(steps=1)).steps == 1
    assert choose_preset("fast", ModelSettings(steps=500)).steps == PRESETS["fast"].steps  # never more


def test_animate_takes_the_models_own_steps_and_solver(tiny_sd: Path, tmp_path: Path) -> None:
    model = with_changes(tiny_sd, tmp_path / "model", steps=2, solver="unipc")
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "me.png")
    options = AnimateOptions(model=str(model), align="off", driver=DriverOptions(end=0.1))
    animate([tmp_path / "me.png"], "wave", tmp_path / "o.mp4", options)
    about = read_metadata(tmp_path / "o.mp4")
    assert about["steps"] == 2 and about["scheduler"] == "unipc"
