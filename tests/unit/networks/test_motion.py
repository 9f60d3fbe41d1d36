"""Temporal modules: in, out, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules
from magicpose.sampling import FramePlan, sample


@pytest.fixture
def unet() -> Any:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
    ).eval()


def moving(unet: Any, **shape: Any) -> MotionModules:
    """Modules that do something: their output projection is not zero."""
    motion = MotionModules.for_unet(unet, **shape).eval()
    for name, parameter in motion.named_parameters():
        if ".proj_out." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return motion


def run(unet: Any, frames: Tensor) -> Tensor:
    context = torch.ones(len(frames), 3, 16)
    with torch.no_grad():
        return unet(frames, torch.full((len(frames),), 500), context).sample


@pytest.fixture
def frames() -> Tensor:
    return torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def test_inserted_and_removed_without_a_trace(unet: Any, frames: Tensor) -> None:
    before, names = run(unet, frames), [name for name, _ in unet.named_modules()]
    weights, processors = {k: v.clone() for k, v in unet.state_dict().items()}, unet.attn_processors
    with moving(unet).insert(unet) as insertion:
        assert unet.state_dict().keys() == weights.keys()
        assert not torch.allclose(run(unet, frames), before, atol=1e-3)
    insertion.remove()
    assert torch.equal(run(unet, frames), before)
    assert [name for name, _ in unet.named_modules()] == names
    assert unet.attn_processors == processors
    assert all(torch.equal(weights[name], value) for name, value in unet.state_dict().items())
    assert not any(module._forward_hooks for module in unet.modules())


def test_removed_even_when_the_call_fails(unet: Any, frames: Tensor) -> None:
    before = run(unet, frames)
    with pytest.raises(ZeroDivisionError), moving(unet).insert(unet):
        raise ZeroDivisionError
    assert torch.equal(run(unet, frames), before)


def test_fresh_modules_change_nothing(unet: Any, frames: Tensor) -> None:
    before = run(unet, frames)
    with MotionModules.for_unet(unet).insert(unet):
        assert torch.equal(run(unet, frames), before)


def test_clips_do_not_see_each_other_but_frames_of_a_clip_do(unet: Any, frames: Tensor) -> None:
    motion = moving(unet)
    other = torch.cat([frames[:2], frames[2:] + 1])
    with motion.insert(unet, clip_frames=2):
        first, second = run(unet, frames), run(unet, other)
    torch.testing.assert_close(first[:2], second[:2], rtol=0, atol=1e-5)
    with motion.insert(unet, clip_frames=4):
        assert not torch.allclose(run(unet, frames)[:2], run(unet, other)[:2], atol=1e-3)
    with motion.insert(unet):  # the whole batch is one clip
        whole = run(unet, frames)
    with motion.insert(unet, clip_frames=4):
        assert torch.equal(whole, run(unet, frames))


def test_order_of_frames_matters(unet: Any, frames: Tensor) -> None:
    with moving(unet).insert(unet):
        assert not torch.allclose(run(unet, frames).flip(0), run(unet, frames.flip(0)), atol=1e-3)


def test_gradients_with_checkpointing_agree(unet: Any, frames: Tensor) -> None:
    motion = moving(unet).train()
    gradients = []
    for checkpointing in (False, True):
        unet.train()
        (unet.enable_gradient_checkpointing if checkpointing else unet.disable_gradient_checkpointing)()
        motion.zero_grad()
        with motion.insert(unet):
            unet(frames, torch.full((4,), 500), torch.ones(4, 3, 16)).sample.square().mean().backward()
        gradients.append([p.grad.clone() for p in motion.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(motion.parameters()))
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_what_does_not_fit_is_refused(unet: Any, frames: Tensor) -> None:
    wide = UNet2DConditionModel.from_config(dict(unet.config) | {"block_out_channels": (32, 96)})
    with pytest.raises(UserError, match=r"widths \[32, 64\] do not fit a UNet of widths \[32, 96\]"):
        moving(unet).insert(wide)
    motion = moving(unet, max_frames=3)
    assert motion.max_frames == 3
    with motion.insert(unet), pytest.raises(UserError, match="at most 3 frames"):
        run(unet, frames)
    with motion.insert(unet, clip_frames=3), pytest.raises(UserError, match="clips must divide the batch"):
        run(unet, frames)
    assert not any(module._forward_hooks for module in unet.modules())


def test_sampling_moves_with_the_modules_and_leaves_none_behind(unet: Any) -> None:
    """Windows shorter than the clip: every frame is visited, and the UNet is plain again afterwards."""
    still = MagicPoseModel(unet, None, None)
    noise, context = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(2)), torch.ones(1, 3, 16)
    plan = FramePlan(window=4, stride=2)
    apart = sample(still, noise, None, None, context, steps=2, guidance_scale=1.0, plan=plan)
    together = sample(
        MagicPoseModel(unet, None, None, moving(unet)),
        noise,
        None,
        None,
        context,
        steps=2,
        guidance_scale=1.0,
        plan=plan,
    )
    assert (together - apart).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    assert torch.equal(sample(still, noise, None, None, context, steps=2, guidance_scale=1.0, plan=plan), apart)
