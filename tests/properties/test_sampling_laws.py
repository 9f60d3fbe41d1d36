"""Speed changes no frame: any way of sharing the work gives what the plain loop gives, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from magicpose.networks.attend import attend_in_slices, train_in_slices
from magicpose.networks.model import MagicPoseModel
from magicpose.sampling import FramePlan, Guidance, make_scheduler, sample

pytestmark = pytest.mark.filterwarnings("ignore")
few = settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking an example takes minutes and tells nothing here
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALE = 3.0


def same(actual: Tensor, wanted: Tensor) -> bool:
    """Equal to float32 rounding, on the scale of the largest value (latents of random networks reach 50)."""
    return bool((actual - wanted).abs().max() <= 1e-5 * wanted.abs().max())


@pytest.fixture(scope="module")
def model(tiny_sd: Path) -> MagicPoseModel:
    from magicpose.pipeline import MagicPosePipeline

    return MagicPosePipeline.from_pretrained(tiny_sd).model


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def maps(frames: int) -> Tensor:
    return torch.rand(frames, 3, 64, 64, generator=torch.Generator().manual_seed(7))


NOISE, REFERENCE, OTHER, CONTEXT = draw(1, 4, 8, 8), draw(1, 4, 8, 8, seed=1), draw(1, 4, 8, 8, seed=2), draw(1, 8, 16)


@torch.no_grad()
def plain_loop(
    model: MagicPoseModel, noise: Tensor, references: list[Tensor], pose: Tensor, steps: int, guidance: Guidance,
    name: str = "ddim",
) -> Tensor:  # fmt: skip
    """The oracle: one frame after the other, everything anew at each step."""
    frames = []
    for index in range(len(pose)):
        scheduler, x = make_scheduler(name), noise[index % len(noise)][None]
        scheduler.set_timesteps(steps)
        for step, t in enumerate(scheduler.timesteps):
            banks = [model.reference_bank(reference, t[None], CONTEXT) for reference in references]
            bank = {layer: torch.cat([each[layer] for each in banks], dim=1) for layer in banks[0]}
            prediction = model(x, t[None], CONTEXT, bank=bank, pose=pose[index : index + 1])
            if guidance.start <= (step + 0.5) / steps <= guidance.stop:
                u = model(x, t[None], CONTEXT)
                prediction = u + guidance.scale * (prediction - u)
            x = scheduler.step(prediction, t, x).prev_sample
        frames.append(x)
    return torch.cat(frames)


@few
@given(
    frames=st.integers(1, 4),
    shared=st.booleans(),
    references=st.integers(1, 2),
    batch=st.integers(1, 5),
    group=st.none() | st.integers(1, 5),
    name=st.sampled_from(["ddim", "dpm++2m", "unipc"]),
    stop=st.sampled_from([1.0, 0.5]),
)
def test_any_plan_gives_the_plain_loop(
    model: MagicPoseModel, frames: int, shared: bool, references: int, batch: int, group: int | None, name: str,
    stop: float,
) -> None:  # fmt: skip
    noise = NOISE if shared else draw(frames, 4, 8, 8, seed=3)
    people, pose, guidance = [REFERENCE, OTHER][:references], maps(frames), Guidance(SCALE, stop=stop)
    fast = sample(
        model, noise, people, pose, CONTEXT, 3, scheduler=name, guidance=guidance, plan=FramePlan(batch, group)
    )
    assert same(fast, plain_loop(model, noise, people, pose, 3, guidance, name))


@few
@given(order=st.permutations(range(4)), name=st.sampled_from(["ddim", "lcm", "tcd"]))
def test_a_frame_does_not_depend_on_its_company(model: MagicPoseModel, order: list[int], name: str) -> None:
    pose = maps(4)
    together = sample(model, NOISE, REFERENCE, pose, CONTEXT, 2, SCALE, name)
    shuffled = sample(model, NOISE, REFERENCE, pose[order], CONTEXT, 2, SCALE, name, plan=FramePlan(3))
    assert same(shuffled, together[order])
    alone = sample(model, NOISE, REFERENCE, pose[order[:1]], CONTEXT, 2, SCALE, name)
    assert same(alone, together[order[:1]])


@few
@given(first=st.integers(0, 100), second=st.integers(101, 200))
def test_several_references_are_their_banks_joined_in_any_order(model: MagicPoseModel, first: int, second: int) -> None:
    people = [draw(1, 4, 8, 8, seed=first), draw(1, 4, 8, 8, seed=second)]
    forth = sample(model, NOISE, people, maps(1), CONTEXT, 2, SCALE)
    back = sample(model, NOISE, people[::-1], maps(1), CONTEXT, 2, SCALE)
    assert same(forth, back)
    assert not same(forth, sample(model, NOISE, people[:1], maps(1), CONTEXT, 2, SCALE))


@few
@given(t=st.integers(0, 999), batch=st.integers(1, 3))
def test_a_projected_bank_is_the_bank(model: MagicPoseModel, t: int, batch: int) -> None:
    x, timestep = draw(batch, 4, 8, 8, seed=t), torch.tensor([t])
    with torch.no_grad():
        bank = model.reference_bank(REFERENCE, timestep, CONTEXT)
        states = model(x, timestep.expand(batch), CONTEXT, bank=bank)
        projected = model(x, timestep.expand(batch), CONTEXT, bank=model.project_bank(bank))
        without = model(x, timestep.expand(batch), CONTEXT)
    assert same(projected, states)
    assert not same(projected, without)


any_attention = given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    queries=st.integers(1, 80),
    keys=st.integers(1, 70_000),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)


@few
@any_attention
def test_attention_in_slices_is_attention(batch: int, heads: int, queries: int, keys: int, dtype: torch.dtype) -> None:
    q, k, v = (draw(batch, heads, n, 4, seed=n).to(dtype) for n in (queries, keys, keys))
    wanted = torch.softmax(q.double() @ k.double().transpose(-1, -2) / 2, dim=-1) @ v.double()
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    assert (attend_in_slices(q, k, v) - wanted).abs().max() <= tolerance * v.abs().max()


@few
@any_attention
def test_its_gradients_are_those_of_attention(
    batch: int, heads: int, queries: int, keys: int, dtype: torch.dtype
) -> None:
    sources = [draw(batch, heads, n, 4, seed=n).to(dtype).requires_grad_() for n in (queries, keys, keys)]
    towards = draw(batch, heads, queries, 4, seed=1)
    attended = train_in_slices(*sources)
    found = torch.autograd.grad((attended * towards).sum(), sources)
    q, k, v = exact = [x.detach().double().requires_grad_() for x in sources]
    wanted = torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1) @ v
    expected = torch.autograd.grad((wanted * towards).sum(), exact)
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for actual, truth in zip((attended, *found), (wanted, *expected), strict=True):
        assert (actual - truth).norm() <= tolerance * max(float(truth.norm()), 1e-3)
