from pathlib import Path

import numpy as np
import pytest
import torch

from magicpose.errors import UserError
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import Pose
from magicpose.training.config import TrainConfig, build
from magicpose.training.data import LatentClips, Square, find_clips, image_batch, latent_batch, prefetch
from magicpose.training.stages import STAGES
from training_clips import settings, write_clips


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


def config_for(data: Path, **more: object) -> TrainConfig:
    config: TrainConfig = build(TrainConfig, settings(data, data / "out", "pose", **more), "test")
    return config


def latent_clips(data: Path) -> LatentClips:
    clips = find_clips(data)
    # every latent says which clip and frame it is
    latents = [
        torch.tensor([[100.0 * c + f for f in range(len(clip.frames))]]).reshape(-1, 1, 1, 1).expand(-1, 2, 4, 4)
        for c, clip in enumerate(clips)
    ]
    return LatentClips(clips, [each.half() for each in latents], 64)


def test_a_batch_is_a_function_of_seed_step_and_rank(data: Path) -> None:
    config, clips = config_for(data), latent_clips(data)
    same, again = (latent_batch(clips, STAGES["pose"], config, 5, 0) for _ in range(2))
    for name, value in vars(same).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(again, name)), name
    others = [latent_batch(clips, STAGES["pose"], config, *where) for where in ((6, 0), (5, 1))]
    assert all(not torch.equal(other.noise, same.noise) for other in others)
    assert torch.equal(
        image_batch(find_clips(data), config, 3, 0).images, image_batch(find_clips(data), config, 3, 0).images
    )


def test_reference_and_targets_are_of_one_clip(data: Path) -> None:
    batch = latent_batch(latent_clips(data), STAGES["pose"], config_for(data), 0, 0)
    reference = (batch.reference[:, 0, 0, 0] // 100).repeat_interleave(2)
    assert torch.equal(reference, batch.latents[:, 0, 0, 0] // 100)
    assert batch.pose.shape == (4, 3, 64, 64) and batch.pose.min() >= 0 and batch.pose.max() <= 1
    assert batch.timesteps.shape == (2,) and batch.timesteps.max() < 1000


def test_what_a_batch_holds_follows_the_table(data: Path) -> None:
    clips = latent_clips(data)
    seen = {
        name: [latent_batch(clips, STAGES[name], config_for(data), step, 0) for step in range(40)]
        for name in ("joint", "base", "pose_prior", "appearance")
    }
    assert all(b.reference is None and b.pose is None for b in seen["base"])
    assert any(b.captions for b in seen["base"]) and any(not b.captions for b in seen["base"])
    assert all(b.reference is None and b.pose is not None for b in seen["pose_prior"])
    assert all(b.reference is not None and b.pose is None for b in seen["appearance"])
    dropped = [b.reference is None for b in seen["joint"]]
    assert 0 < sum(dropped) < 20
    assert all((b.pose is None) == (b.reference is None) for b in seen["joint"])  # dropped together
    assert all(not b.captions for b in seen["joint"] if b.reference is not None)


def test_masking_hides_faces_and_hands_in_some_maps(data: Path) -> None:
    clips = latent_clips(data)
    masked = config_for(data, conditions={"face_mask": 1.0, "hand_mask": 1.0})
    unmasked = config_for(data, conditions={"face_mask": 0.0, "hand_mask": 0.0})
    with_all, without = (latent_batch(clips, STAGES["pose"], c, 1, 0) for c in (unmasked, masked))
    bodies = [draw_pose(Pose(body=points[:18]), (64, 64), (32, 32)) for points in without.keypoints.numpy()]
    assert torch.equal(without.pose, torch.from_numpy(np.stack(bodies)).permute(0, 3, 1, 2).float() / 255)
    assert not torch.equal(with_all.pose, without.pose)


def test_the_square_crop_moves_picture_and_points_alike(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.zeros((40, 80, 3), np.uint8)
    picture[10:14, 50:54] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    crop = Square.of((80, 40))
    small = crop.image(tmp_path / "a.png", 20)
    keypoints = crop.keypoints(np.array([[52.0, 12.0, 1.0]], np.float32), 20)[0]
    ys, xs = np.nonzero(small[..., 0] > 128)
    assert np.allclose(keypoints[:2], (xs.mean() + 0.5, ys.mean() + 0.5), atol=0.6)


def test_broken_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no clips in"):
        find_clips(tmp_path)
    folder = write_clips(tmp_path / "data", clips=1) / "0000"
    (folder / "0001.png").unlink()
    with pytest.raises(UserError, match="holds 3 frames but keypoints for 4"):
        find_clips(tmp_path / "data")


def test_prefetch_keeps_order_and_hands_errors_over() -> None:
    assert list(prefetch(lambda step: step * step, 2, 6)) == [(2, 4), (3, 9), (4, 16), (5, 25)]

    def fails(step: int) -> int:
        raise UserError(f"no step {step}")

    with pytest.raises(UserError, match="no step 0"):
        list(prefetch(fails, 0, 3))
