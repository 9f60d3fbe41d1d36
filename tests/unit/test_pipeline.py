"""The pipeline on a tiny model of random weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.acceleration.arithmetic import Arithmetic
from magicpose.checkpoints.settings import ModelSettings
from magicpose.errors import UserError
from magicpose.pipeline import MagicPosePipeline
from magicpose.sampling import SD15_SCHEDULE, FramePlan


@pytest.fixture(scope="module")
def pipe(tiny_sd: Path) -> MagicPosePipeline:
    return MagicPosePipeline.from_pretrained(tiny_sd)


def picture(seed: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def maps(count: int, size: int = 64) -> np.ndarray:
    drawn = np.zeros((count, size, size, 3), np.uint8)
    for index in range(count):
        drawn[index, 8 + 4 * index : 20 + 4 * index, 20:40] = (255, 0, 60)
    return drawn


def as_array(frames: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in frames]).astype(int)


def test_frames_in_number_size_and_finite(pipe: MagicPosePipeline) -> None:
    out = pipe(picture(), maps(3), num_inference_steps=2)
    assert [frame.size for frame in out.frames] == [(64, 64)] * 3
    assert set(out.timings) == {"prepare", "denoise", "decode"}
    assert as_array(out.frames).std() > 0


def test_reference_pose_seed_and_prompt_all_matter(pipe: MagicPosePipeline) -> None:
    def run(**change: object) -> np.ndarray:
        settings = {"reference": picture(), "poses": maps(1), "seed": 0, "prompt": "", **change}
        return as_array(pipe(num_inference_steps=2, **settings).frames)

    first = run()
    assert np.array_equal(first, run())
    for change in (
        {"reference": picture(1)},
        {"reference": [picture(), picture(1)]},
        {"poses": maps(4)[3:]},
        {"seed": 1},
        {"prompt": "a b"},
        {"guidance_scale": 1.0},
        {"temperature": 0.5},
    ):
        assert not np.array_equal(first, run(**change)), f"{list(change)} changes nothing"


def test_a_frame_does_not_depend_on_its_neighbours(pipe: MagicPosePipeline) -> None:
    together = as_array(pipe(picture(), maps(3), num_inference_steps=2).frames)
    plans = (FramePlan(batch=1), FramePlan(batch=2, group=2))
    for plan in plans:
        apart = as_array(pipe(picture(), maps(3), num_inference_steps=2, plan=plan).frames)
        assert np.abs(together - apart).max() <= 1
    alone = as_array(pipe(picture(), maps(3)[2:], num_inference_steps=2).frames)
    assert np.abs(together[2:] - alone).max() <= 1


def test_saved_and_loaded_gives_the_same_frames(pipe: MagicPosePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    again = MagicPosePipeline.from_pretrained(tmp_path / "saved")
    assert again.settings.guidance_scale == 2.0 and again.settings.temperature == 1.0
    runs = [as_array(p(picture(), maps(1), num_inference_steps=2).frames) for p in (pipe, again)]
    assert np.array_equal(*runs)


def test_temperature_scales_the_start_noise_alone(pipe: MagicPosePipeline, tiny_sd: Path, tmp_path: Path) -> None:
    canvas = pipe.canvas((64, 64))
    full, cool, cold = (pipe.prepare([picture()], canvas, seed=3, temperature=t) for t in (1.0, 0.25, 0.0))
    torch.testing.assert_close(cool.noise, full.noise / 4)
    assert not cold.noise.any() and torch.equal(cool.references[0], full.references[0])
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="temperature must be 0 or more"):
            pipe.prepare([picture()], canvas, temperature=wrong)
    settings = replace(pipe.settings, temperature=0.25)
    own = MagicPosePipeline(pipe.model, pipe.vae, pipe.text_encoder, pipe.tokenizer, settings)
    assert torch.equal(own.prepare([picture()], canvas, seed=3).noise, cool.noise)
    own.save_pretrained(tmp_path / "cool")
    assert MagicPosePipeline.from_pretrained(tmp_path / "cool").settings.temperature == 0.25


def test_half_precision_files_run_in_float32_on_cpu(pipe: MagicPosePipeline, tiny_sd: Path, tmp_path: Path) -> None:
    MagicPosePipeline.from_pretrained(tiny_sd, dtype=torch.float16).save_pretrained(tmp_path / "half")
    half = MagicPosePipeline.from_pretrained(tmp_path / "half")
    assert half.dtype == torch.float32 == next(half.vae.parameters()).dtype
    runs = [as_array(p(picture(), maps(1), num_inference_steps=2).frames) for p in (pipe, half)]
    assert np.abs(runs[0] - runs[1]).mean() < 2
    bf16 = MagicPosePipeline.from_pretrained(tiny_sd, dtype=torch.bfloat16)
    assert bf16(picture(), maps(1), num_inference_steps=1).frames


def test_other_shapes_keep_the_references_aspect(pipe: MagicPosePipeline) -> None:
    out = pipe(picture(size=(90, 120)), maps(1), num_inference_steps=1, size=80)
    assert out.frames[0].size == (72, 96)
    assert out.poses.shape == (1, 96, 72, 3)
    assert pipe(picture(), maps(1), num_inference_steps=1, size=(72, 64)).frames[0].size == (72, 64)
    with pytest.raises(UserError, match="try 72x64"):
        pipe(picture(), maps(1), size=(70, 64))


def test_the_small_models_own_autoencoder_and_fine_maps(tiny_sd: Path, tmp_path: Path) -> None:
    """Latents of 8 channels, maps at twice the frames' resolution, folded 4 x 4 before the first layer."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    from magicpose.networks.appearance import AppearanceControl
    from magicpose.networks.autoencoder import PatchAutoencoder
    from magicpose.networks.model import MagicPoseModel

    stock = MagicPosePipeline.from_pretrained(tiny_sd)
    unet = UNet2DConditionModel.from_config(
        {**stock.model.unet.config, "in_channels": 8, "out_channels": 8, "sample_size": None}
    )
    hints = {"conditioning_channels": 48, "conditioning_embedding_out_channels": (8, 8, 8)}
    controlnet = ControlNetModel.from_config({**stock.model.pose_controlnet.config, "in_channels": 8, **hints})
    model = MagicPoseModel(unet, AppearanceControl.from_unet(unet), controlnet)
    settings = ModelSettings("small", 2.0, image_size=64)
    vae = PatchAutoencoder(block_out_channels=(8, 8, 8), layers_per_block=1)
    MagicPosePipeline(model, vae, stock.text_encoder, stock.tokenizer, settings).save_pretrained(tmp_path / "small")
    small = MagicPosePipeline.from_pretrained(tmp_path / "small")
    assert (small.stride, small.model.pose_stride, small.native_side) == (8, 16, 64)
    out = small(picture(), maps(2), num_inference_steps=1)
    assert out.frames[0].size == (64, 64)
    assert out.poses.shape == (2, 128, 128, 3)


def test_plugged_into_a_stock_pipeline_and_out_again(tiny_sd: Path) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    ours = MagicPosePipeline.from_pretrained(tiny_sd)
    unet = ours.model.detach()
    stock = StableDiffusionPipeline(
        vae=ours.vae,
        text_encoder=ours.text_encoder,
        tokenizer=ours.tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(**SD15_SCHEDULE, steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    stock.set_progress_bar_config(disable=True)

    def paint() -> np.ndarray:
        generator = torch.Generator().manual_seed(1)
        return stock("a b", num_inference_steps=2, generator=generator, output_type="np").images

    processors, weights, painted = unet.attn_processors, {k: v.clone() for k, v in unet.state_dict().items()}, paint()
    plugged = MagicPosePipeline.from_stable_diffusion(stock, ours.model.appearance, ours.model.pose_controlnet, 2.0)
    same = [as_array(p(picture(), maps(1), num_inference_steps=2).frames) for p in (plugged, plugged)]
    assert np.array_equal(*same)
    assert plugged.detach() is unet
    assert unet.attn_processors == processors
    assert all(torch.equal(weights[name], value) for name, value in unet.state_dict().items())
    assert np.array_equal(painted, paint())


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("unet", {"use_linear_projection": True}, "Stable Diffusion 2.x or SDXL; take a Stable Diffusion 1.5 base"),
        ("unet", {"addition_embed_type": "text_time", "addition_time_embed_dim": 4,
                  "projection_class_embeddings_input_dim": 24}, "so of SDXL"),
        ("unet", {"in_channels": 9}, "inpainting"),
        ("unet", {"in_channels": 8}, "its vae has latent_channels 4, the UNet in_channels 8"),
        ("pose_controlnet", {"cross_attention_dim": 32}, "its pose_controlnet has cross_attention_dim 32, the UNet 16"),
        ("appearance", {"block_out_channels": [16, 64]}, r"its appearance has block_out_channels \(16, 64\)"),
    ],
)  # fmt: skip
def test_networks_of_another_base_are_refused_in_one_line(
    tiny_sd: Path, tmp_path: Path, part: str, change: dict[str, object], words: str
) -> None:
    """From a folder, and plugged into a stock pipeline: with the fix, before anything runs."""
    from types import SimpleNamespace

    ours = MagicPosePipeline.from_pretrained(tiny_sd)
    parts = {"unet": ours.model.unet, "appearance": ours.model.appearance.unet,  # type: ignore[union-attr]
             "pose_controlnet": ours.model.pose_controlnet}  # fmt: skip
    parts[part] = type(parts[part]).from_config({**parts[part].config, **change})  # type: ignore[union-attr]
    scheduler = SimpleNamespace(config={})
    stock = SimpleNamespace(
        unet=parts["unet"], vae=ours.vae, scheduler=scheduler, config=None, text_encoder=None, tokenizer=None
    )
    with pytest.raises(UserError, match=words):
        MagicPosePipeline.from_stable_diffusion(stock, parts["appearance"], parts["pose_controlnet"])
    folder = tmp_path / "model"
    shutil.copytree(tiny_sd, folder)
    parts[part].save_pretrained(folder / part)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=words) as said:
        MagicPosePipeline.from_pretrained(folder)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(("arithmetic", "close", "differs"), [("winograd", 1, False), ("int8", 40, True)])
def test_arithmetic_is_chosen_and_taken_back(
    tiny_sd: Path, arithmetic: Arithmetic, close: int, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("winograd", "quantised"):
        monkeypatch.setattr(f"magicpose.{module}._FEWEST_CHANNELS", 4)
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)

    def frames() -> np.ndarray:
        return as_array(pipe(picture(), maps(2), num_inference_steps=2).frames)

    plain, kinds = frames(), [type(module) for module in pipe.model.modules()]
    pipe.set_arithmetic(arithmetic)
    assert [type(module) for module in pipe.model.modules()] != kinds
    quick = frames()
    assert np.abs(quick - plain).mean() < close / 2 and np.abs(quick - plain).max() <= close
    assert not differs or not np.array_equal(quick, plain)
    pipe.to("cpu", torch.float32)  # keeps the choice
    assert np.array_equal(frames(), quick)
    unet = pipe.detach()
    assert [type(module) for module in pipe.model.modules()] == kinds and unet is pipe.model.unet


def test_arithmetic_that_does_not_fit_is_refused(tiny_sd: Path) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    with pytest.raises(UserError, match="unknown arithmetic 'int4': choose one of plain, winograd, int8"):
        pipe.set_arithmetic("int4")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="winograd is for float32; choose --dtype float32 or arithmetic int8"):
        pipe.to("cpu", torch.bfloat16).set_arithmetic("winograd")


def test_saving_memory_decodes_in_slices_and_tiles(tiny_sd: Path) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    before = as_array(pipe(picture(), maps(2), num_inference_steps=1).frames)
    pipe.save_memory()
    assert pipe.vae.use_tiling and pipe.vae.use_slicing
    pipe.vae.tile_latent_min_size = 1000  # one tile: then only rounding may change
    pipe.vae.tile_sample_min_size = 8000
    assert np.abs(as_array(pipe(picture(), maps(2), num_inference_steps=1).frames) - before).max() <= 1


def test_unknown_models_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown model 'huge': choose tiny"):
        MagicPosePipeline.from_pretrained("huge")
    with pytest.raises(UserError, match=r"no model_index\.json"):
        MagicPosePipeline.from_pretrained(tmp_path)
    (tmp_path / "x.safetensors").touch()
    with pytest.raises(UserError, match="magicpose convert"):
        MagicPosePipeline.from_pretrained(tmp_path / "x.safetensors")
