"""What the loop calls, what it keeps, and in which precision it works."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from magicpose.acceleration.capacity import banks_fit, frame_bytes, frames_that_fit, free_bytes
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.schedule import make_scheduler
from magicpose.sampling.guidance import Guidance
from magicpose.sampling.loop import sample, sample_groups
from magicpose.sampling.options import SamplerOptions, StopSampling
from magicpose.sampling.windows import FramePlan, frame_groups

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def model(tiny_sd: Path) -> MagicPoseModel:
    from magicpose.pipeline import MagicPosePipeline

    return MagicPosePipeline.from_pretrained(tiny_sd).model


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


NOISE, REFERENCE, CONTEXT = draw(1, 4, 8, 8), draw(1, 4, 8, 8, seed=1), draw(1, 8, 16)
MAPS = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(7))


def planned(group: int | None, batch: int = 8, **more: Any) -> SamplerOptions:
    """The four frames of `MAPS` in groups of `group`."""
    return SamplerOptions(plan=FramePlan(batch, None if group is None else frame_groups(4, group)), **more)


@contextmanager
def counted(model: MagicPoseModel) -> Iterator[dict[str, int]]:
    """Images that pass through each network, by part."""
    count = {"appearance": 0, "conditional": 0, "unconditional": 0, "pose": 0, "hint": 0}

    def unet(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        count["unconditional" if named["cross_attention_kwargs"] is None else "conditional"] += len(inputs[0])

    def part(name: str) -> Any:
        return lambda _module, inputs: count.__setitem__(name, count[name] + len(inputs[0]))

    assert model.appearance is not None and model.pose_controlnet is not None
    handles = [
        model.unet.register_forward_pre_hook(unet, with_kwargs=True),
        model.appearance.register_forward_pre_hook(part("appearance")),
        model.pose_controlnet.conv_in.register_forward_pre_hook(part("pose")),
        model.pose_controlnet.controlnet_cond_embedding.register_forward_pre_hook(part("hint")),
    ]
    yield count
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("group", [None, 2])
def test_each_network_runs_no_more_than_it_must(model: MagicPoseModel, group: int | None) -> None:
    with counted(model) as count:
        sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 2.0, options=planned(group, batch=3))
    # 5 steps, 4 frames; all frames of a group start alike, so they share the first unconditional prediction
    unconditional = 4 * 4 + (1 if group is None else 2)
    assert count == {"appearance": 5, "conditional": 20, "unconditional": unconditional, "pose": 20, "hint": 4}


def test_guidance_one_never_calls_the_unconditional_net(model: MagicPoseModel) -> None:
    with counted(model) as count:
        sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 1.0)
    assert count["unconditional"] == 0
    assert count["conditional"] == 12


def test_guidance_outside_its_interval_costs_nothing(model: MagicPoseModel) -> None:
    with counted(model) as count:
        sample(
            model,
            draw(4, 4, 8, 8),
            REFERENCE,
            MAPS,
            CONTEXT,
            10,
            options=SamplerOptions(guidance=Guidance(2.0, 0.2, 0.5)),
        )
    assert count["unconditional"] == 3 * 4


def test_the_bank_goes_with_its_timestep(model: MagicPoseModel) -> None:
    alive: list[weakref.ref[Tensor]] = []
    survivors: list[int] = []

    def new_timestep(*_: Any) -> None:
        survivors.append(sum(tensor() is not None for tensor in alive))

    def keep(_module: Any, _inputs: Any, named: dict[str, Any]) -> None:
        bank = named["cross_attention_kwargs"]
        alive.extend(weakref.ref(entry.keys) for entry in (bank["bank"].values() if bank else ()))

    assert model.appearance is not None
    handles = [
        model.appearance.register_forward_pre_hook(new_timestep),
        model.unet.register_forward_pre_hook(keep, with_kwargs=True),
    ]
    sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0)
    for handle in handles:
        handle.remove()
    assert survivors == [0, 0, 0]
    assert len(alive) == 3 * len(model.appearance.unet.attn_processors) // 2


def test_groups_come_in_order_and_any_of_them_may_be_left_out(model: MagicPoseModel) -> None:
    progress: list[tuple[int, int]] = []
    told = planned(3, progress=lambda done, total: progress.append((done, total)))
    groups = list(sample_groups(model, NOISE, REFERENCE, MAPS, CONTEXT, 2, 2.0, options=told))
    assert [span for span, _ in groups] == [slice(0, 3), slice(3, 4)]
    assert progress == [(3, 8), (6, 8), (7, 8), (8, 8)]
    whole = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 2, 2.0)
    torch.testing.assert_close(torch.cat([latents for _, latents in groups]), whole)
    for left in ([slice(3, 4)], [slice(1, 2), slice(3, 4)], [slice(2, 4), slice(0, 2)]):
        told = SamplerOptions(plan=FramePlan(groups=left))
        rest = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 2, 2.0, options=told)
        torch.testing.assert_close(rest, torch.cat([whole[span] for span in left]))


def test_a_group_is_handed_out_before_the_next_one_begins(model: MagicPoseModel) -> None:
    with counted(model) as count:
        groups = sample_groups(model, NOISE, REFERENCE, MAPS, CONTEXT, 2, 1.0, options=planned(1))
        next(groups)
        assert count["conditional"] == 2


@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_the_noise_of_stochastic_steps_does_not_depend_on_the_group(model: MagicPoseModel, name: str) -> None:
    whole = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0, name, SamplerOptions(seed=5))
    parts = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0, name, planned(1, seed=5))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)
    other = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0, name, SamplerOptions(seed=6))
    assert float((other - whole).norm()) > 0.01 * float(whole.norm())


def test_every_step_shows_where_it_leads(model: MagicPoseModel) -> None:
    shown: list[Tensor] = []
    whole = sample(
        model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0, options=planned(3, on_estimate=shown.append)
    )  # fmt: skip
    assert [len(latents) for latents in shown] == [3, 3, 3, 1, 1, 1]
    last = torch.cat([shown[2], shown[5]])
    # the last step keeps the noise that is left at timestep 1: next to nothing
    torch.testing.assert_close(last, whole, rtol=0.1, atol=0.1)
    assert float((shown[0] - whole[:3]).norm()) > 5 * float((last - whole).norm())


def test_a_step_hook_sees_the_latents_after_each_step(model: MagicPoseModel) -> None:
    seen: list[tuple[int, int, Tensor]] = []

    def look(step: int, timestep: Tensor, latents: Tensor) -> None:
        seen.append((step, int(timestep), latents.clone()))

    whole = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0, options=planned(3, on_step=look))
    scheduler = make_scheduler("ddim")
    scheduler.set_timesteps(3)
    assert [(step, t) for step, t, _ in seen] == 2 * list(enumerate(scheduler.timesteps.tolist()))
    assert torch.equal(torch.cat([seen[2][2], seen[5][2]]), whole)
    one = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0)
    torch.testing.assert_close(one, whole)  # looking changes nothing


def test_a_step_hook_may_change_the_latents(model: MagicPoseModel) -> None:
    """What it returns is what the next step starts from: all the frames before the last step become the first."""

    def all_alike(step: int, _timestep: Tensor, latents: Tensor) -> Tensor | None:
        return latents[:1].expand(len(latents), -1, -1, -1) if step == 1 else None

    poses = MAPS[:1].expand(2, -1, -1, -1)
    noise = draw(2, 4, 8, 8)
    plain = sample(model, noise, REFERENCE, poses, CONTEXT, 3, 2.0)
    assert float((plain[0] - plain[1]).abs().max()) > 0.1
    alike = sample(model, noise, REFERENCE, poses, CONTEXT, 3, 2.0, options=SamplerOptions(on_step=all_alike))
    torch.testing.assert_close(alike, plain[:1].expand(2, -1, -1, -1))


def test_a_step_hook_may_stop(model: MagicPoseModel) -> None:
    seen: list[Tensor] = []

    def stop(step: int, _timestep: Tensor, latents: Tensor) -> None:
        seen.append(latents.clone())
        if step == 1:
            raise StopSampling

    with counted(model) as count:
        stopped = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 1.0, options=SamplerOptions(on_step=stop))
    assert count["conditional"] == 2 * 4
    assert torch.equal(stopped, seen[-1])
    groups = list(sample_groups(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 1.0, options=planned(3, on_step=stop)))
    assert [span for span, _ in groups] == [slice(0, 3)]


def test_every_frame_may_have_a_text_of_its_own(model: MagicPoseModel) -> None:
    texts = torch.cat([CONTEXT, -CONTEXT, 2 * CONTEXT, CONTEXT.flip(1)])
    one_by_one = [sample(model, NOISE[:1], None, MAPS[k : k + 1], texts[k : k + 1], 2, 2.0) for k in range(len(texts))]
    together = sample(model, NOISE[:1], None, MAPS, texts, 2, 2.0, options=planned(2, batch=3))
    assert torch.allclose(together, torch.cat(one_by_one), atol=1e-4)
    assert not torch.allclose(together[:1], together[1:2], atol=1e-2)


def test_a_scheduler_is_a_template_that_stays_as_it_was(model: MagicPoseModel) -> None:
    """Its multistep memory and timesteps would reach the next clip, and the next group of this one."""
    scheduler = make_scheduler("dpm++2m")
    first = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 1.0, scheduler, planned(2))
    assert scheduler.num_inference_steps is None and scheduler.lower_order_nums == 0
    assert torch.equal(first, sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 1.0, scheduler, planned(2)))


def test_an_impossible_plan_is_refused() -> None:
    with pytest.raises(UserError, match="the batch must be at least 1, not 0"):
        FramePlan(batch=0)
    with pytest.raises(UserError, match="unknown windows 'square': choose one of ring, plain"):
        FramePlan(windows="square")


def test_half_precision_networks_under_a_float32_solver(model: MagicPoseModel) -> None:
    half = copy.deepcopy(model).to(torch.bfloat16)
    wanted = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 2.0)
    actual = sample(half, NOISE, REFERENCE, MAPS, CONTEXT, 5, 2.0)
    assert actual.dtype == torch.float32
    noise_power = (actual - wanted).square().mean() / wanted.square().mean()
    assert noise_power < 10**-3  # 30 dB
    assert sample(half, NOISE.bfloat16(), REFERENCE, MAPS, CONTEXT, 1, 2.0).dtype == torch.bfloat16


def test_banks_are_kept_only_where_memory_allows(model: MagicPoseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        bank = model.reference_bank(REFERENCE, torch.tensor([1]), CONTEXT)
    assert banks_fit(bank, 50) and not banks_fit(bank, 10**9)
    size = 4 * sum(states.numel() for states in bank.values())
    for free, passes in ((10 * 5 * size, 5), (10 * 4 * size, 2 * 5)):
        monkeypatch.setattr("magicpose.acceleration.capacity.free_bytes", lambda _, free=free: free)
        with counted(model) as count:
            sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 1.0, options=planned(2, batch=1))
        assert count["appearance"] == passes


def test_the_recording_branch_stops_after_its_last_record(model: MagicPoseModel) -> None:
    assert model.appearance is not None
    unet = model.appearance.unet
    last = next(p for p in unet.attn_processors.values() if p.last)
    calls: list[str] = []
    layer = unet.get_submodule(last.name)
    handle = layer.to_q.register_forward_pre_hook(lambda *_: calls.append("to_q"))
    with torch.no_grad():
        bank = model.reference_bank(REFERENCE, torch.tensor([1]), CONTEXT)
        assert calls == []
        unet(REFERENCE, 1, CONTEXT)  # not recording: an ordinary UNet
    handle.remove()
    assert list(bank)[-1] == last.name
    assert calls == ["to_q"]


def test_an_unknown_scheduler_is_named() -> None:
    with pytest.raises(UserError, match="unknown scheduler 'euler99': choose one of ddim"):
        make_scheduler("euler99")


def test_the_containers_limit_counts(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_bytes(cpu, tmp_path) == free_bytes(cgroup=tmp_path) == 3000
    (tmp_path / "memory.stat").write_text("anon 1200\nactive_file 300\ninactive_file 500\n")
    assert free_bytes(cpu, tmp_path) == 3800, "pages of files are given up for memory"
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(cpu, tmp_path) > 3000
    assert free_bytes(cpu, tmp_path / "none") > 3000


def test_a_container_of_the_first_kind(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("5000\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("2000\n")
    (tmp_path / "memory/memory.stat").write_text("total_inactive_file 700\ninactive_file 400\n")
    assert free_bytes(cgroup=tmp_path) == 3700


def test_every_check_of_memory_knows_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container allows 1000 bytes, whatever the machine has."""
    from magicpose.acceleration import capacity
    from magicpose.checkpoints import hub
    from magicpose.checkpoints.original.weight_files import check_memory

    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("0\n")
    monkeypatch.setattr(capacity.free_bytes, "__defaults__", (None, tmp_path))
    check_memory(1000, "x")
    with pytest.raises(UserError, match="of memory"):
        check_memory(1001, "x")
    with pytest.raises(UserError, match="of memory"):
        hub.check_complete(hub.EMBEDDED["tiny"].folder, "tiny")


def test_frames_that_fit(model: MagicPoseModel) -> None:
    assert frame_bytes(model, 16, 8) == 2 * frame_bytes(model, 8, 8)
    assert frames_that_fit(model, 8, 8) > 100
    assert frames_that_fit(model, 1_000_000, 1_000_000) == 1
