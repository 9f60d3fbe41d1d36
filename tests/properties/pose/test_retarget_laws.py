"""Laws of retargeting and repair that hold for whoever moves, wherever."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.head import fit_heads
from magicpose.pose.retargeting.placement import filled
from magicpose.pose.retargeting.proportions import measure, ratios
from magicpose.pose.retargeting.repair import RepairOptions, repair
from magicpose.pose.retargeting.retarget import retarget
from stick_people import SIZE, Body, clip, figure, wandering

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 10_000)
shifts = st.tuples(st.floats(-200, 200), st.floats(-200, 200))
zooms = st.floats(0.5, 2.0)
REST = np.array([0, 0.3, 0, 0.4, 0, 0.3, 0, 0.4, 0, 0.0])


def _body(seed: int) -> Body:
    rng = np.random.default_rng(seed)
    lengths = np.array([0.35, 0.5, 0.24, 0.28, 0.25, 0.43, 0.44, 0.2, 1.0, 0.11]) * np.exp(rng.normal(0, 0.05, 10))
    return Body(*map(float, lengths), metre=float(rng.uniform(150, 300)), face=tuple(rng.normal(0, 1, 4)))


def _moved(points: NDArray[np.float32], zoom: float, shift: tuple[float, float]) -> NDArray[np.float32]:
    out = points.copy()
    out[..., :2] = points[..., :2] * zoom + np.array(shift, np.float32)
    return np.where(points[..., 2:] > 0, out, 0).astype(np.float32)


def _track(points: NDArray[np.float32]) -> PoseTrack:
    return PoseTrack.from_stacked(points, SIZE)


@few
@given(seeds)
def test_to_its_own_pose_a_picture_is_unchanged(seed: int) -> None:
    own = figure(_body(seed), wandering(1, seed)[0])
    np.testing.assert_allclose(retarget(PoseTrack((own,), SIZE), own).stacked()[0], own.stacked(), atol=0.02)


@few
@given(seeds)
def test_to_a_frame_of_its_own_a_clip_hardly_changes(seed: int) -> None:
    body, moves = _body(seed), wandering(12, seed, depth=0.2)
    moves[0] = REST
    track = clip(body, moves)
    gap = (retarget(track, track[0]).stacked() - track.stacked())[..., :2]
    assert np.hypot(gap[..., 0], gap[..., 1]).mean() < 0.12 * body.shoulders * body.metre


def test_a_walk_is_as_long_as_the_person_is_large() -> None:
    """Half the size, half the way: the path of the neck is scaled about its middle."""
    points = np.repeat(figure(_body(1), REST).stacked()[None], 9, axis=0)
    points[..., 0] += np.where(points[..., 2] > 0, 20 * np.arange(9, dtype=np.float32)[:, None], 0)
    half = Pose.from_stacked(_moved(points[4], 0.5, (100, 150)))
    way = retarget(_track(points), half).stacked()[:, 1, 0]
    np.testing.assert_allclose(np.diff(way), 10, rtol=0.05)


@few
@given(seeds)
def test_off_changes_nothing(seed: int) -> None:
    track = clip(_body(seed), wandering(4, seed))
    out = retarget(track, figure(_body(seed + 1), REST), align="off")
    np.testing.assert_array_equal(out.stacked(), track.stacked())
    assert (out.size, out.fps, out.source) == (track.size, track.fps, track.source)


@few
@given(seeds, zooms, shifts)
def test_moving_both_pictures_moves_the_result(seed: int, zoom: float, shift: tuple[float, float]) -> None:
    driver, reference = clip(_body(seed), wandering(5, seed)).stacked(), figure(_body(seed + 1), REST).stacked()
    plain = retarget(_track(driver), Pose.from_stacked(reference)).stacked()
    both = retarget(_track(_moved(driver, zoom, shift)), Pose.from_stacked(_moved(reference, zoom, shift))).stacked()
    np.testing.assert_allclose(both[..., :2], _moved(plain, zoom, shift)[..., :2], atol=0.3)


@few
@given(seeds, zooms)
def test_the_drivers_zoom_hardly_matters(seed: int, zoom: float) -> None:
    """Only through the chance that both pictures are of one camera, which is slim here: 2.5 of 90 px or more."""
    driver, reference = clip(_body(seed), wandering(5, seed)).stacked(), figure(_body(seed + 1), REST, (900, 900))
    plain, zoomed = retarget(_track(driver), reference), retarget(_track(_moved(driver, zoom, (0, 0))), reference)
    np.testing.assert_allclose(zoomed.stacked()[..., :2], plain.stacked()[..., :2], atol=2.5)


@few
@given(seeds, st.sampled_from(["place", "proportions"]), st.sampled_from(["all", "body"]))
def test_absent_stays_absent_and_nothing_is_nan(seed: int, align: str, part: str) -> None:
    rng = np.random.default_rng(seed)
    driver = clip(_body(seed), wandering(6, seed)).stacked()
    driver[rng.random(driver.shape[:2]) < 0.3] = 0
    reference = figure(_body(seed + 1), REST).stacked()
    reference[rng.random(130) < 0.2] = 0
    reference[[1, 8, 11]] = figure(_body(seed + 1), REST).stacked()[[1, 8, 11]]
    out = retarget(_track(driver), Pose.from_stacked(reference), align=align, part=part).stacked()  # type: ignore[arg-type]
    assert np.isfinite(out).all()
    assert (out[driver[..., 2] <= 0] == 0).all()
    there = out[..., 2] > 0
    np.testing.assert_array_equal(out[..., 2][there], driver[..., 2][there])


@few
@given(seeds)
def test_equal_pictures_have_equal_proportions(seed: int) -> None:
    points = clip(_body(seed), wandering(3, seed)).stacked()
    own = measure(points, fit_heads(points))
    assert all(abs(ratio - 1) < 1e-9 for ratio in ratios(own, own).values())


@few
@given(seeds, zooms)
def test_twice_as_large_is_twice_as_long(seed: int, zoom: float) -> None:
    points = clip(_body(seed), wandering(6, seed)).stacked()
    larger = _moved(points, zoom, (0, 0))
    found = ratios(measure(points, fit_heads(points)), measure(larger, fit_heads(larger)))
    assert all(abs(ratio / zoom - 1) < 1e-3 for ratio in found.values())


@given(st.lists(st.booleans(), min_size=1, max_size=20).filter(any), seeds)
def test_bridging_keeps_what_is_there(there: list[bool], seed: int) -> None:
    path = np.random.default_rng(seed).normal(size=(len(there), 2))
    out = filled(path, np.array(there))
    np.testing.assert_array_equal(out[there], path[there])
    assert out.min() >= path[there].min() and out.max() <= path[there].max()


@few
@given(seeds, zooms, shifts)
def test_repair_moves_with_the_picture(seed: int, zoom: float, shift: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    points = clip(_body(seed), wandering(12, seed)).stacked()
    points[..., :2] += rng.normal(0, 2, points[..., :2].shape)
    points[rng.random(points.shape[:2]) < 0.1] = 0
    plain = repair(_track(points)).stacked()
    moved = repair(_track(_moved(points, zoom, shift))).stacked()
    np.testing.assert_allclose(moved, np.where(plain[..., 2:] > 0, _moved(plain, zoom, shift), 0), atol=0.1)


@few
@given(seeds)
def test_repair_runs_the_same_backwards(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = clip(_body(seed), wandering(12, seed)).stacked()
    points[rng.random(points.shape[:2]) < 0.1] = 0
    options = RepairOptions(swaps=False)
    there = repair(_track(points), options).stacked()
    back = repair(_track(points[::-1].copy()), options).stacked()[::-1]
    np.testing.assert_allclose(there, back, atol=1e-2)
