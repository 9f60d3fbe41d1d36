from __future__ import annotations

import numpy as np

from magicpose import Pose, PoseTrack
from magicpose.pose.augment import mask_parts, mirrored
from magicpose.pose.keypoints import BODY_NAMES


def random_pose(seed: int) -> Pose:
    return Pose.from_stacked(np.random.default_rng(seed).uniform(1, 100, (130, 3)).astype(np.float32))


def hidden(pose: Pose) -> tuple[bool, bool, bool]:
    return not pose.left_hand.any(), not pose.right_hand.any(), not pose.face.any()


def test_parts_are_hidden_as_often_as_asked() -> None:
    rng, pose = np.random.default_rng(0), random_pose(0)
    rates = np.mean([hidden(mask_parts(pose, rng, face_prob=0.2, hand_prob=0.5)) for _ in range(2000)], axis=0)
    assert np.abs(rates - (0.5, 0.5, 0.2)).max() < 0.04


def test_what_is_not_hidden_stays_as_it_is() -> None:
    pose = random_pose(1)
    masked = mask_parts(pose, np.random.default_rng(1), face_prob=1, hand_prob=0)
    assert (masked.body == pose.body).all() and (masked.left_hand == pose.left_hand).all()
    assert hidden(masked) == (False, False, True) and pose.face.any()


def test_a_part_is_hidden_through_the_whole_clip() -> None:
    track = PoseTrack(tuple(random_pose(n) for n in range(5)), (100, 100))
    for seed in range(20):
        masked = mask_parts(track, np.random.default_rng(seed))
        assert len({hidden(pose) for pose in masked}) == 1
        assert hidden(masked[0]) == hidden(mask_parts(track[0], np.random.default_rng(seed)))


def test_mirroring_swaps_every_left_with_its_right() -> None:
    pose = random_pose(2)
    flipped = mirrored(pose, 100)
    for index, name in enumerate(BODY_NAMES):
        swap = {"left": "right", "right": "left"}.get(name.split("_")[0], "")
        twin = BODY_NAMES.index(f"{swap}_{name.split('_', 1)[1]}" if swap else name)
        assert np.allclose(flipped.body[index], pose.body[twin] * (-1, 1, 1) + (100, 0, 0))
    assert np.allclose(flipped.left_hand[:, 0], 100 - pose.right_hand[:, 0])


def test_mirroring_pairs_face_points_that_are_symmetric() -> None:
    # A symmetric face: jaw corners, brow ends, eye corners, pupils, mouth corners, per iBUG.
    x = {0: 10, 16: 90, 17: 20, 26: 80, 36: 25, 45: 75, 39: 40, 42: 60, 68: 32, 69: 68, 48: 35, 54: 65, 60: 38, 64: 62,
         31: 45, 35: 55, 40: 37, 47: 63, 59: 42, 55: 58, 67: 44, 65: 56}  # fmt: skip
    face = np.zeros((70, 3), np.float32)
    for index, value in x.items():
        face[index] = (value, 1, 1)
    flipped = mirrored(Pose(face=face), 100).face
    for index, value in x.items():
        assert flipped[index].tolist() == [value, 1, 1]


def test_mirroring_twice_changes_nothing() -> None:
    track = PoseTrack((random_pose(3), random_pose(4)), (640, 100))
    assert np.allclose(mirrored(mirrored(track, 640), 640).stacked(), track.stacked(), atol=1e-4)
