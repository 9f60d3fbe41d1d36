from pathlib import Path

import pytest

from magicpose.errors import UserError
from magicpose.training.config import TrainConfig, as_plain, build, load_config
from magicpose.training.stages import STAGES

CONFIGS = sorted((Path(__file__).parents[3] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_committed_configuration_reads(path: Path) -> None:
    assert load_config(path).stage in STAGES


def test_resolved_settings_read_back_as_themselves() -> None:
    config = build(
        TrainConfig, {"optimizer": {"betas": [0.9, 0.99]}, "init": ["a", "b"], "loss": {"snr_gamma": 5}}, "x"
    )
    assert build(TrainConfig, as_plain(config), "x") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepz": 3}, "unknown key 'stepz'"),
        ({"optimizer": {"lr": 3}}, "unknown key 'lr'"),
        ({"steps": "many"}, "steps must be of type int"),
        ({"steps": True}, "steps must be of type int"),
        ({"optimizer": {"betas": [1]}}, "betas takes 2 values"),
        ({"data": 3}, "expected keys and values"),
        ({"precision": "fp8"}, "precision must be one of bf16, no"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(TrainConfig, settings, "file.yaml")


def test_overrides_win_and_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("stage: vae\noptimizer: {learning_rate: 1e-3}\n")
    config = load_config(path, {"optimizer.learning_rate": 0.5, "steps": 7})
    assert (config.stage, config.optimizer.learning_rate, config.steps) == ("vae", 0.5, 7)
    assert load_config(path).optimizer.learning_rate == 1e-3  # YAML reads 1e-3 as text
    path.write_text("stage: [")
    with pytest.raises(UserError, match=r"run\.yaml is not readable YAML"):
        load_config(path)
    with pytest.raises(UserError, match="no such training configuration"):
        load_config(tmp_path / "absent.yaml")


def test_stages_train_only_what_they_use() -> None:
    for stage in STAGES.values():
        assert set(stage.trains) <= set(stage.uses)
        assert set(stage.fresh) <= set(stage.uses)
        assert ("appearance" in stage.uses or stage.tied) == stage.reference
        assert ("pose_controlnet" in stage.uses) == stage.pose
