from __future__ import annotations

import numpy as np
import pytest

from magicpose import Pose, PoseTrack, draw_overlay, draw_pose, draw_poses
from magicpose.errors import UserError

RIGHT_WRIST, LEFT_WRIST, RIGHT_ELBOW = 4, 7, 3


def one_arm() -> Pose:
    body = np.zeros((18, 3), np.float32)
    body[RIGHT_ELBOW], body[RIGHT_WRIST] = (10, 50, 1), (90, 50, 0.5)
    return Pose(body=body)


def test_joints_are_in_full_colour_over_limbs_at_six_tenths() -> None:
    drawn = draw_pose(one_arm(), (604, 604), (100, 100))
    assert drawn[302, 302].tolist() == [153, 153, 0]
    assert drawn[302, 60].tolist() == [255, 255, 0]
    assert drawn[302, 543].tolist() == [170, 255, 0]


def test_a_limb_is_an_ellipse_nine_pixels_wide_at_the_native_size() -> None:
    drawn = draw_pose(one_arm(), (604, 604), (100, 100))
    assert (drawn[:, 302] > 0).any(-1).sum() in (9, 10)
    quarter = (drawn[:, 110] > 0).any(-1).sum()
    assert 6 <= quarter <= 8  # narrower towards its ends


@pytest.mark.parametrize("size", [(300, 500), (500, 300)])
def test_sizes_follow_the_shorter_side(size: tuple[int, int]) -> None:
    square = draw_pose(one_arm(), (300, 300))
    assert (draw_pose(one_arm(), size)[:300, :300] == square).all()


def test_the_threshold_hides_points_and_their_limbs() -> None:
    drawn = draw_pose(one_arm(), (100, 100), threshold=0.6)
    assert drawn[50, 10].any()
    assert not drawn[:, 20:].any()


def test_only_the_chosen_parts_are_drawn() -> None:
    points = np.full((130, 3), 1, np.float32)
    points[:, :2] = np.random.default_rng(0).uniform(10, 90, (130, 2))
    pose = Pose.from_stacked(points)
    assert (draw_pose(pose, (100, 100), parts=("face",)) == draw_pose(Pose(face=pose.face), (100, 100))).all()
    assert (draw_pose(pose, (100, 100), parts=("body",)) == draw_pose(Pose(body=pose.body), (100, 100))).all()
    hands = Pose(left_hand=pose.left_hand, right_hand=pose.right_hand)
    assert (draw_pose(pose, (100, 100), parts=("hands",)) == draw_pose(hands, (100, 100))).all()
    assert not draw_pose(pose, (100, 100), parts=()).any()


def test_a_track_is_drawn_frame_by_frame_at_its_own_size_by_default() -> None:
    track = PoseTrack((one_arm(), Pose()), size=(100, 80))
    maps = draw_poses(track)
    assert maps.shape == (2, 80, 100, 3) and maps.dtype == np.uint8
    assert (maps[0] == draw_pose(one_arm(), (100, 80))).all() and not maps[1].any()
    assert (draw_poses(track, (50, 40))[0] == draw_pose(one_arm(), (50, 40), (100, 80))).all()


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(UserError, match="size"):
        draw_pose(Pose(), (0, 10))
    with pytest.raises(UserError, match="size"):
        draw_poses(PoseTrack((Pose(),), (10, 10)), (10**6, 10**6))
    with pytest.raises(UserError, match=r"feet.*body, hands, face"):
        draw_pose(Pose(), (10, 10), parts=("feet",))  # type: ignore[arg-type]


def test_an_overlay_marks_the_sides_and_leaves_the_rest_of_the_photo() -> None:
    photo = np.full((100, 100, 3), 128, np.uint8)
    body = one_arm().body.copy()
    body[LEFT_WRIST] = (50, 80, 1)
    over = draw_overlay(photo, Pose(body=body))
    assert (photo == 128).all()
    right, left = over[50, 50].astype(int), over[80, 50].astype(int)
    assert right[0] > right[2] + 50 and left[2] > left[0] + 50  # orange and blue
    assert (over[:40] == 128).all() and (over[90:] == 128).all()


def test_an_overlay_scales_from_the_canvas_to_the_frame() -> None:
    photo = np.zeros((200, 200, 3), np.uint8)
    assert draw_overlay(photo, one_arm(), (100, 100))[100, 100].any()


def test_an_overlay_needs_an_rgb_frame() -> None:
    with pytest.raises(UserError, match="uint8"):
        draw_overlay(np.zeros((4, 4), np.uint8), Pose())
    with pytest.raises(UserError, match="uint8"):
        draw_overlay(np.zeros((4, 4, 3)), Pose())  # type: ignore[arg-type]
