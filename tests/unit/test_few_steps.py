"""Few-step schedulers with a LoRA made for them: the loop gives what stock Stable Diffusion gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionPipeline, TCDScheduler
from torch import Tensor

from magicpose.networks.model import MagicPoseModel
from magicpose.pipeline import MagicPosePipeline
from magicpose.sampling import SD15_SCHEDULE, sample

pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("peft", reason="LoRA needs the lora extra")


def few_step_lora(unet: Any) -> dict[str, Tensor]:
    """Random factors in the published files' form: attention, convolutions and the timestep's projections."""
    draw, state = torch.Generator().manual_seed(5), {}
    block = "down_blocks.0"
    for layer in (f"{block}.attentions.0.transformer_blocks.0.attn1.to_q", f"{block}.resnets.0.conv1",
                  f"{block}.resnets.0.time_emb_proj", f"{block}.attentions.0.proj_in"):  # fmt: skip
        weight = unet.get_submodule(layer).weight
        kernel = weight.shape[2:]
        name = "lora_unet_" + layer.replace(".", "_")
        state[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1], *kernel, generator=draw)
        state[f"{name}.lora_up.weight"] = torch.randn(len(weight), 2, *(1 for _ in kernel), generator=draw) * 0.3
        state[f"{name}.alpha"] = torch.tensor(2.0)
    return state


@pytest.mark.parametrize(("name", "scheduler"), [("lcm", LCMScheduler), ("tcd", TCDScheduler)])
@torch.no_grad()
def test_with_its_lora_on_a_stock_pipeline(tiny_sd: Path, name: str, scheduler: Any) -> None:
    ours = MagicPosePipeline.from_pretrained(tiny_sd)
    unet = ours.model.detach()
    base = DDIMScheduler(**SD15_SCHEDULE, steps_offset=1, clip_sample=False, set_alpha_to_one=False)
    stock = StableDiffusionPipeline(
        ours.vae, ours.text_encoder, ours.tokenizer, unet, base, None, None, requires_safety_checker=False
    )
    stock.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    context = ours._text("a b")

    def by_stock() -> Tensor:
        stock.scheduler = scheduler.from_config(base.config)  # as the LoRA's pages say
        return stock(
            "a b", num_inference_steps=4, guidance_scale=1.0, latents=noise.clone(), output_type="latent",
            generator=[torch.Generator().manual_seed(3)], eta=0.3,  # what TCD calls gamma; its scheduler's own default
        ).images  # fmt: skip

    def by_us() -> Tensor:
        model = MagicPoseModel(unet, None, None)
        latents = sample(model, noise, None, None, context, 4, 1.0, scheduler=name, seed=3)
        model.detach()
        return latents

    plain = by_us()
    torch.testing.assert_close(plain, by_stock(), rtol=1e-4, atol=1e-4)
    stock.load_lora_weights(few_step_lora(unet))
    changed = by_us()
    assert float((changed - plain).abs().max()) > 0.01
    torch.testing.assert_close(changed, by_stock(), rtol=1e-4, atol=1e-4)
    stock.unload_lora_weights()
    assert torch.equal(by_us(), plain)
