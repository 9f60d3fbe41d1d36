"""Networks of one latent size made fit for a larger one."""

from pathlib import Path

import diffusers
import torch

from magicpose.networks.autoencoder import PatchAutoencoder
from magicpose.networks.model import MagicPoseModel
from magicpose.training.config import TrainConfig, build
from magicpose.training.loop import train
from magicpose.training.networks import widen_latents
from training_clips import settings, write_clips


@torch.no_grad()
def test_a_wider_autoencoder_makes_the_same_pictures_and_first_channels() -> None:
    torch.manual_seed(0)
    before = PatchAutoencoder(3, 2, (8, 8), 1)
    after = widen_latents(before, 5)
    images = torch.randn(2, 3, 16, 16)
    first, second = before.encode(images).latent_dist.mode(), after.encode(images).latent_dist.mode()
    assert second.shape[1] == 5 and torch.equal(second[:, :3], first)
    assert second[:, 3:].abs().mean() > 1e-3, "silent channels would stay silent"
    assert torch.allclose(before.decode(first).sample, after.decode(second).sample, atol=1e-6)
    assert widen_latents(after, 5) is after and widen_latents(after, 4) is after
    assert widen_latents(before, None) is before


@torch.no_grad()
def test_wider_denoisers_predict_what_they_did() -> None:
    torch.manual_seed(0)
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "cross_attention_dim": 8, "attention_head_dim": 2}
    down = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "layers_per_block": 1}
    up = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    unet = diffusers.UNet2DConditionModel(in_channels=3, out_channels=3, **sizes, **down, **up)
    controlnet = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    old = MagicPoseModel(unet, None, controlnet)
    new = MagicPoseModel(widen_latents(unet, 5), None, widen_latents(controlnet, 5))
    noisy, steps, context = torch.randn(2, 5, 8, 8), torch.tensor([7, 7]), torch.randn(1, 3, 8)
    maps = torch.rand(2, 3, 16, 16)
    before = old(noisy[:, :3], steps, context, pose=maps)
    after = new(noisy, steps, context, pose=maps)
    assert torch.allclose(after[:, :3], before, atol=1e-6) and (after[:, 3:] == 0).all()


def test_stable_diffusions_autoencoder_is_left_alone() -> None:
    vae = diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=4)
    assert widen_latents(vae, 16) is vae


def test_kept_channels_stay_what_they_were(tmp_path: Path) -> None:
    data = write_clips(tmp_path / "clips")
    first = train(build(TrainConfig, settings(data, tmp_path / "first", "vae", steps=1), "test"))
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def likeness(kept: int) -> float:
        plan = settings(data, tmp_path / f"kept-{kept}", "vae", (first,), steps=40)
        plan["optimizer"]["learning_rate"] = 0.003
        plan["loss"] = {"kept_channels": kept}
        plan["network"]["widen_latents"] = 12
        second = train(build(TrainConfig, plan, "test"))
        old, new = (PatchAutoencoder.from_pretrained(folder / "vae") for folder in (first, second))
        assert new.config.latent_channels == 12
        with torch.no_grad():
            channels = [vae.encode(images).latent_dist.mode()[:, :8].transpose(0, 1).flatten(1) for vae in (old, new)]
        pairs = zip(*channels, strict=True)  # up to scale and offset, which the export sets anew
        return min(float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs)

    assert likeness(8) > 0.95 > likeness(0) + 0.05
