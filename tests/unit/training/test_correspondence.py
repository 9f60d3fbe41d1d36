"""Where attention should look in the reference, and the loss that says so."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from magicpose.errors import UserError
from magicpose.networks.attention import Match
from magicpose.training.config import TrainConfig, build
from magicpose.training.correspondence import _coarser, correspondence_loss, matches
from magicpose.training.loop import train
from training_clips import settings, write_clips


def test_a_patch_that_moved_is_found_where_it_was() -> None:
    reference = np.full((8, 8, 3), np.nan, np.float32)
    patch = np.random.default_rng(0).uniform(-1, 1, (3, 2, 3)).astype(np.float32)  # places far from each other
    reference[1:4, 2:4] = patch
    target = np.full((8, 8, 3), np.nan, np.float32)
    target[4:7, 5:7] = patch + 0.001
    found = matches(target, reference, 4)
    assert found.shape == (16, 4)
    expected = np.full((8, 8), -1)
    expected[4:7, 5:7] = [[0 * 4 + 1, 0 * 4 + 1], [1 * 4 + 1, 1 * 4 + 1], [1 * 4 + 1, 1 * 4 + 1]]
    for cell in range(16):
        y, x = divmod(cell, 4)
        assert sorted(found[cell]) == sorted(expected[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel())


def test_what_the_reference_does_not_show_has_no_match() -> None:
    reference, target = np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.float32)
    target[0, 0] = 0.05
    target[3, 3] = np.nan
    found = matches(target, reference, 4)
    assert found[0] == -1 and found[15] == -1 and (found[1:15] >= 0).all()
    assert (matches(target, np.full_like(reference, np.nan), 4) == -1).all()


def test_places_that_do_not_fit_the_latents_are_refused() -> None:
    places = np.zeros((6, 6, 3), np.float32)
    with pytest.raises(UserError, match="6x6 places do not fit 4x4 latents"):
        matches(places, places, 4)


def test_coarser_grids_hold_the_same_votes() -> None:
    fine = torch.arange(16).reshape(1, 16, 1)
    fine[0, 5] = -1
    coarse = _coarser(fine, 2)
    assert coarse.shape == (1, 4, 4)
    assert coarse[0].tolist() == [[0, 0, 0, -1], [1] * 4, [2] * 4, [3] * 4]


def test_the_loss_is_small_where_one_head_looks_at_the_right_cell() -> None:
    wanted = torch.tensor([[[3], [-1], [0], [1]]])
    key = torch.eye(4)[None] * 20
    right = torch.eye(4)[None, [3, 0, 0, 1]] * 20
    wrong = torch.eye(4)[None, [0, 0, 1, 2]] * 20

    def loss(query: torch.Tensor, layer: str = "up_blocks.0.attn1") -> float:
        two_heads = Match(torch.cat([query, torch.zeros_like(query)], -1), torch.cat([key, key], -1), 2)
        return float(correspondence_loss({layer: two_heads, "mid_block.attn1": Match(wrong, key, 1)}, wanted))

    # the second head spreads its look over four cells: (1 + 1/4) / 2
    assert loss(right) == pytest.approx(-np.log(0.625), abs=1e-3)
    assert loss(wrong) == pytest.approx(-np.log(0.125), abs=1e-2)


def test_training_learns_where_to_look(tmp_path: Path) -> None:
    data = write_clips(tmp_path / "clips")
    train(_joint(data, tmp_path, steps=40, log_steps=10, loss={"correspondence_weight": 1.0}))
    lines = [json.loads(line) for line in (tmp_path / "joint/log.jsonl").read_text().splitlines()]
    surprise = [line["correspondence"] for line in lines if "correspondence" in line]
    assert len(surprise) == 4 and surprise[-1] < 0.9 * surprise[0]


def test_clips_without_places_are_named(tmp_path: Path) -> None:
    data = write_clips(tmp_path / "clips", clips=1)
    (data / "0000/places.npz").unlink()
    with pytest.raises(UserError, match=r"0000/places.npz .*--places"):
        train(_joint(data, tmp_path, loss={"correspondence_weight": 0.1}))


def _joint(data: Path, folder: Path, **more: object) -> TrainConfig:
    """A joint run that never drops its conditions, after a run of the autoencoder."""
    vae: TrainConfig = build(TrainConfig, settings(data, folder / "vae", "vae"), "")
    more = {"conditions": {"drop": 0.0}, **more}
    joint: TrainConfig = build(TrainConfig, settings(data, folder / "joint", "joint", (train(vae),), **more), "")
    return joint
