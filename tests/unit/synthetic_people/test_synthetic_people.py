"""Clips of synthetic people: what they promise about frames, keypoints, scenes and words."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from synthetic_people import caption as words
from synthetic_people import expression
from synthetic_people.background import make_background
from synthetic_people.clip import Clip, clip_as, clip_showing, render_as, render_clip, track_as
from synthetic_people.identity import make_identity
from synthetic_people.kernels import project
from synthetic_people.motion import make_motion
from synthetic_people.obstacles import Obstacles
from synthetic_people.person import make_person
from synthetic_people.pose import random_pose, stack_poses
from synthetic_people.rig import CHEST, Rig
from synthetic_people.scene import FRAMES, _head_path, place_camera

SIZE = 64
FACE, EYELIDS = slice(60, 130), ((97, 101), (98, 100), (103, 107), (104, 106))  # (upper, lower) rows of a stacked pose
R_SHOULDER, R_HIP, R_KNEE, R_ANKLE = 2, 8, 9, 10


@cache
def clip(seed: int = 3, framing: str = "bust", frames: int = 4, style: str = "plain") -> Clip:
    return render_clip(seed, frames, SIZE, framing, style)  # type: ignore[arg-type]


@cache
def rig(seed: int) -> Rig:
    return Rig(make_identity(seed))


def test_a_clip_is_what_it_says() -> None:
    c = clip()
    assert c.frames.shape == (4, SIZE, SIZE, 3) and c.frames.dtype == np.uint8
    assert c.masks.shape == (4, SIZE, SIZE) and c.masks.dtype == np.uint8
    assert len(c.track) == 4 and c.track.size == (SIZE, SIZE) and c.track.fps == 8
    assert c.frames.std() > 10 and 0.1 < (c.masks > 127).mean() < 0.9


def test_the_same_seed_is_the_same_clip_in_another_process() -> None:
    program = (
        "import hashlib; from synthetic_people import render_clip; "
        f"c = render_clip(3, 4, {SIZE}, 'bust', 'plain'); "
        "print(hashlib.sha256(c.frames.tobytes() + c.track.stacked().tobytes() + c.caption.encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    here = clip()
    digest = hashlib.sha256(here.frames.tobytes() + here.track.stacked().tobytes() + here.caption.encode())
    assert other == digest.hexdigest()


def test_other_seeds_are_other_people_in_other_places() -> None:
    a, b = clip(3), clip(4)
    assert np.abs(a.frames.astype(int) - b.frames).mean() > 10
    assert not np.allclose(a.track.stacked(), b.track.stacked(), atol=1)


@pytest.mark.parametrize("framing", ["knee", "half", "head"])
def test_visible_keypoints_lie_on_the_canvas_and_on_the_person(framing: str) -> None:
    c = clip(5, framing)
    points = c.track.stacked()
    assert set(np.unique(points[..., 2])) <= {0.0, 1.0}
    assert (points[points[..., 2] == 0] == 0).all()
    seen = points[points[..., 2] > 0]
    assert (seen[:, :2] >= 0).all() and (seen[:, :2] < SIZE).all()
    covered = []
    for mask, frame in zip(c.masks, points):
        x, y = frame[frame[:, 2] > 0, :2].astype(int).T
        covered.append(mask[y, x] > 0)
    assert np.concatenate(covered).mean() > 0.97


def test_framings_show_what_they_name() -> None:
    full, knee, half, bust = (clip(6, name).track.stacked() for name in ("full", "knee", "half", "bust"))
    shown = lambda track, row: track[:, row, 2].mean() > 0.5  # noqa: E731
    assert shown(full, R_ANKLE)
    assert shown(knee, R_KNEE) and not shown(knee, R_ANKLE)
    assert shown(half, R_HIP) and not shown(half, R_KNEE)
    assert shown(bust, R_SHOULDER) and not shown(bust, R_HIP)


def test_closer_framings_show_larger_faces() -> None:
    heights = [np.ptp(clip(6, name).track.stacked()[0, FACE, 1]) for name in FRAMES]
    assert all(near > far * 1.15 for far, near in pairwise(heights)), heights


@given(seed=st.integers(0, 2**31), framing=st.sampled_from(sorted(FRAMES)))
@settings(max_examples=12, deadline=None)
def test_the_head_never_leaves_the_picture(seed: int, framing: str) -> None:
    person, side = rig(seed), 100
    world = person.world(make_motion(seed, 16, 8.0, framing).poses)  # type: ignore[arg-type]
    camera = place_camera(person, world, framing, side)  # type: ignore[arg-type]
    path = _head_path(person, world)
    screen = np.empty_like(path)
    project(path, camera, screen)
    assert (screen[:, :2] > 0).all() and (screen[:, :2] < side).all()


@pytest.mark.parametrize("seed", [4, 23])  # hands that pass behind the trunk
def test_motion_is_smooth(seed: int) -> None:
    person, fps = rig(seed), 30.0
    world = person.world(make_motion(seed, 90, fps, "half").poses, fps)
    velocity = np.diff(person.place(world, "wrist.L", person.joint("wrist.L")), axis=0) * fps
    assert 0.05 < np.linalg.norm(velocity, axis=1).mean() < 2  # metres per second
    assert np.linalg.norm(np.diff(velocity, axis=0) * fps, axis=1).max() < 80  # no jerks


def test_another_person_in_the_same_clip() -> None:
    a = clip()
    b = clip_as(9, a)
    assert (render_as(9, a) == b.frames).all()
    assert (track_as(9, a).stacked() == b.track.stacked()).all()
    outside = (a.masks == 0) & (b.masks == 0)
    assert outside.mean() > 0.2 and (a.frames[outside] == b.frames[outside]).all()  # the very scene
    assert np.abs(a.frames[a.masks == 255].mean(0) - b.frames[b.masks == 255].mean(0)).max() > 3  # not the person
    assert b.attributes["background"] == a.attributes["background"] and b.person_seed == 9 and b.seed == a.seed
    limbs = [(2, 3), (3, 4), (5, 6), (6, 7)]
    for p, q in zip(a.track.stacked(), b.track.stacked()):
        for i, j in limbs:
            if min(p[i, 2], p[j, 2], q[i, 2], q[j, 2]) > 0:
                one, two = p[j, :2] - p[i, :2], q[j, :2] - q[i, :2]
                if np.linalg.norm(one) > 5:
                    assert one @ two > 0.9 * np.linalg.norm(one) * np.linalg.norm(two)  # the same direction


def test_another_expression_changes_the_face_alone() -> None:
    closed, opened = (clip_showing(expression, clip()) for expression in ("neutral", "open"))
    mouth = slice(60 + 48, 60 + 68)
    a, b = closed.track.stacked(), opened.track.stacked()
    assert np.abs(a[:, :60] - b[:, :60]).max() < 0.1  # body and hands; the tip of the nose gives a little
    seen = (a[:, mouth, 2] > 0).all(1) & (b[:, mouth, 2] > 0).all(1)
    tall = [np.ptp(points[seen][:, mouth, 1], axis=1) for points in (a, b)]
    assert seen.any() and (tall[1] > 1.1 * tall[0]).all()
    changed = np.abs(closed.frames.astype(int) - opened.frames).max(-1) > 3
    assert 0 < changed.mean() < 0.1


def test_oneself_in_ones_own_clip_is_the_clip() -> None:
    assert (render_as(3, clip()) == clip().frames).all()


def test_plain_and_full_share_the_motion() -> None:
    plain, full = clip(7).track.stacked(), clip(7, style="full").track.stacked()
    both = (plain[..., 2] > 0) & (full[..., 2] > 0)
    assert both.mean() > 0.4
    np.testing.assert_allclose(plain[both], full[both], atol=1e-3)


def test_eyes_blink() -> None:
    c = clip(11, "face", frames=16)
    points = c.track.stacked()
    gaps = np.mean([np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=1) for a, b in EYELIDS], 0)
    closed = make_motion(11, 16, 8.0, "face").face[:, expression.unit_index("eyeBlinkLeft")]
    assert closed.max() == 1 and gaps[closed.argmax()] == gaps.min() < 0.6 * np.median(gaps)


@given(seed=st.integers(0, 2**31), fps=st.floats(4, 60))
@settings(max_examples=30, deadline=None)
def test_a_blink_comes_within_two_seconds(seed: int, fps: float) -> None:
    closed = expression.blink_curve(np.random.default_rng(seed), int(2 * fps) + 2, fps)
    assert closed.max() == 1 and (closed < 0.3).any()


def test_speech_moves_the_jaw() -> None:
    jaw = expression.speech_curve(np.random.default_rng(0), 60, 30)[:, expression.unit_index("jawOpen")]
    assert jaw.min() < 0.1 and jaw.max() > 0.3 and np.abs(np.diff(jaw)).max() < 0.3


def test_mirrored_expressions_swap_sides() -> None:
    wink = expression.unit_weights(expression.EXPRESSIONS["wink"])
    other = expression.mirrored(wink)
    assert other[expression.unit_index("eyeBlinkRight")] == 1 and other[expression.unit_index("eyeBlinkLeft")] == 0
    assert (expression.mirrored(other) == wink).all()


def test_captions_keep_to_the_vocabulary() -> None:
    known, captions = words.vocabulary(), set()
    for seed in range(10):
        person = make_person(seed, plain=seed % 2 == 0)
        background = make_background(seed, 16, 2.0, plain=seed % 2 == 0)
        for framing in FRAMES:
            attributes = words.describe(person, framing, background, "dance")
            captions.add(words.caption(attributes))
            assert set(words.caption(attributes).replace(",", "").split()) <= known
    assert len(captions) == 60 and len(known) < 150


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_arms_go_where_the_pose_says_and_feet_stand_on_the_floor(seed: int) -> None:
    person, rng = rig(seed % 5), np.random.default_rng(seed)
    pose = random_pose(rng, near=False)
    for name in ("pelvis", "spine", "head"):
        pose[name] = np.zeros(3)
    pose["yaw"] = np.array(0.0)
    poses = stack_poses([pose])
    world = person._transforms(poses)[0]
    index = person.index
    assert np.allclose(world[..., :3] @ world[..., :3].swapaxes(1, 2), np.eye(3), atol=1e-9)
    for k, (side, sign) in enumerate((("L", 1), ("R", -1))):
        at = [
            world[index[b], :, :3] @ person.joint(b) + world[index[b], :, 3]
            for b in (f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}")
        ]
        for start, end, wish in zip(at, at[1:], (poses.upper[0, k], poses.lower[0, k]), strict=False):
            along = (end - start) / np.linalg.norm(end - start)
            assert along @ (wish * [sign, 1, 1]) > 0.999
    standing = person.world(poses)
    ankles = [person.place(standing, f"foot.{s}", person.joint(f"foot.{s}"))[0, 2] for s in "LR"]
    rest = [person.joint(f"foot.{s}")[2] for s in "LR"]
    assert min(a - r for a, r in zip(ankles, rest)) == pytest.approx(0, abs=1e-9)


def test_hands_stay_out_of_the_trunk() -> None:
    person, rng = rig(1), np.random.default_rng(0)
    poses = stack_poses([random_pose(rng, near=True) for _ in range(60)])
    obstacles = Obstacles(person.identity)

    def depth(world: np.ndarray) -> np.ndarray:
        chest = world[:, person.index[CHEST]]
        wrists = np.stack([person.place(world, f"wrist.{s}", person.joint(f"wrist.{s}")) for s in "LR"], 1)
        return obstacles.trunk_depth((wrists - chest[:, None, :, 3]) @ chest[:, :, :3])

    before, after = depth(person._transforms(poses)), depth(person.world(poses))
    assert before.max() > 0.05
    assert after.mean() < 0.25 * before.mean() and after.max() < 0.05


def test_places_say_where_on_the_person_a_cell_lies() -> None:
    """Two frames show the same landmark: the places there are the same, while the landmark itself has moved."""
    shown = render_clip(5, 6, 256, "bust", "plain")
    coverage = shown.masks[:, 2::4, 2::4]
    known = ~np.isnan(shown.places[..., 0])
    assert known[coverage == 255].all() and not known[coverage == 0].any()
    first, last = shown.track.stacked()[[0, -1]]
    both = (first[:, 2] > 0) & (last[:, 2] > 0) & (np.arange(130) >= 60)  # the face: no other part slides over it
    cells = [(points[both, 1::-1] // 4).astype(int) for points in (first, last)]
    a, b = (shown.places[frame, rc[:, 0], rc[:, 1]] for frame, rc in zip((0, -1), cells))
    apart = np.linalg.norm(a - b, axis=1)
    apart = apart[~np.isnan(apart)]
    assert len(apart) > 30 and np.median(apart) < 0.02
    elsewhere = np.linalg.norm(a - shown.places[-1, cells[0][:, 0], cells[0][:, 1]], axis=1)
    assert np.nanmedian(elsewhere) > 2 * np.median(apart)
