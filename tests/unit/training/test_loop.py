"""The whole loop at tiny size: stages in a row, exact resume after a real kill -9."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from magicpose.errors import UserError
from magicpose.training.config import TrainConfig, build
from magicpose.training.loop import train
from magicpose.training.optimiser import learning_rate
from magicpose.training.rounding import grid_spacing
from training_clips import settings, write_clips

RUN = (
    "import sys; from magicpose.training.config import load_config; from magicpose.training.loop import train; "
    "train(load_config(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


def run(data: Path, output: Path, stage: str, init: tuple[Path, ...] = (), **more: object) -> Path:
    return train(build(TrainConfig, settings(data, output, stage, init, **more), "test"))


def weights(export: Path, part: str) -> dict[str, torch.Tensor]:
    return load_file(next((export / part).glob("*.safetensors")))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_stages_in_a_row(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae")
    joint = run(data, tmp_path / "joint", "joint", (vae,))
    appearance = run(data, tmp_path / "appearance", "appearance", (vae, joint))
    prior = run(data, tmp_path / "prior", "pose_prior", (vae, joint))
    pose = run(data, tmp_path / "pose", "pose", (vae, joint, appearance, prior), precision="bf16")
    base = run(data, tmp_path / "base", "base", (vae,))
    for frozen in ("unet", "vae", "text_encoder"):
        assert same(weights(joint, frozen), weights(pose, frozen)), frozen
    assert not same(weights(joint, "unet"), weights(appearance, "appearance"))
    assert not same(weights(appearance, "appearance"), weights(pose, "appearance"))
    assert not same(weights(joint, "pose_controlnet"), weights(prior, "pose_controlnet"))
    assert not same(weights(prior, "pose_controlnet"), weights(pose, "pose_controlnet"))
    assert not same(weights(joint, "unet"), weights(base, "unet"))
    assert (tmp_path / "pose/sheets/step-000004.png").stat().st_size > 100
    log = [json.loads(line) for line in (tmp_path / "pose/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3, 4]
    assert any("psnr_s2" in line for line in log)


def test_the_average_is_exported_and_not_the_last_weights(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    exported = weights(run(data, tmp_path / "base", "base", (vae,)), "unet")
    average, last = (
        load_file(tmp_path / f"base/checkpoints/step-000004/{kind}.safetensors") for kind in ("ema", "model")
    )
    name = next(name for name in average if name.endswith("unet.conv_in.weight"))
    assert torch.equal(exported["conv_in.weight"], average[name])
    assert not torch.equal(average[name], last[name]), "the two differ after four steps"


def test_stage_one_starts_from_a_fresh_copy_of_the_unet(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    joint = run(data, tmp_path / "joint", "joint", (vae,), steps=1)
    still = {"learning_rate": 0.0}
    stage1 = run(data, tmp_path / "stage1", "appearance", (vae, joint), steps=1, optimizer=still)
    assert same(weights(joint, "unet"), weights(stage1, "appearance"))


def test_only_what_the_patterns_name_is_trained(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    joint = run(data, tmp_path / "joint", "joint", (vae,), steps=1)
    stage1 = run(data, tmp_path / "stage1", "appearance", (vae, joint), steps=3, trained=("*attn1*",))
    before, after = weights(joint, "unet"), weights(stage1, "appearance")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("attn1" in name for name in changed)
    with pytest.raises(UserError, match=r"trained: '\*attn3\*' is the name of nothing"):
        run(data, tmp_path / "stage3", "appearance", (vae, joint), steps=1, trained=("*attn1*", "*attn3*"))


@pytest.mark.parametrize(("every", "at"), [(2, [2, 4]), (3, [3, 4]), (1000, [4])])
def test_each_step_is_validated_once(data: Path, tmp_path: Path, every: int, at: list[int]) -> None:
    run(data, tmp_path / "vae", "vae", steps=4, validation_steps=every)
    log = [json.loads(line) for line in (tmp_path / "vae/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" not in line] == at


def test_resume_after_kill_9_is_exact(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    whole = run(data, tmp_path / "whole", "joint", (vae,), steps=12)
    config = tmp_path / "run.yaml"
    plan = settings(data, tmp_path / "killed", "joint", (vae,), steps=12, checkpoint_minutes=0.0)
    config.write_text(yaml.safe_dump(plan))
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", RUN, str(config)], env=environment, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "killed/checkpoints").glob("step-00000[3-9]")):
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/export").exists()
    subprocess.run([sys.executable, "-c", RUN, str(config)], env=environment, check=True, stdout=subprocess.DEVNULL)
    for part in ("unet", "pose_controlnet", "text_encoder"):
        assert same(weights(whole, part), weights(tmp_path / "killed/export", part)), part
    losses = [
        [line["loss"] for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "loss" in line]
        for folder in (tmp_path / "whole", tmp_path / "killed")
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 12


def test_rounded_weights_lie_on_their_grid_and_learn_there(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    joint = run(data, tmp_path / "joint", "joint", (vae,), steps=4)
    before = weights(joint, "pose_controlnet")
    still = weights(run(data, tmp_path / "still", "pose_prior", (vae, joint), steps=1, rounding=2.0,
                        optimizer={"learning_rate": 0.0}), "pose_controlnet")  # fmt: skip
    moved = weights(run(data, tmp_path / "moved", "pose_prior", (vae, joint), steps=8, rounding=2.0), "pose_controlnet")
    matrices = [name for name, value in before.items() if value.ndim > 1 and value.std(correction=0) > 0]
    assert len(matrices) > 10
    for name in matrices:
        spacing = grid_spacing(before[name], 2.0)
        assert torch.equal(still[name], (before[name] / spacing).round() * spacing), name
        assert torch.equal(moved[name], (moved[name] / spacing).round() * spacing), name
        assert torch.equal(moved[name].half().float(), moved[name]), name
    exact = weights(run(data, tmp_path / "exact", "pose_prior", (vae, joint), steps=8), "pose_controlnet")
    late = run(data, tmp_path / "late", "pose_prior", (vae, joint), steps=8, rounding=2.0, rounding_begins=8)
    for name, value in weights(late, "pose_controlnet").items():  # learned as without, rounded at the end
        spacing = grid_spacing(before[name], 2.0) if name in matrices else 0.0
        assert torch.equal(value, (exact[name] / spacing).round() * spacing if spacing else exact[name]), name
    assert any(not torch.equal(moved[name], weights(late, "pose_controlnet")[name]) for name in matrices)
    vectors = [name for name, value in before.items() if value.ndim == 1]
    assert all(torch.equal(still[name], before[name]) for name in vectors)
    assert any(not torch.equal(moved[name], still[name]) for name in matrices), "nothing was learned below the grid"


def test_a_rounded_run_resumes_on_its_grid(data: Path, tmp_path: Path) -> None:
    """The weights of a checkpoint are the exact ones, and the grid is still that of the start."""
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    more = {"steps": 8, "rounding": 2.0, "rounding_begins": 2, "checkpoint_minutes": 0.0}
    whole = weights(run(data, tmp_path / "joint", "joint", (vae,), **more), "unet")
    shutil.rmtree(tmp_path / "joint/checkpoints/step-000008")
    assert (tmp_path / "joint/checkpoints/step-000007").is_dir()
    assert same(whole, weights(run(data, tmp_path / "joint", "joint", (vae,), **more), "unet"))


def test_a_run_is_not_continued_with_other_settings(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "vae", "vae", steps=1)
    with pytest.raises(UserError, match="another 'seed'"):
        run(data, tmp_path / "vae", "vae", steps=1, seed=3)


def test_missing_init_and_unknown_stage_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="init folder"):
        run(data, tmp_path / "a", "pose", (tmp_path / "absent",))
    with pytest.raises(UserError, match="unknown stage 'posse'"):
        run(data, tmp_path / "b", "posse")


def test_learning_rate_rises_stays_and_falls() -> None:
    settings = {"learning_rate": 1.0, "warmup_steps": 4, "decay_fraction": 0.5}
    config = build(TrainConfig, {"steps": 20, "optimizer": settings}, "x")
    rates = [learning_rate(config, step) for step in range(20)]
    assert rates[0] == 0.25 and rates[3:11] == [1.0] * 8
    assert all(a > b for a, b in itertools.pairwise(rates[10:])) and rates[19] == pytest.approx(0.1)


def test_an_unfinished_run_can_be_exported(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=2)
    plan = settings(data, tmp_path / "vae", "vae", steps=2)
    plan["steps"] = 2
    before = weights(vae, "vae")
    assert same(before, weights(train(build(TrainConfig, plan, "test"), export_only=True), "vae"))
    with pytest.raises(UserError, match="no checkpoint to export"):
        train(build(TrainConfig, settings(data, tmp_path / "none", "vae"), "test"), export_only=True)


def test_two_processes_see_different_data_and_end_with_one_model(data: Path, tmp_path: Path) -> None:
    vae = run(data, tmp_path / "vae", "vae", steps=1)
    alone = run(data, tmp_path / "alone", "joint", (vae,), steps=3)
    cold = write_clips(tmp_path / "cold")
    plan = settings(cold, tmp_path / "two", "joint", (vae,), steps=3)
    config = tmp_path / "two.yaml"
    config.write_text(yaml.safe_dump(plan))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--no_python"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*launch, sys.executable, "-c", RUN, str(config)], env=environment, check=True, capture_output=True, timeout=300
    )
    log = [json.loads(line) for line in (tmp_path / "two/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3]
    assert not same(weights(alone, "unet"), weights(tmp_path / "two/export", "unet"))
    # The mean of two ranks: rank 0 alone would have logged the single run's loss.
    single = [json.loads(line) for line in (tmp_path / "alone/log.jsonl").read_text().splitlines()]
    assert log[0]["loss"] != pytest.approx(single[0]["loss"], rel=1e-3)
