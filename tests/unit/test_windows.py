"""Overlap windows: as the release cuts them, on a ring and plainly, with motion modules that mix frames."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import MotionAdapter
from torch import Tensor

from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules
from magicpose.networks.schedule import make_scheduler
from magicpose.sampling.loop import sample
from magicpose.sampling.options import SamplerOptions
from magicpose.sampling.windows import FramePlan, PlainWindows, RingWindows, Window

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS, SCALE, SEED = 2, 3.0, 4


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


REFERENCE, CONTEXT = draw(1, 4, 8, 8, seed=1), draw(1, 8, 16)


@pytest.fixture(scope="module")
def model(tiny_sd: Path) -> MagicPoseModel:
    """Real networks with real motion modules whose output is not zero: a frame depends on its window."""
    from magicpose.pipeline import MagicPosePipeline

    still = MagicPosePipeline.from_pretrained(tiny_sd).model
    torch.manual_seed(3)
    adapter = MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        motion_max_seq_length=24,
        use_motion_mid_block=False,
    )
    for name, parameter in adapter.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3 if ".proj_out." in name else 0.5)
    return MagicPoseModel(still.unet, still.appearance, still.pose_controlnet, MotionModules(adapter.eval()))


def maps(frames: int) -> Tensor:
    return torch.rand(frames, 3, 64, 64, generator=torch.Generator().manual_seed(7))


Cut = list[tuple[list[int], list[float]]]


@torch.no_grad()
def oracle(model: MagicPoseModel, noise: Tensor, pose: Tensor, cuts: list[Cut]) -> Tensor:
    """Every window guided by itself, frames averaged over their windows, one solver step for all frames."""
    scheduler, x = make_scheduler("ddim"), noise.clone()
    scheduler.set_timesteps(STEPS)
    assert isinstance(model.motion, MotionModules)
    for t, cut in zip(scheduler.timesteps, cuts, strict=True):
        bank = model.reference_bank(REFERENCE, t[None], CONTEXT)
        total, visits = torch.zeros_like(x), torch.zeros(len(x), 1, 1, 1)
        for frames, weights in cut:
            with model.motion.insert(model.unet, clip_frames=len(frames)):
                c = model(x[frames], t[None], CONTEXT, bank=bank, pose=pose[frames])
                u = model(x[frames], t[None], CONTEXT)
            weight = torch.tensor(weights)[:, None, None, None]
            total[frames] += weight * (u + SCALE * (c - u))
            visits[frames] += weight
        x = scheduler.step(total / visits, t, x).prev_sample
    return x


def released(frames: int) -> list[Cut]:
    """The windows of the release's p_sample_ddim, a fresh offset for every step."""
    offsets, cuts = torch.Generator().manual_seed(SEED), []
    for _ in range(STEPS):
        o = int(torch.randint(frames, (1,), generator=offsets))
        starts = range(o, o + frames - 3, 12)
        cuts.append([([(start + k) % frames for k in range(16)], [1.0] * 16) for start in starts])
    return cuts


def ours(model: MagicPoseModel, noise: Tensor, pose: Tensor, windows: Any = "ring") -> Tensor:
    options = SamplerOptions(SEED, plan=FramePlan(batch=3, windows=windows))
    return sample(model, noise, REFERENCE, pose, CONTEXT, STEPS, SCALE, options=options)


def same(actual: Tensor, wanted: Tensor) -> bool:
    return bool((actual - wanted).abs().max() <= 1e-4 * wanted.abs().max())


@pytest.mark.parametrize("frames", [16, 24, 25, 40])
def test_ring_windows_are_the_releases(model: MagicPoseModel, frames: int) -> None:
    noise, pose = draw(frames, 4, 8, 8), maps(frames)
    found = ours(model, noise, pose)
    assert same(found, oracle(model, noise, pose, released(frames)))
    # the oracle tells other rules apart: no offset, and every frame as a clip of its own
    still = [[([k % frames for k in range(start, start + 16)], [1.0] * 16) for start in range(0, frames - 3, 12)]]
    assert not same(found, oracle(model, noise, pose, still * STEPS))
    assert not same(found, oracle(model, noise, pose, [[([k], [1.0]) for k in range(frames)]] * STEPS))


@pytest.mark.parametrize("windows", ["ring", "plain"])
def test_a_short_clip_is_one_window_in_order(model: MagicPoseModel, windows: str) -> None:
    noise, pose = draw(9, 4, 8, 8), maps(9)
    whole: Cut = [(list(range(9)), [1.0] * 9)]
    assert same(ours(model, noise, pose, windows), oracle(model, noise, pose, [whole] * STEPS))


def test_plain_windows_keep_the_order_and_fade_into_each_other(model: MagicPoseModel) -> None:
    noise, pose = draw(26, 4, 8, 8), maps(26)
    cut: Cut = [  # a second window at 12 would end after the clip: it is shifted back to 10
        (list(range(16)), [1.0] * 10 + [(6 - k) / 7 for k in range(6)]),
        (list(range(10, 26)), [(k + 1) / 7 for k in range(6)] + [1.0] * 10),
    ]
    assert same(ours(model, noise, pose, "plain"), oracle(model, noise, pose, [cut] * STEPS))


def test_a_schedule_of_ones_own(model: MagicPoseModel) -> None:
    """The weights are the schedule's, and they need not sum to one."""

    class Own:
        def cut(self, frames: int, offset: int) -> list[Window]:
            return [Window(tuple(range(frames)), (2.0,) * frames), Window((4, 2, 0), (1.0, 0.5, 0.25))]

    noise, pose = draw(5, 4, 8, 8), maps(5)
    cut: Cut = [(list(range(5)), [2.0] * 5), ([4, 2, 0], [1.0, 0.5, 0.25])]
    assert same(ours(model, noise, pose, Own()), oracle(model, noise, pose, [cut] * STEPS))


@pytest.mark.parametrize("frames", range(16, 60))
def test_rings_visit_every_frame(frames: int) -> None:
    for offset in (0, 1, frames - 1):
        windows = RingWindows().cut(frames, offset)
        assert [window.frames[0] for window in windows] == [s % frames for s in range(offset, offset + frames - 3, 12)]
        assert {k for window in windows for k in window.frames} == set(range(frames))
        assert all(len(set(window.frames)) == 16 for window in windows)


@pytest.mark.parametrize("frames", range(1, 60))
def test_plain_windows_visit_every_frame_and_cross_no_seam(frames: int) -> None:
    windows = PlainWindows().cut(frames, offset=5)
    starts = [window.frames[0] for window in windows]
    assert starts[0] == 0 and windows[-1].frames[-1] == frames - 1
    assert all(b - a == 12 for a, b in itertools.pairwise(starts[:-1])) and len(set(starts)) == len(starts)
    for window in windows:
        assert window.frames == tuple(range(window.frames[0], window.frames[0] + min(16, frames)))
    assert {k for window in windows for k in window.frames} == set(range(frames))
    total = [sum(w.weights[k - w.frames[0]] for w in windows if k in w.frames) for k in range(frames)]
    if len(windows) < 3:
        assert total == pytest.approx([1.0] * frames)
    assert windows[0].weights[0] == windows[-1].weights[-1] == 1.0


def test_another_familys_schedule_is_a_row() -> None:
    """24 frames every 20, always the same."""
    ring = RingWindows(24, 20, random_offset=False)
    assert [w.frames[0] for w in ring.cut(60, 7)] == [0, 20, 40]
    assert [w.frames[0] for w in PlainWindows(24, 20).cut(60, 7)] == [0, 20, 36]
    for size, stride in ((16, 17), (16, 0)):
        for kind in (RingWindows, PlainWindows):
            with pytest.raises(UserError, match="stride must be between 1 and the size"):
                kind(size, stride)
