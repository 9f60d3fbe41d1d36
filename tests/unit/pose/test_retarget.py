"""Retargeting against stick people whose true answer is known, and its fall-backs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magicpose.errors import UserError
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.head import fit_heads
from magicpose.pose.retargeting.retarget import retarget
from stick_people import SIZE, Body, clip, figure, wandering, without

A = Body()
B = Body(0.38, 0.48, 0.25, 0.27, 0.26, 0.42, 0.48, 0.21, 1.04, 0.115, 300.0, face=(1.0, -1.0, 1.0, 0.5))
MOVES = wandering(24)
REST = np.array([0, 0.3, 0, 0.4, 0, 0.3, 0, 0.4, 0, 0.0])
WIDTH = B.shoulders * B.metre
BODY, HANDS, FACE = slice(0, 18), slice(18, 60), slice(60, 130)
LEGS = [8, 9, 10, 11, 12, 13]


def _error(found: PoseTrack, truth: PoseTrack, rows: slice) -> float:
    """Mean distance in shoulder widths."""
    gap = (found.stacked() - truth.stacked())[:, rows, :2]
    return float(np.hypot(gap[..., 0], gap[..., 1]).mean() / WIDTH)


@pytest.mark.parametrize(("rows", "most"), [(BODY, 0.06), (HANDS, 0.1), (FACE, 0.05)])
def test_a_driver_becomes_the_reference(rows: slice, most: float) -> None:
    driver, truth = clip(A, MOVES, (200, 500)), clip(B, MOVES, (350, 610))
    reference = figure(B, REST, (350, 610))
    assert _error(driver, truth, rows) > 5 * most
    assert _error(retarget(driver, reference), truth, rows) < most


def test_proportions_beat_place_alone() -> None:
    driver, truth = clip(A, MOVES, (200, 500)), clip(B, MOVES, (350, 610))
    reference = figure(B, REST, (350, 610))
    placed = _error(retarget(driver, reference, align="place"), truth, BODY)
    assert _error(retarget(driver, reference), truth, BODY) < 0.6 * placed < 0.6 * _error(driver, truth, BODY)


def test_feet_stand_on_the_floor_of_the_reference() -> None:
    driver = clip(A, MOVES, (200, 500))
    out = retarget(driver, figure(B, REST, (350, 610))).stacked()
    np.testing.assert_allclose(out[:, [10, 13], 1], 610, atol=3)


def test_a_jump_stays_a_jump() -> None:
    driver = clip(A, MOVES, (200, 500)).stacked()
    driver[10:13, :, 1] -= 60
    out = retarget(PoseTrack.from_stacked(driver, SIZE), figure(B, REST, (350, 610))).stacked()
    assert out[11, 10, 1] < out[0, 10, 1] - 40


def test_a_half_body_meets_at_the_neck() -> None:
    hidden = [*LEGS, 3, 6]
    driver = PoseTrack(tuple(without(p, hidden) for p in clip(A, MOVES, (200, 500))), SIZE)
    reference = without(figure(B, REST, (420, 700)), hidden)
    out = retarget(driver, reference).stacked()
    assert np.abs(np.median(out[:, 1, :2], axis=0) - reference.body[1, :2]).max() < 0.1 * WIDTH
    assert (out[:, hidden, 2] == 0).all()
    assert (out[:, 4, 2] > 0).all()  # a wrist without its elbow hangs on the shoulder


def test_a_head_alone_is_enough() -> None:
    hidden = range(1, 14)
    driver = PoseTrack(tuple(without(p, [*hidden, *range(18, 60)]) for p in clip(A, MOVES)), SIZE)
    reference = without(figure(B, REST), [*hidden, *range(18, 60)])
    out = retarget(driver, reference).stacked()
    assert np.abs(out[:, 60:, :2].mean((0, 1)) - reference.face[:, :2].mean(0)).max() < 0.2 * WIDTH
    heads = fit_heads(out), fit_heads(reference.stacked()[None])
    assert np.median(heads[0].scale) == pytest.approx(heads[1].scale[0], rel=0.05)


def test_no_common_part_is_refused_in_one_sentence() -> None:
    driver = PoseTrack((without(figure(A, REST), range(14, 130)),), SIZE)
    reference = without(figure(B, REST), range(18))
    reference = without(reference, range(60, 130))
    with pytest.raises(UserError, match="no part of the body in common"):
        retarget(driver, reference)


def test_a_sitting_reference_keeps_the_size_of_its_trunk() -> None:
    sitting = figure(B, REST, (350, 610)).stacked()
    drop = 0.8 * B.thigh * B.metre  # thighs towards the camera
    for thigh in ((9, 10), (12, 13)):
        sitting[list(thigh), 1] -= drop
    sitting[:, 1] += drop
    driver = clip(A, MOVES, (200, 500))
    out = retarget(driver, Pose.from_stacked(sitting)).stacked()
    thigh = np.median(np.hypot(*(out[:, 8, :2] - out[:, 9, :2]).T)) / B.metre
    assert 0.7 * B.thigh < thigh < 1.4 * B.thigh


def test_a_side_view_keeps_the_size_of_its_trunk() -> None:
    reference = figure(B, np.array([1.4, 0.3, 0, 0.4, 0, 0.3, 0, 0.4, 0, 0.3]), (350, 610))
    out = retarget(clip(A, MOVES, (200, 500)), reference).stacked()
    shoulders = np.quantile(np.hypot(*(out[:, 2, :2] - out[:, 5, :2]).T), 0.9)
    assert 0.75 * WIDTH < shoulders < 1.25 * WIDTH


def test_part_body_keeps_the_reference_expression() -> None:
    speaking = PoseTrack(tuple(figure(A, m, expression=(np.sin(i), 0.5)) for i, m in enumerate(MOVES)), SIZE)
    reference = figure(B, REST, expression=(-1.0, 1.0))
    model = fit_heads(retarget(speaking, reference, part="body").stacked())
    whole = fit_heads(retarget(speaking, reference).stacked())
    assert np.ptp(model.expression[:, 0]) < 0.25 * np.ptp(whole.expression[:, 0])
    assert abs(model.expression[:, 0].mean() + 1.0) < 0.4


def test_part_face_moves_nothing_but_the_face() -> None:
    speaking = PoseTrack(tuple(figure(A, m, expression=(np.sin(i),)) for i, m in enumerate(MOVES)), SIZE)
    reference = figure(B, REST)
    out = retarget(speaking, reference, part="face").stacked()
    np.testing.assert_array_equal(out[:, 1:14], np.repeat(reference.stacked()[None, 1:14], len(out), 0))
    still = reference.stacked()[60:, :2]
    mouth = np.abs(out[:, 60 + 57, 1] - still[57, 1])
    assert mouth.max() > 3
    assert np.abs(out[:, 60, :2] - still[0]).max() < mouth.max()  # the corner of the jaw hardly moves


def test_part_face_without_a_face_is_refused() -> None:
    faceless = without(figure(B, REST), range(60, 130))
    with pytest.raises(UserError, match="reference shows none"):
        retarget(clip(A, MOVES), faceless, part="face")


def test_a_part_needs_an_alignment() -> None:
    with pytest.raises(UserError, match="needs an alignment"):
        retarget(clip(A, MOVES), figure(B, REST), align="off", part="body")


def test_longer_forearms_bring_larger_hands() -> None:
    big = replace(A, palm=1.3 * A.palm, forearm=1.3 * A.forearm)
    out = retarget(clip(A, MOVES), figure(big, REST)).stacked()
    hand = np.hypot(*(out[:, 18, :2] - out[:, 27, :2]).T)
    own = np.hypot(*(clip(A, MOVES).stacked()[:, 18, :2] - clip(A, MOVES).stacked()[:, 27, :2]).T)
    assert np.median(hand / own) == pytest.approx(1.3, rel=0.1)


def test_a_hand_whose_wrist_is_outside_follows_the_rest() -> None:
    driver, truth = clip(A, MOVES), clip(B, MOVES)
    alone = PoseTrack(tuple(without(p, [6, 7, 18, 19]) for p in driver), SIZE)
    out = retarget(alone, figure(B, REST)).stacked()
    assert (out[:, 20:39, 2] > 0).all() and (out[:, [7, 18], 2] == 0).all()
    assert np.abs(out - truth.stacked())[:, 20:39, :2].mean() < 0.25 * WIDTH


@pytest.mark.parametrize("seen", [range(60, 130), [3, 4, 6, 7]])
def test_a_frame_without_what_carries_it_stays_in_line(seen: range | list[int]) -> None:
    """Face or arms alone for a frame, neck and hips lost: still where they belong."""
    poses = list(clip(A, MOVES))
    poses[10] = without(poses[10], [n for n in range(130) if n not in seen])
    broken = retarget(PoseTrack(tuple(poses), SIZE), figure(B, REST)).stacked()
    whole = retarget(clip(A, MOVES), figure(B, REST)).stacked()
    assert np.abs(broken - whole)[10][list(seen), :2].max() < 0.35 * WIDTH


def test_points_too_doubtful_to_draw_do_not_count() -> None:
    guessed = figure(B, REST).stacked()
    guessed[[9, 10, 12, 13]] = (0, 0, 0.1)
    clear = retarget(clip(A, MOVES), without(figure(B, REST), [9, 10, 12, 13])).stacked()
    np.testing.assert_array_equal(retarget(clip(A, MOVES), Pose.from_stacked(guessed)).stacked(), clear)


def test_a_track_without_frames_is_refused() -> None:
    with pytest.raises(UserError, match="no frames"):
        retarget(PoseTrack((), SIZE), figure(B, REST))


def test_another_canvas_takes_the_track_over() -> None:
    out = retarget(clip(A, MOVES), figure(A, REST), size=(320, 320), align="off")
    assert out.size == (320, 320)
    np.testing.assert_allclose(out.stacked()[..., :2], clip(A, MOVES).stacked()[..., :2] / 2, rtol=1e-5)
