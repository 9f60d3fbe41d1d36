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

from magicpose.acceleration.capacity import frame_bytes, frames_that_fit, free_bytes
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel
from magicpose.sampling import FramePlan, Guidance, bank_bytes, make_scheduler, sample

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def model(tiny_sd: Path) -> MagicPoseModel:
    from magicpose.pipeline import MagicPosePipeline

    return MagicPosePipeline.from_pretrained(tiny_sd).model


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


NOISE, REFERENCE, CONTEXT = draw(1, 4, 8, 8), draw(1, 4, 8, 8, seed=1), draw(1, 8, 16)
MAPS = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(7))


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
        sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 2.0, plan=FramePlan(3, group))
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
        sample(model, draw(4, 4, 8, 8), REFERENCE, MAPS, CONTEXT, 10, guidance=Guidance(2.0, 0.2, 0.5))
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


def test_streaming_hands_out_groups_in_order_and_goes_on_where_it_stopped(model: MagicPoseModel) -> None:
    groups: list[tuple[slice, Tensor]] = []
    progress: list[tuple[int, int]] = []
    whole = sample(
        model, NOISE, REFERENCE, MAPS, CONTEXT, 2, 2.0,
        plan=FramePlan(group=3), on_group=lambda span, latents: groups.append((span, latents)),
        progress=lambda done, total: progress.append((done, total)),
    )  # fmt: skip
    assert [span for span, _ in groups] == [slice(0, 3), slice(3, 4)]
    assert torch.equal(torch.cat([latents for _, latents in groups]), whole)
    assert progress == [(3, 8), (6, 8), (7, 8), (8, 8)]
    rest = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 2, 2.0, plan=FramePlan(group=3), frames_done=3)
    torch.testing.assert_close(rest, whole[3:])


def test_every_step_shows_where_it_leads(model: MagicPoseModel) -> None:
    shown: list[tuple[slice, Tensor]] = []
    whole = sample(
        model, NOISE, REFERENCE, MAPS, CONTEXT, 3, 2.0,
        plan=FramePlan(group=3), on_step=lambda span, latents: shown.append((span, latents)),
    )  # fmt: skip
    assert [span for span, _ in shown] == [slice(0, 3)] * 3 + [slice(3, 4)] * 3
    assert [len(latents) for _, latents in shown] == [3, 3, 3, 1, 1, 1]
    last = torch.cat([shown[2][1], shown[5][1]])
    # the last step keeps the noise that is left at timestep 1: next to nothing
    torch.testing.assert_close(last, whole, rtol=0.1, atol=0.1)
    assert float((shown[0][1] - whole[:3]).norm()) > 5 * float((last - whole).norm())


def test_half_precision_networks_under_a_float32_solver(model: MagicPoseModel) -> None:
    half = copy.deepcopy(model).to(torch.bfloat16)
    wanted = sample(model, NOISE, REFERENCE, MAPS, CONTEXT, 5, 2.0)
    actual = sample(half, NOISE, REFERENCE, MAPS, CONTEXT, 5, 2.0)
    assert actual.dtype == torch.float32
    noise_power = (actual - wanted).square().mean() / wanted.square().mean()
    assert noise_power < 10**-3  # 30 dB
    assert sample(half, NOISE.bfloat16(), REFERENCE, MAPS, CONTEXT, 1, 2.0).dtype == torch.bfloat16


def test_bank_bytes(model: MagicPoseModel) -> None:
    with torch.no_grad():
        bank = model.reference_bank(REFERENCE, torch.tensor([1]), CONTEXT)
    # width 16 at 8x8 latents in both self-attentions outside the middle, 32 at 4x4 in it; see `_networks`
    assert bank_bytes(bank) == 4 * sum(states.shape[1] * states.shape[2] for states in bank.values()) > 0


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
    from magicpose import capacity, hub
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
