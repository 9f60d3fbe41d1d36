"""The part of the recorded tensors that lives in the repository: the original's numbers wherever tests run."""

from __future__ import annotations

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from torch import Tensor

from magicpose.checkpoints.original import keys
from magicpose.checkpoints.original.schedule import schedule_buffers
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.motion import attend_over_time

WIDTHS = (32, 64, 96, 96)
LAYOUT = keys.Layout((True, True, True, False), 2)


def translated(subset: dict[str, Tensor], prefix: str, table: keys.Modules) -> dict[str, Tensor]:
    found = {}
    for key, value in subset.items():
        if key.startswith(prefix) and not key.endswith(keys.DUPLICATE_POSITIONS):
            name = keys.translate(key.removeprefix(prefix), keys.reverse(table))
            assert name is not None, key
            found[name] = value.float()
    return found


def test_first_bank_entries(subset: dict[str, Tensor]) -> None:
    """What the branch stores first depends on its first blocks alone; the rest may be anything."""
    unet = UNet2DConditionModel(block_out_channels=WIDTHS, cross_attention_dim=64, attention_head_dim=8)
    weights = translated(subset, "sd.appearance_control_model.", keys.appearance_modules(LAYOUT))
    assert unet.load_state_dict(weights, strict=False).unexpected_keys == []
    with torch.no_grad():
        bank = AppearanceControl(unet)(subset["in.ref_latent"], subset["in.t"], subset["in.context"])
    for n, states in enumerate(list(bank.values())[:2]):
        torch.testing.assert_close(states, subset[f"mid.bank.{n:02d}"], rtol=0, atol=3e-4)


def test_motion_block(subset: dict[str, Tensor]) -> None:
    adapter = MotionAdapter(block_out_channels=WIDTHS, use_motion_mid_block=False, motion_max_seq_length=24)
    weights = translated(subset, "sd.model.diffusion_model.", keys.release_motion_modules(LAYOUT))
    assert adapter.load_state_dict(weights, strict=False).unexpected_keys == []
    block, x = adapter.down_blocks[1].motion_modules[0], subset["in.mm_block_x"]
    with torch.no_grad():
        torch.testing.assert_close(attend_over_time(block, x, 16), subset["out.mm_block_y"], rtol=0, atol=1e-4)
        diffusers_own = block(x, num_frames=16)  # group statistics over the clip: not what AnimateDiff trained
    assert (diffusers_own - subset["out.mm_block_y"]).abs().max() > 0.5


def test_schedule_buffers() -> None:
    """alphas_cumprod at the five timesteps of the recorded DDIM run, bit for bit."""
    recorded = [0.9982960224151611, 0.752143383026123, 0.42288151383399963, 0.1598164439201355, 0.03654652461409569]
    buffers = schedule_buffers()
    assert buffers["alphas_cumprod"][[1, 201, 401, 601, 801]].tolist() == recorded
    assert buffers["alphas_cumprod_prev"][0] == 1
    assert torch.equal(buffers["alphas_cumprod_prev"][1:], buffers["alphas_cumprod"][:-1])
    assert all(value.shape == (1000,) and value.dtype == torch.float32 for value in buffers.values())
    assert all(value.isfinite().all() for value in buffers.values())
    # q(x_{t-1} | x_t, x_0) given x_t = sqrt(a) x_0: its mean is sqrt(a_prev) x_0
    mean = buffers["posterior_mean_coef1"] + buffers["posterior_mean_coef2"] * buffers["sqrt_alphas_cumprod"]
    torch.testing.assert_close(mean, buffers["alphas_cumprod_prev"].sqrt())
