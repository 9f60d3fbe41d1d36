"""Batches: what a plan names, gathered from memory and disk."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.errors import UserError
from magicpose.media import read_image
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import LEFT_HAND, RIGHT_HAND, Pose
from magicpose.training.config import TrainConfig, build
from magicpose.training.data import find_clips
from magicpose.training.data.batches import LatentBatch, LatentClips, draw_maps, gather_images, gather_latents
from magicpose.training.data.plan import ImagePlan, plan_images, plan_latents
from magicpose.training.data.prefetch import prefetch
from magicpose.training.data.square import Square
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
    return LatentClips(clips, [each.half() for each in latents], 32, 64)


def latent_batch(data: Path, stage: str, number: int = 0, **more: object) -> LatentBatch:
    clips, config = latent_clips(data), config_for(data, **more)
    lengths = [len(clip.frames) for clip in clips.clips]
    return gather_latents(
        clips, STAGES[stage], False, plan_latents(lengths, (2, 4, 4), STAGES[stage], config, number, 0)
    )


def test_frames_of_a_plan_are_frames_of_their_own_clips(data: Path) -> None:
    """Clips of all lengths: no index passes the end of its clip, and all of a long one are drawn."""
    lengths, config = np.array([2, 30, 5]), config_for(data)
    plans = [plan_latents(lengths.tolist(), (2, 4, 4), STAGES["pose"], config, number, 0) for number in range(200)]
    clips = np.stack([plan.clips for plan in plans])
    for frames in (
        np.stack([plan.references for plan in plans]),
        *np.stack([plan.targets for plan in plans]).transpose(2, 0, 1),
    ):
        assert (frames < lengths[clips]).all()
        assert [frames[clips == clip].max() for clip in range(3)] == [1, 29, 4]


def test_timesteps_cover_the_schedule_in_every_batch(data: Path) -> None:
    """One in each part of 0 to 999, and over many batches all of them alike."""
    config = config_for(data, batch={"clips": 4, "targets": 1})
    plans = [plan_latents([4], (2, 4, 4), STAGES["pose"], config, number, 0) for number in range(300)]
    timesteps = np.stack([plan.timesteps for plan in plans])
    assert (np.sort(timesteps) // 250 == np.arange(4)).all()
    assert timesteps.min() <= 5 and timesteps.max() >= 994 and abs(timesteps.mean() - 499.5) < 15


def test_a_batch_holds_what_its_plan_names(data: Path) -> None:
    clips, config = latent_clips(data), config_for(data)
    plan = plan_latents([4, 4, 4], (2, 4, 4), STAGES["pose"], config, 5, 0)
    batch = gather_latents(clips, STAGES["pose"], False, plan)
    named = (100.0 * plan.clips[:, None] + plan.targets).ravel().tolist()
    assert batch.latents[:, 0, 0, 0].tolist() == named
    assert batch.reference[:, 0, 0, 0].tolist() == (100.0 * plan.clips + plan.references).tolist()
    assert (
        torch.equal(batch.noise, torch.from_numpy(plan.noise)) and batch.timesteps.tolist() == plan.timesteps.tolist()
    )
    assert batch.pose.shape == (4, 3, 64, 64) and batch.pose.min() >= 0 and batch.pose.max() <= 1
    points = [clips.clips[c].keypoints[f] for c, frames in zip(plan.clips, plan.targets, strict=True) for f in frames]
    assert np.array_equal(batch.keypoints.numpy(), np.stack(points))


def test_pictures_are_those_of_the_plan(data: Path) -> None:
    clips = find_clips(data)
    plan = plan_images([4, 4, 4], config_for(data), 3, 0)
    batch = gather_images(clips, 32, plan)
    assert batch.seed == plan.seed and len(batch.images) == 4
    for image, clip, frame, mirrored in zip(batch.images, plan.clips, plan.frames, plan.mirrored, strict=True):
        picture = np.asarray(read_image(clips[clip].frames[frame])).transpose(2, 0, 1) / 127.5 - 1
        assert np.allclose(image, picture[..., ::-1] if mirrored else picture, atol=1e-6)


def test_a_mirrored_picture_takes_its_keypoints_along(data: Path) -> None:
    clips = find_clips(data)
    indices = np.array([0, 0]), np.array([1, 1])
    batch = gather_images(clips, 32, ImagePlan(*indices, np.array([False, True]), 0))
    for image, points in zip(batch.images, batch.keypoints, strict=True):
        bright = (image.amax(0) > -0.7).nonzero().float()  # the square that moves with the keypoints
        centre = bright.mean(0).flip(0) + 0.5
        assert torch.allclose(points[:, :2].mean(0), centre, atol=1.0), "points lie on the square"
    assert (batch.keypoints[0, :, 0] - 16).abs().mean() > 2, "the square is not in the middle: mirroring shows"
    there, back = batch.keypoints[0, :, 0], batch.keypoints[1, :, 0]
    assert torch.allclose(back.sort().values, (32 - there).sort().values)


def test_what_a_batch_holds_follows_the_table(data: Path) -> None:
    seen = {name: [latent_batch(data, name, n) for n in range(40)] for name in ("joint", "base", "pose_prior")}
    seen["appearance"] = [latent_batch(data, "appearance", n) for n in range(3)]
    assert all(b.reference is None and b.pose is None for b in seen["base"])
    assert any(b.captions for b in seen["base"]) and any(not b.captions for b in seen["base"])
    assert all(b.reference is None and b.pose is not None for b in seen["pose_prior"])
    assert all(b.reference is not None and b.pose is None for b in seen["appearance"])
    dropped = [b.reference is None for b in seen["joint"]]
    assert 0 < sum(dropped) < 20
    assert all((b.pose is None) == (b.reference is None) for b in seen["joint"])  # dropped together
    assert all(not b.captions for b in seen["joint"] if b.reference is not None)


def maps_of(*poses: Pose) -> torch.Tensor:
    maps = [draw_pose(pose, (64, 64), (32, 32)) for pose in poses]
    return torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(("face", "hand"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)])
def test_the_maps_of_a_batch_lack_what_is_masked_and_only_that(data: Path, face: float, hand: float) -> None:
    batch = latent_batch(data, "pose", 1, conditions={"face_mask": face, "hand_mask": hand})
    wanted = []
    for pose in map(Pose.from_stacked, batch.keypoints.numpy()):
        hands = {} if hand else {"left_hand": pose.left_hand, "right_hand": pose.right_hand}
        wanted.append(Pose(body=pose.body, **hands, **({} if face else {"face": pose.face})))
    assert torch.equal(batch.pose, maps_of(*wanted))


def test_parts_are_hidden_one_by_one(data: Path) -> None:
    points = find_clips(data)[0].keypoints[:1]
    pose = Pose.from_stacked(points[0])
    parts = {"left_hand": pose.left_hand, "right_hand": pose.right_hand, "face": pose.face}
    for number, hidden in enumerate(parts):
        others = {name: value for name, value in parts.items() if name != hidden}
        drawn = draw_maps(points, 32, 64, np.eye(3, dtype=bool)[number : number + 1])
        assert torch.equal(drawn, maps_of(Pose(body=pose.body, **others))), hidden
        assert not torch.equal(drawn, maps_of(pose)), hidden


def test_the_square_crop_moves_picture_and_points_alike(tmp_path: Path) -> None:
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[10:14, 50:54] = 255
    crop = Square.of((80, 40))
    small = crop.image(Image.fromarray(picture), 20)
    keypoints = crop.keypoints(np.array([[52.0, 12.0, 1.0]], np.float32), 20)[0]
    ys, xs = np.nonzero(small[..., 0] > 128)
    assert np.allclose(keypoints[:2], (xs.mean() + 0.5, ys.mean() + 0.5), atol=0.6)


def test_a_mirrored_picture_has_mirrored_keypoints(tmp_path: Path) -> None:
    """Where a square of colour is in the picture, its own hand is among the keypoints, flipped or not."""

    folder = tmp_path / "a"
    folder.mkdir()
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[10:14, 20:24] = (255, 0, 0)  # the left hand
    picture[10:14, 2:6] = (0, 0, 255)  # the right hand
    Image.fromarray(picture).save(folder / "0.png")
    keypoints = np.ones((1, 130, 3), np.float32)
    keypoints[:, LEFT_HAND, :2], keypoints[:, RIGHT_HAND, :2] = (22, 12), (4, 12)
    np.savez(folder / "keypoints.npz", keypoints=keypoints, size=np.array([32, 32]), fps=np.array(8.0))
    plan = ImagePlan(np.array([0, 0]), np.array([0, 0]), np.array([False, True]), 0)
    batch = gather_images(find_clips(tmp_path), 32, plan)
    red, blue = (
        [float(torch.nonzero(image[c] > 0)[:, 1].float().mean()) + 0.5 for image in batch.images] for c in (0, 2)
    )
    assert (red, blue) == ([22.0, 10.0], [4.0, 28.0])
    # seen from the front, the person's left is at the picture's right: mirrored, red is their right hand
    assert batch.keypoints[:, LEFT_HAND, 0].mean(1).tolist() == [red[0], blue[1]]
    assert batch.keypoints[:, RIGHT_HAND, 0].mean(1).tolist() == [blue[0], red[1]]


def test_prefetch_keeps_order_and_hands_errors_over() -> None:
    assert list(prefetch(lambda step: step * step, 2, 6)) == [(2, 4), (3, 9), (4, 16), (5, 25)]

    def fails(step: int) -> int:
        if step == 2:
            raise UserError(f"no step {step}")
        return step

    seen = []
    with pytest.raises(UserError, match="no step 2"):
        for step, _ in prefetch(fails, 0, 5):
            seen.append(step)
    assert seen == [0, 1], "what came before is still delivered"
