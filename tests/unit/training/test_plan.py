"""Plans: functions of seed, number and rank; what a stage draws; masks with the right probabilities."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from magicpose.training.config import TrainConfig, build
from magicpose.training.data.plan import LatentPlan, plan_images, plan_latents
from magicpose.training.stages import STAGES, Stage

LENGTHS, SHAPE = [5, 9, 3], (2, 4, 4)


def config_for(**more: object) -> TrainConfig:
    config: TrainConfig = build(TrainConfig, {"batch": {"clips": 4, "targets": 3}, "seed": 5, **more}, "test")
    return config


def plan(stage: str | Stage, number: int = 0, rank: int = 0, **more: object) -> LatentPlan:
    row = STAGES[stage] if isinstance(stage, str) else stage
    return plan_latents(LENGTHS, SHAPE, row, config_for(**more), number, rank)


def equal(first: object, second: object) -> bool:
    pairs = zip(asdict(first).values(), asdict(second).values(), strict=True)  # type: ignore[call-overload]
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_plan_is_a_function_of_seed_number_and_rank() -> None:
    first = plan("pose", 3, 1)
    assert equal(first, plan("pose", 3, 1))
    for other in (plan("pose", 4, 1), plan("pose", 3, 0), plan("pose", 3, 1, seed=6)):
        assert not np.array_equal(first.noise, other.noise) and not np.array_equal(first.targets, other.targets)
    images = plan_images(LENGTHS, config_for(), 3, 1)
    assert equal(images, plan_images(LENGTHS, config_for(), 3, 1))
    assert images.seed != plan_images(LENGTHS, config_for(), 4, 1).seed


def test_indices_lie_in_their_clips_and_timesteps_cover_the_range() -> None:
    for number in range(50):
        drawn = plan("pose", number)
        lengths = np.array(LENGTHS)[drawn.clips]
        assert drawn.targets.shape == (4, 3) and drawn.noise.shape == (12, *SHAPE)
        assert (drawn.targets < lengths[:, None]).all() and (drawn.references < lengths).all()
        assert (drawn.timesteps // 250).tolist() == [0, 1, 2, 3], "one in each quarter"
        images = plan_images(LENGTHS, config_for(), number, 0)
        assert len(images.clips) == 12 and (images.frames < np.array(LENGTHS)[images.clips]).all()


def test_consecutive_frames_are_neighbours_and_a_short_clip_stands_still() -> None:
    motion = replace(STAGES["pose"], frames="consecutive")
    starts = set()
    for number in range(60):
        drawn = plan(motion, number, batch={"clips": 2, "targets": 4})
        for clip, frames in zip(drawn.clips, drawn.targets, strict=True):
            assert frames.max() < LENGTHS[clip]
            if LENGTHS[clip] >= 4:
                assert np.diff(frames).tolist() == [1, 1, 1]
                starts.add((int(clip), int(frames[0])))
            else:
                assert frames.tolist() == [0, 1, 2, 2]
    assert starts == {(0, 0), (0, 1)} | {(1, n) for n in range(6)}, "every start that fits"


def test_drops_and_captions_come_as_often_as_they_should() -> None:
    joint = [plan("joint", number, conditions={"drop": 0.3, "caption": 0.5}) for number in range(300)]
    dropped = [each for each in joint if not each.conditions]
    assert len(dropped) / 300 == pytest.approx(0.3, abs=0.08)
    assert sum(each.captions for each in dropped) / len(dropped) == pytest.approx(0.5, abs=0.17)
    assert not any(each.captions for each in joint if each.conditions)
    assert all(each.hidden is None for each in joint) and all(plan("pose", n).conditions for n in range(30))


def test_face_and_hands_are_hidden_with_their_own_probabilities() -> None:
    """Left hand, right hand, face; paper Sec. 5.4."""
    for face, hand in ((1.0, 0.0), (0.0, 1.0)):
        hidden = plan("pose", conditions={"face_mask": face, "hand_mask": hand}).hidden
        assert hidden is not None and (hidden == [hand == 1, hand == 1, face == 1]).all()
    drawn = [plan("pose", number).hidden for number in range(200)]
    shares = np.concatenate([each for each in drawn if each is not None]).mean(0)
    assert shares == pytest.approx([0.5, 0.5, 0.2], abs=0.04)


def test_pictures_are_mirrored_half_the_time_or_never() -> None:
    flips = [plan_images(LENGTHS, config_for(), number, 0).mirrored.mean() for number in range(100)]
    assert np.mean(flips) == pytest.approx(0.5, abs=0.05)
    still = config_for(data={"flip": False})
    assert not any(plan_images(LENGTHS, still, number, 0).mirrored.any() for number in range(20))


def test_plans_need_no_file(tmp_path: Path) -> None:
    gone = config_for(data={"train": str(tmp_path / "gone")})
    assert len(plan_images([1], gone, 0, 0).clips) == 12
