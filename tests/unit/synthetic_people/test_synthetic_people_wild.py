"""The wild style: the same promises as the others, and a camera whose faults move nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from magicpose.errors import UserError
from synthetic_people import caption as words
from synthetic_people.asset import load_asset
from synthetic_people.blur import smear
from synthetic_people.camera import FaultyFilm, draw_faults
from synthetic_people.clip import Clip, clip_as, render_clip
from synthetic_people.clutter import PLACES, wild_background
from synthetic_people.colour import SKIN_TONES, to_srgb
from synthetic_people.complexion import reshape
from synthetic_people.identity import make_identity
from synthetic_people.lamps import wild_light
from synthetic_people.person import make_person
from synthetic_people.recipe import RECIPES
from synthetic_people.render import SAMPLES, Renderer
from synthetic_people.rig import Rig
from synthetic_people.scene import place_camera
from synthetic_people.shading import OPEN, Light
from synthetic_people.texture import TEXTURES, cloud
from synthetic_people.wild import wild_identity, wild_person

SIZE = 64
BACKDROP = np.full((SIZE, SIZE, 3), 0.2, np.float32)


@cache
def clip(seed: int = 3, framing: str = "bust", frames: int = 4) -> Clip:
    return render_clip(seed, frames, SIZE, framing, "wild")  # type: ignore[arg-type]


def film(seed: int) -> FaultyFilm:
    return FaultyFilm(seed, SIZE, draw_faults(seed, wild_light(seed), BACKDROP))


def test_the_same_seed_is_the_same_clip_in_another_process() -> None:
    program = (
        "import hashlib; from synthetic_people import render_clip; "
        f"c = render_clip(3, 4, {SIZE}, 'bust', 'wild'); "
        "print(hashlib.sha256(c.frames.tobytes() + c.track.stacked().tobytes() + c.caption.encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    here = clip()
    digest = hashlib.sha256(here.frames.tobytes() + here.track.stacked().tobytes() + here.caption.encode())
    assert other == digest.hexdigest()


@pytest.mark.parametrize("framing", ["knee", "half", "head"])
def test_visible_keypoints_lie_on_the_canvas_and_on_the_person(framing: str) -> None:
    c = clip(5, framing)
    points = c.track.stacked()
    seen = points[points[..., 2] > 0]
    assert (seen[:, :2] >= 0).all() and (seen[:, :2] < SIZE).all()
    covered = []
    for mask, frame in zip(c.masks, points):
        x, y = frame[frame[:, 2] > 0, :2].astype(int).T
        covered.append(mask[y, x] > 0)
    assert np.concatenate(covered).mean() > 0.97


def test_the_camera_moves_no_keypoint(monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = clip(8)
    recipe = RECIPES["wild"]
    monkeypatch.setitem(RECIPES, "wild", recipe._replace(film=RECIPES["full"].film))
    clean = render_clip(8, 4, SIZE, "bust", "wild")
    assert (clean.track.stacked() == faulty.track.stacked()).all()
    np.testing.assert_array_equal(clean.places, faulty.places)
    assert (clean.frames != faulty.frames).any()


@pytest.mark.parametrize("seed", range(60, 84))
def test_blur_noise_and_compression_leave_a_spot_where_it_is(seed: int) -> None:
    person = np.zeros((SIZE, SIZE, 4), np.float32)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    alpha = np.exp(-(((x - 29.3) / 6) ** 2) - ((y - 35.8) / 6) ** 2)
    person[..., 3] = alpha  # dark on grey
    maker = film(seed)
    shown, bare = (
        np.mean([maker.take(p, BACKDROP, frame).astype(float).sum(-1) for frame in range(8)], 0)
        for p in (person, np.zeros_like(person))
    )
    weight = np.clip(bare - shown - 0.15 * (bare - shown).max(), 0, None)
    assert weight.sum() > 0
    assert (weight * x).sum() / weight.sum() == pytest.approx(29.3, abs=0.35)
    assert (weight * y).sum() / weight.sum() == pytest.approx(35.8, abs=0.35)


def test_grain_is_new_in_every_frame_and_the_other_faults_are_not() -> None:
    nobody, seed = np.zeros((SIZE, SIZE, 4), np.float32), 70
    while film(seed).faults.quality or film(seed).faults.saturation == 0 or film(seed).faults.read < 0.002:
        seed += 1
    maker = film(seed)
    pictures = np.stack([maker.take(nobody, BACKDROP, frame).astype(float) for frame in range(16)])
    noise = pictures - pictures.mean(0)
    assert (pictures[0] != pictures[1]).any() and (maker.take(nobody, BACKDROP, 0) == pictures[0]).all()
    together = (noise[0] * noise[1]).mean() / (noise[0].std() * noise[1].std())
    assert abs(together) < 0.15
    means = pictures.mean((1, 2))
    assert np.abs(means - means.mean(0)).max() < 1  # exposure and white balance stand still


def test_another_person_stands_in_the_very_scene_before_the_same_camera() -> None:
    seed = 20
    while draw_faults(seed, wild_light(seed), BACKDROP).quality:  # a JPEG's blocks reach further than a person
        seed += 1
    a = clip(seed)
    b = clip_as(seed + 1, a)
    near = np.maximum(a.masks, b.masks) > 0
    for _ in range(10):
        near |= np.roll(near, 1, 1) | np.roll(near, -1, 1) | np.roll(near, 1, 2) | np.roll(near, -1, 2)
    assert (~near).mean() > 0.05 and (a.frames[~near] == b.frames[~near]).all()
    assert np.abs(a.frames[a.masks == 255].mean(0) - b.frames[b.masks == 255].mean(0)).max() > 3
    assert b.person_seed == seed + 1 and b.style == "wild"


def test_oneself_in_ones_own_clip_is_the_clip() -> None:
    again = clip_as(3, clip())
    assert (again.frames == clip().frames).all() and again.attributes == clip().attributes


def test_a_larger_size_shows_the_same_scene() -> None:
    small, large = clip(12, frames=1), render_clip(12, 1, 2 * SIZE, "bust", "wild")
    np.testing.assert_allclose(small.track.stacked()[..., :2] * 2, large.track.stacked()[..., :2], atol=0.01)
    for seed in range(24):
        one, two = wild_background(seed, SIZE, 0.8), wild_background(seed, 2 * SIZE, 0.8)
        halved = two.image.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
        assert one.kind == two.kind and np.corrcoef(halved.ravel(), one.image.ravel())[0, 1] > 0.8, (seed, one.kind)


def test_captions_keep_to_the_vocabulary_and_name_every_place() -> None:
    known, kinds = words.vocabulary(), set()
    for seed in range(40):
        background = wild_background(seed, 32, 2.0)
        kinds.add(background.kind)
        person = wild_person(seed) if seed < 6 else make_person(3)
        for framing in ("full", "head"):
            text = words.caption(words.describe(person, framing, background, "dance"))  # type: ignore[arg-type]
            assert set(text.replace(",", "").split()) <= known
    assert kinds == set(PLACES) and len(known) < 150


def test_faces_differ_from_the_sampled_ones_and_bodies_do_not() -> None:
    asset = load_asset()
    still = ~((asset.weight_bones >= asset.bone("neck01")) & (asset.weights > 0)).any(1)
    for seed in range(4):
        before = make_identity(seed)
        after = reshape(before)
        np.testing.assert_array_equal(before.vertices[still], after.vertices[still])
        moved = np.linalg.norm(after.landmarks - before.landmarks, axis=1)
        assert moved.max() > 0.004 and moved.max() < 0.05  # metres
        eyes = after.landmarks[[68, 69]]
        assert eyes[0, 0] < 0 < eyes[1, 0] and abs(eyes[0, 2] - eyes[1, 2]) < 0.004


def test_skins_leave_the_palette_of_the_other_styles() -> None:
    share = np.linspace(0, len(SKIN_TONES) - 1, 200)
    palette = np.stack([np.interp(share, range(len(SKIN_TONES)), SKIN_TONES[:, k]) for k in range(3)], 1)

    def away(skin: np.ndarray) -> float:
        return float(np.linalg.norm(palette - to_srgb(skin), axis=1).min())

    usual, wild = ([away(make(seed).skin) for seed in range(60)] for make in (make_identity, wild_identity))
    assert np.mean(wild) > 2 * np.mean(usual) and np.max(wild) > 0.25 > np.max(usual)
    assert np.median(wild) < 0.1  # most are plausible


@given(slope=st.floats(0.3, 2.2), seed=st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_clouds_have_the_slope_they_are_asked_for(slope: float, seed: int) -> None:
    n = 128
    field = cloud(np.random.default_rng(seed), n, slope)
    assert field.shape == (n, n) and field.std() == pytest.approx(1, rel=1e-3)
    power = np.abs(np.fft.fft2(field)) ** 2
    reach = np.hypot(np.fft.fftfreq(n), np.fft.fftfreq(n)[:, None])
    ring = [power[(reach >= low) & (reach < 1.5 * low)].mean() for low in (0.05, 0.1, 0.2)]
    middle = [reach[(reach >= low) & (reach < 1.5 * low)].mean() for low in (0.05, 0.1, 0.2)]
    fitted = -np.polyfit(np.log(middle), np.log(ring), 1)[0] / 2
    assert fitted == pytest.approx(slope, abs=0.25)


@pytest.mark.parametrize("kind", sorted(TEXTURES))
def test_textures_are_colours_of_the_right_shape_and_change_with_the_seed(kind: str) -> None:
    one, two = (TEXTURES[kind].paint(np.random.default_rng(seed), 128) for seed in (1, 2))
    assert one.shape == (128, 128, 3) and np.isfinite(one).all()
    assert np.abs(one - two).mean() > 0.02


def test_what_stands_still_is_not_smeared_and_what_moves_is_spread_evenly() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    pixels = np.zeros((SIZE, SIZE, 4), np.float32)
    pixels[28:36, 28:36] = 1
    moves, out = np.zeros((SIZE, SIZE, 2), np.float32), np.empty_like(pixels)
    tiles = np.zeros((SIZE // 8, SIZE // 8, 2), np.float32)
    smear(pixels, moves, tiles, 16.0, out)
    assert (out == pixels).all()
    moves[28:36, 28:36] = [6, 0]
    tiles[2:6, 2:6] = [6, 0]
    smear(pixels, moves, tiles, 16.0, out)
    covered = out[..., 3]
    row = covered[32]
    assert ((row > 0.02) & (row < 0.98)).sum() >= 8 and (np.flatnonzero(row)[[0, -1]] == [25, 38]).all()
    assert covered.sum() == pytest.approx(64, rel=0.1)
    assert (covered * x).sum() / covered.sum() == pytest.approx(31.5, abs=0.25)
    assert (covered * y).sum() / covered.sum() == pytest.approx(31.5, abs=0.05)


def shown_under(light: Light) -> np.ndarray:
    person = make_person(6)
    rig = Rig(person.identity)
    world = np.tile(np.eye(3, 4), (1, len(load_asset().bones), 1, 1))
    renderer = Renderer(person, SIZE)
    renderer.paint(world[0], np.zeros(52), place_camera(rig, world, "bust", SIZE * SAMPLES), light)
    return renderer.pixels.copy()


def test_lamps_blinds_and_shadows_do_what_they_say() -> None:
    direction, dark = np.array([0.6, -0.5, 0.62], np.float32), np.zeros(3, np.float32)
    white, dim = np.ones(3, np.float32), np.full(3, 0.2, np.float32)
    base = shown_under(Light(direction, white, dim, dim, 0.0, shade=0.0))
    shaded = shown_under(Light(direction, white, dim, dim, 0.0, shade=1.0))
    covered = base[..., 3] > 0
    darker = base[..., :3].sum(-1) - shaded[..., :3].sum(-1)
    assert (darker > -1e-5).all() and 0.02 < (darker[covered] > 0.02).mean() < 0.9
    blind = np.zeros((8, 8, 1), np.float32)
    blocked = shown_under(Light(direction, white, dim, dim, 0.0, gobo=blind))
    without = shown_under(Light(direction, dark, dim, dim, 0.0, gobo=OPEN))
    assert np.abs(blocked - without)[..., :3].max() < 0.2 < np.abs(blocked - base)[..., :3].max()
    red = np.array([[[-0.9, -0.3, 0.3], [1, 0, 0]]], np.float32)
    lit = shown_under(Light(direction, white, dim, dim, 0.0, lamps=red, shade=0.0)) - base
    assert lit[..., 0][covered].mean() > 0.01 and np.abs(lit[..., 1:]).max() < 1e-5


@pytest.mark.parametrize(("style", "framing"), [("wlid", "bust"), ("", "bust"), ("wild", "waist")])
def test_unknown_names_are_the_users(style: str, framing: str) -> None:
    with pytest.raises(UserError, match="is not one of"):
        render_clip(0, 1, 32, framing, style)  # type: ignore[arg-type]
