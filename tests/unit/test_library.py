"""The pipeline beside diffusers: its conventions, and networks that somebody else shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image

from magicpose.checkpoints.hub import EMBEDDED
from magicpose.errors import UserError
from magicpose.networks.schedule import SD15_SCHEDULE, make_scheduler
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.sampling.loop import sample
from magicpose.sampling.options import SamplerOptions


@pytest.fixture(scope="module")
def pipe(tiny_sd: Path) -> MagicPosePipeline:
    return MagicPosePipeline.from_pretrained(tiny_sd)


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8))


def maps(count: int) -> np.ndarray:
    drawn = np.zeros((count, 64, 64, 3), np.uint8)
    for index in range(count):
        drawn[index, 8 + 4 * index : 20 + 4 * index, 20:40] = (255, 0, 60)
    return drawn


def paint(pipe: MagicPosePipeline, **change: Any) -> Any:
    """Float frames [F, H, W, 3] of two steps, or what `change` asks for."""
    asked = {"reference": picture(), "poses": maps(2), "num_inference_steps": 2, "output_type": "np", **change}
    return pipe(**asked).frames


def stock_pipeline(tiny_sd: Path) -> tuple[StableDiffusionPipeline, MagicPosePipeline]:
    """A stock pipeline, and our pipeline of the same folder to take appearance and ControlNet from."""
    ours = MagicPosePipeline.from_pretrained(tiny_sd)
    stock = StableDiffusionPipeline(
        vae=ours.vae, text_encoder=ours.text_encoder, tokenizer=ours.tokenizer, unet=ours.unet,
        scheduler=DDIMScheduler(**SD15_SCHEDULE, steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    return stock, ours


# ---- a pipeline of diffusers -----------------------------------------------------------------------------------


def test_it_is_a_pipeline_of_diffusers(pipe: MagicPosePipeline) -> None:
    assert isinstance(pipe, diffusers.DiffusionPipeline)
    assert set(pipe.components) == {
        "unet", "appearance", "pose_controlnet", "vae", "text_encoder", "tokenizer", "scheduler", "motion",
    }  # fmt: skip
    assert pipe.components["unet"] is pipe.unet is pipe.model.unet
    again = MagicPosePipeline(**pipe.components, **pipe.parameters)
    assert again.settings == pipe.settings and np.array_equal(paint(again), paint(pipe))


def test_diffusers_opens_our_folders(pipe: MagicPosePipeline, tiny_sd: Path) -> None:
    stock = diffusers.DiffusionPipeline.from_pretrained(tiny_sd)
    assert type(stock) is MagicPosePipeline and stock.settings.guidance_scale == 2.0
    assert np.array_equal(paint(stock), paint(pipe))
    tiny = diffusers.DiffusionPipeline.from_pretrained(EMBEDDED["tiny"].folder)
    assert type(tiny) is MagicPosePipeline and tiny.native_side == EMBEDDED_SIDE and tiny.motion is None


EMBEDDED_SIDE = MagicPosePipeline.from_pretrained("tiny").native_side


def test_an_exchanged_part_is_used(tiny_sd: Path) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    before = paint(pipe)
    pipe.unet = type(pipe.unet).from_config(pipe.unet.config)
    assert pipe.model.unet is pipe.unet and not np.array_equal(paint(pipe), before)
    other = MagicPosePipeline.from_pretrained(tiny_sd, unet=pipe.unet)
    assert other.unet is pipe.unet
    with pytest.raises(UserError, match="no argument 'unett'"):
        MagicPosePipeline.from_pretrained(tiny_sd, unett=pipe.unet)


def test_the_scheduler_that_stands_in_the_pipeline_is_used(tiny_sd: Path) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    named = paint(pipe, scheduler="unipc")
    assert not np.array_equal(paint(pipe), named)
    pipe.scheduler = make_scheduler("unipc", pipe.scheduler.config)
    assert np.array_equal(paint(pipe), named)


def test_outputs_in_every_form(pipe: MagicPosePipeline) -> None:
    out = pipe(picture(), maps(2), num_inference_steps=2)
    assert out[0] is out.frames and out["frames"] is out.frames and out[1] is out.poses and out[2] is out.timings
    frames, poses, timings = pipe(picture(), maps(2), num_inference_steps=2, return_dict=False)
    assert np.array_equal(np.stack(frames), np.stack(out.frames)) and np.array_equal(poses, out.poses) and timings
    as_np, as_pt, latent = (paint(pipe, output_type=form) for form in ("np", "pt", "latent"))
    assert as_np.shape == (2, 64, 64, 3) and as_pt.shape == (2, 3, 64, 64) and latent.shape == (2, 4, 8, 8)
    assert np.array_equal((as_np * 255).round().astype(np.uint8), np.stack(out.frames))
    assert np.array_equal(as_pt.permute(0, 2, 3, 1).numpy(), as_np)
    assert np.array_equal(np.stack(list(pipe.decode(latent))), np.stack(out.frames))
    with pytest.raises(UserError, match="unknown output_type 'jpg': choose pil, np, pt or latent"):
        paint(pipe, output_type="jpg")


def test_a_call_is_the_sampler_on_tensors_made_by_hand(pipe: MagicPosePipeline) -> None:
    """Scaled reference latents, maps in [0, 1], the seed's noise: each would be missed if it were otherwise."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    pixels = torch.from_numpy(np.asarray(picture()).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        reference = pipe.vae.encode(pixels).latent_dist.sample(generator) * 0.18215
        ids = pipe.tokenizer("a b", padding="max_length", max_length=8, return_tensors="pt").input_ids
        context = pipe.text_encoder(ids)[0]
    pose = torch.from_numpy(maps(2)).permute(0, 3, 1, 2) / 255
    wanted = sample(pipe.model, noise, reference, pose, context, 2, 3.0, "ddim", SamplerOptions(seed=5))
    got = paint(pipe, prompt="a b", seed=5, guidance_scale=3.0, output_type="latent")
    torch.testing.assert_close(got, wanted)


def test_generator_and_latents_take_the_place_of_the_seed(pipe: MagicPosePipeline) -> None:
    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    assert np.array_equal(paint(pipe, generator=generator(3)), paint(pipe, seed=3))
    several = paint(pipe, poses=np.stack([maps(1)[0]] * 2), generator=[generator(3), generator(4)])
    alone = paint(pipe, poses=maps(1), generator=generator(3))
    assert np.abs(several[0] - alone[0]).max() < 1e-4 and not np.array_equal(several[0], several[1])
    noise = torch.randn(1, 4, 8, 8, generator=generator(3))
    assert not np.array_equal(paint(pipe, latents=noise), paint(pipe, latents=-noise))
    with pytest.raises(UserError, match="3 generators for 2 frames"):
        paint(pipe, generator=[generator(k) for k in range(3)])
    with pytest.raises(UserError, match=r"latents are \[1, 4, 9, 9\].*\[1 or F, 4, 8, 8\]"):
        paint(pipe, latents=torch.zeros(1, 4, 9, 9))


def test_a_callback_changes_latents_and_guidance_and_ends_the_work(pipe: MagicPosePipeline) -> None:
    seen: list[tuple[int, int]] = []

    def watch(pipe: Any, step: int, t: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, int(t)))
        return tensors

    assert np.array_equal(paint(pipe, callback_on_step_end=watch), paint(pipe))
    assert [step for step, _ in seen] == [0, 1] and seen[0][1] > seen[1][1] and pipe.num_timesteps == 2
    zeroed = paint(pipe, output_type="latent", callback_on_step_end=lambda p, i, t, k: {"latents": k["latents"] * 0})
    assert not zeroed.any()

    def stronger(pipe: Any, step: int, t: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._guidance_scale += 3
        return {}

    before, after = paint(pipe), paint(pipe, callback_on_step_end=stronger, guidance_scale=2.0)
    assert pipe.guidance_scale == 8.0 and not np.array_equal(before, after)
    steps: list[int] = []

    def stop(pipe: Any, step: int, t: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        pipe._interrupt = step == 1
        return tensors

    assert len(paint(pipe, num_inference_steps=5, callback_on_step_end=stop)) == 2 and steps == [0, 1]
    paint(pipe, callback_on_step_end=watch)  # the next run is not interrupted
    assert len(seen) == 4
    with pytest.raises(UserError, match="there is no 'noise' here; choose from latents"):
        paint(pipe, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=["noise"])


def test_poses_in_every_form(pipe: MagicPosePipeline) -> None:
    body = np.random.default_rng(1).uniform(10, 50, (2, 18, 3)).astype(np.float32)
    body[..., 2] = 1
    poses = [Pose(body=points) for points in body]
    track = PoseTrack(tuple(poses), (64, 64))
    wanted = pipe(picture(), track, num_inference_steps=1).poses
    assert np.array_equal(pipe(picture(), poses, num_inference_steps=1).poses, wanted)
    assert np.array_equal(pipe(picture(), poses[0], num_inference_steps=1).poses, wanted[:1])
    assert np.array_equal(pipe(picture(), maps(1)[0], num_inference_steps=1).poses, maps(1))
    assert np.array_equal(pipe(picture(), [Image.fromarray(maps(1)[0])], num_inference_steps=1).poses, maps(1))
    assert np.array_equal(pipe(picture(), Image.fromarray(maps(1)[0]), num_inference_steps=1).poses, maps(1))
    for wrong in (maps(1).astype(np.float32), [poses[0], maps(1)[0]], ["dance"], np.zeros((1, 64, 64), np.uint8)):
        with pytest.raises(UserError, match=r"a pose is .*: give a PIL picture, a uint8 array"):
            pipe(picture(), wrong, num_inference_steps=1)
    for none in ([], None, maps(0)):
        with pytest.raises(UserError, match="there are no poses"):
            pipe(picture(), none, num_inference_steps=1)


def test_names_of_diffusers_for_loading_and_saving(pipe: MagicPosePipeline, tiny_sd: Path, tmp_path: Path) -> None:
    half = MagicPosePipeline.from_pretrained(tiny_sd, torch_dtype=torch.bfloat16, local_files_only=True)
    assert half.dtype == half.appearance.dtype == half.vae.dtype == torch.bfloat16
    mixed = MagicPosePipeline.from_pretrained(tiny_sd, dtype={"vae": torch.bfloat16, "default": torch.float32})
    assert mixed.vae.dtype == torch.bfloat16 and mixed.unet.dtype == torch.float32
    pipe.save_pretrained(tmp_path / "variant", variant="fp16")
    assert (tmp_path / "variant/unet/diffusion_pytorch_model.fp16.safetensors").is_file()
    named = MagicPosePipeline.from_pretrained(tmp_path / "variant", variant="fp16")
    pipe.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    assert (tmp_path / "pickled/unet/diffusion_pytorch_model.bin").is_file()
    for other in (named, MagicPosePipeline.from_pretrained(tmp_path / "pickled")):
        assert np.array_equal(paint(other), paint(pipe))
    with pytest.raises(UserError, match="variant=fp16"):
        MagicPosePipeline.from_pretrained(tiny_sd, variant="fp16")
    with pytest.raises(UserError, match=r"owner/name.*cannot be fetched"):
        MagicPosePipeline.from_pretrained("owner/name", revision="v1", cache_dir=tmp_path, local_files_only=True)


def test_memory_and_progress_go_by_diffusers_names(tiny_sd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    pipe.enable_vae_slicing()
    pipe.enable_vae_tiling()
    assert pipe.vae.use_slicing and pipe.vae.use_tiling
    pipe.disable_vae_tiling()
    assert not pipe.vae.use_tiling
    if not torch.accelerator.is_available():
        with pytest.raises(UserError, match="offloading is for accelerators"):
            pipe.enable_model_cpu_offload()
    capsys.readouterr()
    paint(pipe)
    assert not capsys.readouterr().err, "nobody looks: no bar"
    pipe.set_progress_bar_config(disable=False)
    paint(pipe)
    assert "4/4" in capsys.readouterr().err
    before = paint(pipe)
    pipe.enable_attention_slicing(1)
    assert np.array_equal(paint(pipe), before)


def test_a_lora_goes_in_and_out(tiny_sd: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    pipe, other = (MagicPosePipeline.from_pretrained(tiny_sd) for _ in range(2))
    other.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    state = peft.get_peft_model_state_dict(other.unet)
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=state)
    before = paint(pipe)
    pipe.load_lora_weights(tmp_path)
    assert not np.array_equal(paint(pipe), before)
    pipe.unload_lora_weights()
    assert np.array_equal(paint(pipe), before)


# ---- networks that somebody shares -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meddle", "words"),
    [
        (lambda sd, pipe: sd.enable_attention_slicing(), "the UNet has SlicedAttnProcessor in the place"),
        (lambda sd, pipe: sd.fuse_qkv_projections(), "the UNet has FusedAttnProcessor2_0 in the place"),
        (lambda sd, pipe: sd.unet.set_attn_processor(AttnProcessor()), "the UNet has AttnProcessor in the place"),
        (lambda sd, pipe: pipe.appearance.set_attn_processor(AttnProcessor()), "the appearance branch has AttnProc"),
        (lambda sd, pipe: pipe.pose_controlnet.set_attn_processor(AttnProcessor()), "the pose ControlNet has AttnPro"),
        (lambda sd, pipe: pipe.detach(), "the UNet has AttnProcessor2_0 in the place"),
    ],
)
@pytest.mark.parametrize("frames", [1, 2])
def test_replaced_attention_is_said_in_one_line_before_a_run(
    tiny_sd: Path, meddle: Callable[[Any, Any], Any], words: str, frames: int
) -> None:
    """One frame was painted without the reference, several ended in a shape error."""
    stock, ours = stock_pipeline(tiny_sd)
    plugged = MagicPosePipeline.from_stable_diffusion(stock, ours.appearance, ours.pose_controlnet, 2.0)
    before = paint(plugged, poses=maps(frames))
    meddle(stock, plugged)
    with pytest.raises(UserError, match=words) as said:
        paint(plugged, poses=maps(frames))
    assert "\n" not in str(said.value) and "call attach()" in str(said.value)
    noise = torch.randn(1, 4, 8, 8)
    with pytest.raises(UserError, match=words):
        sample(plugged.model, noise, noise, None, torch.randn(1, 8, 16), steps=1)
    plugged.attach()
    assert np.allclose(paint(plugged, poses=maps(frames)), before, atol=1e-5)


def test_what_is_attached_twice_is_still_given_back_as_it_was(tiny_sd: Path) -> None:
    stock, ours = stock_pipeline(tiny_sd)
    stock.unet.set_attn_processor(AttnProcessor())
    plugged = MagicPosePipeline.from_stable_diffusion(stock, ours.appearance, ours.pose_controlnet)
    plugged.attach()
    assert {type(processor) for processor in plugged.detach().attn_processors.values()} == {AttnProcessor}


def test_networks_that_were_moved_apart_are_said_in_one_line(tiny_sd: Path) -> None:
    stock, ours = stock_pipeline(tiny_sd)
    plugged = MagicPosePipeline.from_stable_diffusion(stock, ours.appearance, ours.pose_controlnet)
    stock.to(torch.bfloat16)
    with pytest.raises(UserError, match=r"the appearance branch is in torch.float32, the UNet in torch.bfloat16: move"):
        paint(plugged)
    plugged.to(torch.float32)
    paint(plugged)
    stock.unet.to("meta")
    with pytest.raises(UserError, match="the appearance branch is on cpu, the UNet on meta: move"):
        plugged.model.check_ready()


def test_plugged_in_without_a_pose_controlnet(tiny_sd: Path) -> None:
    stock, ours = stock_pipeline(tiny_sd)
    plugged = MagicPosePipeline.from_stable_diffusion(stock, ours.appearance)
    with pytest.raises(UserError, match="no pose ControlNet"):
        paint(plugged)
    first, second = (paint(plugged, poses=None, reference=picture(seed)) for seed in (0, 1))
    assert first.shape == (1, 64, 64, 3) and not np.array_equal(first, second)
