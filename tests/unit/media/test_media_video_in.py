from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magicpose import media
from magicpose.errors import UserError
from media_clips import BLUE, GREEN, RED, beeps, make_sound_only, make_video, number_of, numbered, psnr

ONE = 1 << 16


def numbers(path: Path, **settings: object) -> list[int]:
    return [number_of(frame) for frame in media.read_video(path, **settings)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames at 10 per second."""
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", map(numbered, range(60)))


def test_probe_tells_what_is_in_the_file(clip: Path) -> None:
    info = media.probe(clip)
    assert (info.size, info.fps, info.frames, info.codec) == ((64, 48), 10, 60, "h264")
    assert info.duration == pytest.approx(6)
    assert not info.has_audio


def test_every_frame_once_and_in_order(clip: Path) -> None:
    assert numbers(clip) == list(range(60))


def test_frames_are_uint8_rgb_as_drawn(clip: Path) -> None:
    frame = next(media.read_video(clip))
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert psnr(frame, numbered(0)) > 28


def test_start_and_end_are_seconds_and_end_is_left_out(clip: Path) -> None:
    assert numbers(clip, start=1.5, end=2) == [15, 16, 17, 18, 19]
    assert numbers(clip, start=1.5, max_frames=3) == [15, 16, 17]
    assert numbers(clip, start=1.55, end=1.8) == [15, 16, 17]


@pytest.mark.parametrize("fps", [5, 20, 7, Fraction(30000, 1001), 12.5])
def test_another_rate_shows_what_is_on_screen_at_each_instant(clip: Path, fps: float) -> None:
    rate = media.exact_fps(fps)
    expected = [min(59, int(k / rate * 10 + Fraction(1, 100))) for k in range(200) if k / rate < 6]
    assert numbers(clip, fps=fps) == expected


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_seeking_gives_the_frames_that_decoding_from_the_start_gives(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"long.{suffix}", map(numbered, range(100)))
    assert numbers(path, start=5.5, end=7) == list(range(55, 70))


def test_variable_rate_is_sampled_at_the_average_rate(tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.7, 0.75, 0.8, 1.6, 1.7, 1.75, 1.8]
    path = make_video(tmp_path / "vfr.mp4", map(numbered, range(10)), times=times)
    info = media.probe(path)
    instants = [k / info.fps for k in range(1000) if k / info.fps < info.duration]
    expected = [max(i for i, time in enumerate(times) if time <= instant + 0.001) for instant in instants]
    assert numbers(path) == expected
    assert abs(info.fps * info.duration - len(times)) <= 1


def test_variable_rate_without_a_header_count(tmp_path: Path) -> None:
    times = list(itertools.accumulate([0.02] * 20 + [0.5] * 6, initial=0))
    info = media.probe(make_video(tmp_path / "vfr.mkv", map(numbered, range(27)), times=times))
    assert float(info.fps) == pytest.approx(27 / info.duration, rel=0.05)


@pytest.mark.parametrize(
    "a,b,c,d",
    [
        m
        for m in itertools.product((-1, 0, 1), repeat=4)
        if abs(m[0] * m[3] - m[1] * m[2]) == 1 and sum(map(abs, m)) == 2
    ],
)
def test_all_eight_orientations(tmp_path: Path, a: int, b: int, c: int, d: int) -> None:
    """Against a pixel-by-pixel use of the display matrix as the file format defines it."""
    stored = numbered(77)
    height, width = stored.shape[:2]
    corners = [(a * x + c * y, b * x + d * y) for x in (0, width - 1) for y in (0, height - 1)]
    left, top = min(x for x, _ in corners), min(y for _, y in corners)
    shown = np.zeros((width, height, 3) if b else (height, width, 3), np.uint8)
    for y, x in itertools.product(range(height), range(width)):
        shown[b * x + d * y - top, a * x + c * y - left] = stored[y, x]
    matrix = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    path = make_video(tmp_path / "turned.mp4", [stored] * 2, matrix=matrix)
    assert media.probe(path).size == (shown.shape[1], shown.shape[0])
    assert psnr(next(media.read_video(path)), shown) > 28


def test_a_phone_held_upright(tmp_path: Path) -> None:
    """Stored lying down with the usual matrix of a phone: the top is up again."""
    upright = numbered(5, (48, 64))
    path = make_video(tmp_path / "phone.mp4", [np.rot90(upright)] * 3, matrix=(0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30))
    frame = next(media.read_video(path))
    assert frame.shape == upright.shape
    corners = frame[8, 8], frame[8, -9], frame[-9, 8]
    assert all(
        np.abs(corner.astype(int) - colour).max() < 30
        for corner, colour in zip(corners, (RED, GREEN, BLUE), strict=True)
    )


@pytest.mark.parametrize("shape,size", [(Fraction(12, 11), (70, 48)), (Fraction(1, 2), (64, 96))])
def test_pixels_become_square(tmp_path: Path, shape: Fraction, size: tuple[int, int]) -> None:
    path = make_video(tmp_path / "wide.mp4", [numbered(9)] * 2, pixel_shape=shape)
    frame = next(media.read_video(path))
    assert media.probe(path).size == size == (frame.shape[1], frame.shape[0])
    assert number_of(frame) == 9


@pytest.mark.parametrize(
    "name,codec,pix_fmt,size",
    [
        ("deep.mp4", "libx265", "yuv420p10le", (64, 48)),
        ("deep.mkv", "ffv1", "yuv420p10le", (64, 48)),
        ("odd.webm", "libvpx-vp9", "yuv420p", (63, 49)),
        ("odd.mkv", "ffv1", "yuv420p", (65, 47)),
        ("full.mp4", "libx264", "yuv444p", (63, 49)),
        ("grey.mkv", "ffv1", "gray", (64, 48)),
        ("old.avi", "mpeg4", "yuv420p", (64, 48)),
    ],
)
def test_codecs_depths_and_odd_sizes(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    frames = [numbered(k, size) for k in range(4)]
    path = make_video(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt)
    assert media.probe(path).size == size
    assert numbers(path) == [0, 1, 2, 3]


def test_colours_survive_labelled_or_not(tmp_path: Path) -> None:
    """Small unlabelled video is BT.601, as every player takes it; a colour is off by little either way."""
    patch = np.zeros((48, 64, 3), np.uint8)
    patch[:, :32], patch[:, 32:] = (210, 60, 90), (30, 160, 60)
    media.write_video(tmp_path / "labelled.mp4", [patch] * 2, 10)
    make_video(tmp_path / "unlabelled.mp4", [patch] * 2, codec="libx264", pix_fmt="yuv420p")
    for name in ("labelled.mp4", "unlabelled.mp4"):
        frame = next(media.read_video(tmp_path / name)).astype(int)
        for column in (10, 54):
            assert np.abs(frame[24, column] - patch[24, column]).max() <= 4, name


def test_a_single_frame_is_a_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "one.mp4", [numbered(3)])
    assert numbers(path) == [3]
    assert media.probe(path).frames == 1


def test_time_counts_from_the_first_frame(tmp_path: Path) -> None:
    times = [7.3 + k / 10 for k in range(20)]
    for suffix in ("ts", "mkv"):
        path = make_video(tmp_path / f"late.{suffix}", map(numbered, range(20)), times=times)
        assert media.probe(path).start > 7
        assert media.probe(path).duration == pytest.approx(2, abs=0.11)
        assert numbers(path, start=0.5, end=1) == [5, 6, 7, 8, 9]


def damaged(path: Path, seed: int = 0) -> Path:
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(seed).integers(len(data) // 3, len(data) * 2 // 3, 40):
        data[place] ^= 0xFF
    copy = path.with_name(f"damaged_{path.name}")
    copy.write_bytes(data)
    return copy


def test_damage_in_the_middle_costs_only_the_middle(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    frames = [np.where(np.arange(48)[:, None, None] < 16, grain, numbered(k)) for k, grain in enumerate(noise)]
    path = damaged(make_video(tmp_path / "clip.ts", frames, options={}))
    with pytest.warns(media.MediaWarning, match="damaged"):
        found = numbers(path)
    assert found[:10] == list(range(10))
    assert len(found) >= 55


def test_a_file_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", map(numbered, range(60)), options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.warns(media.MediaWarning):
        found = numbers(cut)
    assert 10 < len(found) < 60
    assert found[:10] == list(range(10))


def test_wild_time_stamps_do_not_make_endless_video(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "wild.ts", map(numbered, range(12)), times=[*[k / 10 for k in range(10)], 80000, 80000.1]
    )
    assert media.probe(path).duration == pytest.approx(1, abs=0.01)
    with pytest.warns(media.MediaWarning, match="time stamps"):
        assert numbers(path) == list(range(10))


def test_frames_come_one_at_a_time(clip: Path) -> None:
    """The first frame is there before the last has been decoded: an endless consumer may stop at any time."""
    frames = media.read_video(clip)
    assert number_of(next(frames)) == 0
    frames.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fps,exact",
    [
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (30, 30),
        (12.5, Fraction(25, 2)),
        (0.5, Fraction(1, 2)),
    ],
)
def test_exact_fps(fps: float, exact: Fraction) -> None:
    assert media.exact_fps(fps) == exact


@pytest.mark.parametrize("fps", [0, -1, 241, float("nan"), float("inf")])
def test_impossible_rates(fps: float) -> None:
    with pytest.raises(UserError, match="fps"):
        media.exact_fps(fps)


@pytest.mark.parametrize(
    "settings",
    [{"start": 6}, {"start": -1}, {"start": 2, "end": 2}, {"end": 0}, {"start": float("nan")}, {"max_frames": 0}],
)
def test_impossible_spans(clip: Path, settings: dict[str, float]) -> None:
    with pytest.raises(UserError):
        media.read_video(clip, **settings)  # type: ignore[arg-type]


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only sound"):
        media.probe(make_sound_only(tmp_path / "voice.m4a"))


def test_sound_is_noticed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "loud.mp4", map(numbered, range(10)), sound=beeps(1, [0.5]))
    assert media.probe(path).has_audio


def test_play_lists_are_not_followed(tmp_path: Path, clip: Path) -> None:
    listing = tmp_path / "list.m3u8"
    listing.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(UserError):
        media.probe(listing)


def test_gif_and_our_own_outputs_are_read_back(tmp_path: Path) -> None:
    for name in ("a.gif", "a.webm", "a.mp4"):
        media.write_video(tmp_path / name, map(numbered, range(12)), 10)
        assert numbers(tmp_path / name) == list(range(12))


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", [numbered(k) for k in range(5)])
    content = path.read_bytes()
    assert content.count(b"isom") >= 1
    path.write_bytes(content.replace(b"isom", b"\xfcsom"))  # as the metadata of some cameras and old programs
    assert len(list(media.read_video(path))) == 5
    assert media.read_metadata(path) is None
