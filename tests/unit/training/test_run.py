"""Runs as their users see them: what is logged and reported, accumulation, checkpointed gradients, dry runs, faults."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from magicpose.cli import main
from magicpose.errors import UserError
from magicpose.progress import Progress
from magicpose.training import loop
from magicpose.training.config import DataConfig, TrainConfig, build
from magicpose.training.dry_run import describe
from magicpose.training.loop import train
from training_clips import settings, write_clips


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def vae(data: Path) -> Path:
    return run(data, data.parent / "vae", "vae", steps=1)


def config_for(data: Path, output: Path, stage: str, init: tuple[Path, ...] = (), **more: object) -> TrainConfig:
    config: TrainConfig = build(TrainConfig, settings(data, output, stage, init, **more), "test")
    return config


def run(data: Path, output: Path, stage: str, init: tuple[Path, ...] = (), **more: object) -> Path:
    return train(config_for(data, output, stage, init, **more))


def log(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def weights(export: Path) -> dict[str, torch.Tensor]:
    return {f"{p.parent.name}.{k}": v for p in export.glob("*/*.safetensors") for k, v in load_file(p).items()}


class Listener:
    def __init__(self) -> None:
        self.stages: dict[str, list[tuple[int, int]]] = {}
        self.lines: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        calls = self.stages.setdefault(name, [])
        yield lambda done, total: calls.append((done, total))

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_a_reporter_hears_of_the_work_and_of_the_log(data: Path, vae: Path, tmp_path: Path) -> None:
    listener = Listener()
    cold = write_clips(tmp_path / "cold", clips=2)
    train(config_for(cold, tmp_path / "joint", "joint", (vae,), steps=3), report=listener)
    assert listener.stages["joint"] == [(1, 3), (2, 3), (3, 3)]
    assert listener.stages["latents"] == [(1, 2), (2, 2)] * 2  # training and validation clips
    assert listener.lines[0].startswith("step 1 loss ") and len(listener.lines) == len(log(tmp_path / "joint"))


def test_a_library_call_prints_nothing(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(data, tmp_path / "vae", "vae", steps=1)
    assert capfd.readouterr().out == ""


def test_rate_and_memory_are_logged(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "vae", "vae", steps=4)
    lines = [line for line in log(tmp_path / "vae") if "loss" in line]
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.005, 0.01, 0.01, 0.005])
    assert all(0.05 < line["peak_memory_gib"] < 64 for line in lines)


def test_accumulated_batches_are_those_of_single_steps(data: Path, vae: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 0.0}
    run(data, tmp_path / "single", "joint", (vae,), steps=6, optimizer=still)
    batch = {"clips": 2, "targets": 2, "accumulate": 3}
    run(data, tmp_path / "three", "joint", (vae,), steps=2, optimizer=still, batch=batch)
    single, three = ([line["loss"] for line in log(tmp_path / n) if "loss" in line] for n in ("single", "three"))
    assert three == pytest.approx([sum(single[:3]) / 3, sum(single[3:]) / 3], rel=1e-5)


def test_an_accumulated_gradient_is_the_mean(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By plain descent, which shows the size of a gradient: the mean of three steps from one start."""

    def descend(settings: object, trained: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(trained.values(), lr=0.1)

    monkeypatch.setattr(loop, "make_optimizer", descend)
    more: dict[str, Any] = {"ema_decay": 0.0, "optimizer": {"learning_rate": 0.1, "clip_norm": 1e9}}

    def after(name: str, steps: int, **other: Any) -> dict[str, torch.Tensor]:
        run(data, tmp_path / name, "vae", steps=steps, **(more | other))
        return load_file(tmp_path / name / f"checkpoints/step-{steps:06d}/model.safetensors")

    still = {"learning_rate": 0.0, "clip_norm": 1e9}
    start = after("start", 1, optimizer=still)
    moves = []
    for step in range(3):  # warm-up in place of a schedule: all steps but one have rate zero
        rates = [0.1 if at == step else 0.0 for at in range(3)]
        monkeypatch.setattr(loop, "learning_rate", lambda config, at, rates=rates: rates[at])
        moves.append(after(f"only{step}", 3))
    monkeypatch.setattr(loop, "learning_rate", lambda config, at: 0.1)
    together = after("together", 1, batch={"clips": 2, "targets": 2, "accumulate": 3})
    for name, value in together.items():
        mean = torch.stack([move[name] for move in moves]).mean(0)
        torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(start[name], together[name]) for name in start)


def test_checkpointed_gradients_are_the_same(data: Path, vae: Path, tmp_path: Path) -> None:
    plain = run(data, tmp_path / "plain", "joint", (vae,), steps=3)
    saving = run(data, tmp_path / "saving", "joint", (vae,), steps=3, gradient_checkpointing=True)
    first, second = weights(plain), weights(saving)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5, msg=name)
    losses = [[line["loss"] for line in log(tmp_path / name) if "loss" in line] for name in ("plain", "saving")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(UserError, match="gradient_checkpointing: no part of stage vae can do it"):
        run(data, tmp_path / "none", "vae", gradient_checkpointing=True)


def test_checkpointed_gradients_keep_fewer_activations(data: Path, vae: Path) -> None:
    def kept(saving: bool) -> int:
        config = config_for(data, data.parent / "x", "joint", (vae,), gradient_checkpointing=saving)
        from magicpose.progress import Silent
        from magicpose.training.setup import make_accelerator, set_up
        from magicpose.training.stages import STAGES

        setup = set_up(config, torch.device("cpu"))
        setup.task.prepare(setup.clips, torch.device("cpu"), make_accelerator(STAGES["joint"]), Silent())
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            batch = next(b for b in (setup.task.batch(n, 0) for n in range(50)) if b.pose is not None)
            setup.task.objective(batch)
        return sum(sizes)

    assert kept(True) < 0.6 * kept(False)


def test_settings_that_came_later_do_not_stop_a_run(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "vae", "vae", steps=1)
    stored = tmp_path / "vae/config.yaml"
    old = yaml.safe_load(stored.read_text())
    del old["gradient_checkpointing"], old["batch"]["accumulate"], old["data"]["latents"]
    stored.write_text(yaml.safe_dump(old))
    run(data, tmp_path / "vae", "vae", steps=1)
    with pytest.raises(UserError, match="another 'batch'"):
        run(data, tmp_path / "vae", "vae", steps=1, batch={"clips": 2, "targets": 2, "accumulate": 2})


def test_latents_may_be_kept_elsewhere(vae: Path, tmp_path: Path) -> None:
    data = write_clips(tmp_path / "data", clips=1)
    where = {"train": str(data), "validation": str(data), "size_px": 32, "latents": str(tmp_path / "cache")}
    train(
        replace(config_for(data, tmp_path / "joint", "joint", (vae,), steps=1), data=build(DataConfig, where, "test"))
    )
    assert list((tmp_path / "cache").glob("latents-*/*.safetensors")) and not list(data.glob("latents-*"))


def test_a_frame_that_cannot_be_read_costs_no_step(tmp_path: Path) -> None:
    data = write_clips(tmp_path / "data", clips=1, frames=12)
    path = data / "0000/0007.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(UserError, match=r"0007.png is damaged or cut short"):
        run(data, tmp_path / "vae", "vae", steps=40, batch={"clips": 1, "targets": 1})
    (kept,) = (tmp_path / "vae/checkpoints").glob("step-*")
    made = int(kept.name.removeprefix("step-"))
    assert made == len(log(tmp_path / "vae")) and made < 40
    path.write_bytes(whole)
    run(data, tmp_path / "vae", "vae", steps=40, batch={"clips": 1, "targets": 1})
    assert [line["step"] for line in log(tmp_path / "vae") if "loss" in line] == list(range(1, 41))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"batch": {"clips": 0}}, "batch.clips must be at least 1, not 0"),
        ({"batch": {"accumulate": 0}}, "batch.accumulate must be at least 1, not 0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"log_steps": -1}, "log_steps must be at least 1, not -1"),
        ({"data": {"size_px": 30}}, "data.size_px must be a multiple of 8 for this autoencoder, not 30"),
    ],
)
def test_impossible_numbers_are_named(data: Path, tmp_path: Path, more: dict[str, Any], message: str) -> None:
    plan = settings(data, tmp_path / "out", "vae")
    for key, value in more.items():
        plan[key] = {**plan[key], **value} if isinstance(value, dict) else value
    with pytest.raises(UserError, match=message):
        train(build(TrainConfig, plan, "test"))
    with pytest.raises(UserError, match=message):
        describe(build(TrainConfig, plan, "test"))
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_and_writes_nothing(data: Path, vae: Path, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    muon = {"kind": "muon", "learning_rate": 0.01}
    more: dict[str, Any] = {"steps": 30, "optimizer": muon, "batch": {"clips": 2, "targets": 2, "accumulate": 2}}
    config = config_for(data, tmp_path / "joint", "joint", (vae,), **more)
    text = "\n".join(describe(config))
    for words in (
        "3 clips, 12 frames of 32x32", "30, each of 8 pictures", "2 clips x 2 frames, 2 batches summed",
        "every frame 20 times", "muon, learning rate 0.01, seed 0", "a new run",
    ):  # fmt: skip
        assert words in text, text
    exported = weights(run(data, tmp_path / "really", "joint", (vae,), **(more | {"steps": 1})))
    trained = sum(
        v.numel() for k, v in exported.items() if k.split(".")[0] in ("unet", "text_encoder", "pose_controlnet")
    )
    stated = next(line for line in text.splitlines() if line.startswith("parameters")).split()[1:3]
    assert float(stated[0]) == pytest.approx(trained / (1e6 if stated[1] == "M" else 1), abs=0.06)
    assert "unet" in text and "vae 0 of" in text
    assert before == sorted(path for path in tmp_path.rglob("*") if "really" not in str(path))


def test_dry_run_and_seed_on_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings(data, tmp_path / "out", "vae", steps=1)))
    with pytest.raises(SystemExit) as ended:
        main(["train", str(path), "--dry-run", "--seed", "7"])
    assert ended.value.code == 0 and "seed 7" in capsys.readouterr().out and not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        main(["train", str(path), "--seed", "7"])
    assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["seed"] == 7
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["train", str(path), "--dry-run", "--seed", "7"])
    assert "would continue from step-000001" in capsys.readouterr().out
