"""Repair of tracks with known faults."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.retargeting.repair import RepairOptions, _local_quadratic, person_size, repair
from stick_people import SIZE, Body, clip, wandering

OFF = RepairOptions(least_score=0, swaps=False, jump=0, gap_s=0, hand_gap_s=0, smooth_s=0)
EXACT = clip(Body(), wandering(40)).stacked()
WIDTH = person_size(EXACT)
ARMS = ([3, 4], [6, 7])


def _repaired(points: NDArray[np.float32], options: RepairOptions | None = None) -> NDArray[np.float32]:
    return repair(PoseTrack.from_stacked(points, SIZE, 25.0), options).stacked()


def _bend(points: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(points[..., :2], 2, axis=0)).mean())


def test_all_off_changes_nothing() -> None:
    np.testing.assert_array_equal(_repaired(EXACT, OFF), EXACT)


def test_what_is_exact_stays() -> None:
    assert np.abs(_repaired(EXACT) - EXACT)[..., :2].max() < 0.03 * WIDTH


def test_jitter_falls_and_the_points_get_nearer_the_truth() -> None:
    rng = np.random.default_rng(0)
    noisy = EXACT.copy()
    noisy[..., :2] += rng.normal(0, 0.03 * WIDTH, noisy[..., :2].shape)
    calm = _repaired(noisy)
    assert _bend(calm) < 0.5 * _bend(noisy)
    assert np.abs(calm - EXACT)[..., :2].mean() < 0.7 * np.abs(noisy - EXACT)[..., :2].mean()


def test_what_the_detector_trusts_counts_more() -> None:
    doubtful = EXACT.copy()
    doubtful[20, :, :2] += 0.2 * WIDTH
    options = RepairOptions(least_score=0, jump=0)
    sure = _repaired(doubtful, options)
    doubtful[20, :, 2] = 0.01
    unsure = _repaired(doubtful, options)
    assert np.abs(unsure - EXACT)[20, :, :2].mean() < 0.5 * np.abs(sure - EXACT)[20, :, :2].mean()


@pytest.mark.parametrize("frames", [slice(10, 11), slice(10, 16), slice(0, 3), slice(36, 40)])
def test_exchanged_arms_are_exchanged_back(frames: slice) -> None:
    swapped = EXACT.copy()
    swapped[frames, ARMS[0]], swapped[frames, ARMS[1]] = EXACT[frames, ARMS[1]], EXACT[frames, ARMS[0]]
    only = RepairOptions(jump=0, smooth_s=0)
    np.testing.assert_array_equal(_repaired(swapped, only), EXACT)


def test_arms_that_really_cross_stay() -> None:
    crossing = EXACT.copy()
    path = np.linspace(-1, 1, 40, dtype=np.float32) * WIDTH
    crossing[:, ARMS[0], 0] = 320 + path[:, None]
    crossing[:, ARMS[1], 0] = 320 - path[:, None]
    np.testing.assert_array_equal(_repaired(crossing, RepairOptions(jump=0, smooth_s=0)), crossing)


@pytest.mark.parametrize("length", [1, 2])
def test_a_jump_is_removed_and_bridged(length: int) -> None:
    wild = EXACT.copy()
    wild[15 : 15 + length, 4, :2] += 1.5 * WIDTH
    calm = _repaired(wild, RepairOptions(smooth_s=0, swaps=False))
    assert np.abs(calm - EXACT)[15 : 15 + length, 4, :2].max() < 0.2 * WIDTH
    np.testing.assert_array_equal(
        np.delete(calm, range(15, 15 + length), 0), np.delete(EXACT, range(15, 15 + length), 0)
    )


def test_a_fast_move_is_no_jump() -> None:
    fast = EXACT.copy()
    fast[20:, 4, :2] += 1.5 * WIDTH
    np.testing.assert_array_equal(_repaired(fast, RepairOptions(smooth_s=0, swaps=False)), fast)


@pytest.mark.parametrize(("length", "filled"), [(1, True), (10, True), (11, False)])
def test_gaps_are_bridged_up_to_their_length(length: int, filled: bool) -> None:
    gappy = EXACT.copy()
    gappy[5 : 5 + length, 3] = 0
    out = _repaired(gappy, RepairOptions(smooth_s=0, swaps=False, jump=0))
    assert ((out[5 : 5 + length, 3, 2] > 0) == filled).all()
    if filled:
        assert np.abs(out - EXACT)[5 : 5 + length, 3, :2].max() < 0.3 * WIDTH


def test_what_is_hardly_trusted_is_bridged_not_believed() -> None:
    doubtful = EXACT.copy()
    doubtful[20:23, 4] = (0, 0, 0.1)
    assert np.abs(_repaired(doubtful) - EXACT)[20:23, 4, :2].max() < 0.2 * WIDTH


def test_a_hand_unseen_for_long_is_not_invented() -> None:
    gappy = EXACT.copy()
    gappy[5:11, 18:39] = 0
    assert (_repaired(gappy)[5:11, 18:39] == 0).all()
    assert (_repaired(gappy, RepairOptions(hand_gap_s=0.4))[5:11, 18:39, 2] > 0).all()


def test_nothing_is_carried_past_the_first_or_last_sight() -> None:
    late = EXACT.copy()
    late[:3, 4], late[-3:, 4] = 0, 0
    out = _repaired(late)
    assert (out[:3, 4] == 0).all() and (out[-3:, 4] == 0).all()


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4])
def test_short_clips(frames: int) -> None:
    track = PoseTrack.from_stacked(EXACT[:frames], SIZE) if frames else PoseTrack((), SIZE)
    assert len(repair(track)) == frames


def test_an_empty_track_stays_empty() -> None:
    np.testing.assert_array_equal(_repaired(np.zeros((6, 130, 3), np.float32)), np.zeros((6, 130, 3)))


def test_local_quadratic_is_weighted_least_squares() -> None:
    """Against a fit per point with numpy's own solver."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0.2, 1, (9, 2, 3))
    value, leverage = _local_quadratic(points, 1.3)
    for t in range(9):
        d = (np.arange(9) - t) / 1.3
        for n in range(2):
            reach = np.abs(np.arange(9) - t) <= 4
            weight = np.exp(-0.5 * d**2) * points[:, n, 2] * reach
            basis = np.vander(d, 3, increasing=True)
            gram = basis.T @ (weight[:, None] * basis)
            found = np.linalg.solve(gram, basis.T @ (weight[:, None] * points[:, n, :2]))[0]
            np.testing.assert_allclose(value[t, n], found, rtol=1e-5)
            np.testing.assert_allclose(leverage[t, n], np.linalg.inv(gram)[0, 0] * points[t, n, 2], rtol=1e-5)
