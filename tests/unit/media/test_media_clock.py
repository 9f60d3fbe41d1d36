"""Rates, lengths and frames are those a player shows, whatever the container says beside them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from magicpose import media
from media_clips import beep_starts, beeps, make_video, number_of, numbered


def numbers(path: Path, **settings: object) -> list[int]:
    return [number_of(frame) for frame in media.read_video(path, **settings)]  # type: ignore[arg-type]


def seen(path: Path) -> tuple[Fraction, float, int, list[int]]:
    info = media.probe(path)
    return info.fps, round(info.duration, 3), info.frames, numbers(path)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[place : place + 8])
        yield name, data[place + 8 : place + length]
        place += length


def with_edits(source: Path, target: Path, edits: list[tuple[int, int]]) -> Path:
    """The mp4 `source` with the edit list (ISO 14496-12, 8.6.6): length in ms, start in the clock of the pictures."""

    def rebuilt(data: bytes) -> bytes:
        return b"".join(box(name, changed(name, body)) for name, body in boxes(data))

    def changed(name: bytes, body: bytes) -> bytes:
        if name in (b"moov", b"trak"):
            return rebuilt(body)
        if name != b"edts":
            return body
        rows = b"".join(struct.pack(">Iihh", length, start, 1, 0) for length, start in edits)
        return box(b"elst", struct.pack(">II", 0, len(edits)) + rows)

    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", len(body) + 8, name) + body

    target.write_bytes(rebuilt(source.read_bytes()))
    return target


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames at 8 per second with B-frames and a key frame every 12; the first is shown at 4096 of 16384 per s."""
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", map(numbered, range(24)), 8)


def tick_of(clip: Path) -> tuple[int, int]:
    """(ticks per second, tick at which the first picture is shown) of the pictures' clock in the file."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        packet = next(container.demux(stream))
        return stream.time_base.denominator, packet.pts - packet.dts


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([(2375, 5)], (8, 2.375, 19, list(range(5, 24)))),  # what `ffmpeg -ss 0.6 -c copy` makes
        ([(1000, 10)], (8, 1.0, 8, list(range(10, 18)))),  # both ends cut
        ([(250, None), (2000, 4)], (8, 2.0, 16, list(range(4, 20)))),  # an empty edit first: a late start
        ([(1000, 8), (500, 0)], (8, 1.5, 12, [*range(8, 16), *range(4)])),  # parts in another order
    ],
)
def test_edit_lists_show_what_a_player_shows(
    clip: Path, tmp_path: Path, edits: list[tuple[int, int | None]], expected: object
) -> None:
    second, first = tick_of(clip)
    rows = [(length, -1 if frame is None else first + frame * second // 8) for length, frame in edits]
    assert seen(with_edits(clip, tmp_path / "cut.mp4", rows)) == expected


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("bframes", ["0", "2"])
def test_a_clock_that_starts_again_keeps_length_and_rate(tmp_path: Path, times: int, bframes: str) -> None:
    one = tmp_path / "one.ts"
    make_video(one, map(numbered, range(12)), 8, codec="libx264" if bframes == "2" else "mpeg2video")
    many = tmp_path / "many.ts"
    many.write_bytes(one.read_bytes() * times)
    assert seen(many) == (8, 1.5 * times, 12 * times, list(range(12)) * times)
    assert numbers(many, start=1.5 * (times - 1), end=1.5 * times) == list(range(12))


def test_a_clock_that_jumps_back_in_the_middle(tmp_path: Path) -> None:
    late = make_video(tmp_path / "late.ts", map(numbered, range(12)), 8, times=[100 + k / 8 for k in range(12)])
    early = make_video(tmp_path / "early.ts", map(numbered, range(12, 24)), 8)
    both = tmp_path / "both.ts"
    both.write_bytes(late.read_bytes() + early.read_bytes())
    assert seen(both) == (8, 3.0, 24, list(range(24)))


@pytest.mark.xfail(strict=True, reason="24 frames at 7.1 fps: the gap at the overflow is measured 3 frames too long")
def test_a_clock_that_overflows_goes_on(tmp_path: Path) -> None:
    """The 33 bits of MPEG's clock are used up after 26 and a half hours."""
    begin = 2**33 / 90000 - 2.5
    path = make_video(tmp_path / "a.ts", map(numbered, range(24)), 8, times=[begin + k / 8 for k in range(24)])
    assert seen(path) == (8, 3.0, 24, list(range(24)))


def test_sound_follows_a_clock_that_starts_again(tmp_path: Path) -> None:
    one = make_video(tmp_path / "one.ts", map(numbered, range(16)), 8, sound=beeps(2, [0.5, 1.5]))
    two = tmp_path / "two.ts"
    two.write_bytes(one.read_bytes() * 2)
    out = tmp_path / "out.mp4"
    media.write_video(out, media.read_video(two), 8, audio=media.AudioSource(two))
    assert beep_starts(out) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.03)
    media.write_video(out, media.read_video(two, start=2), 8, audio=media.AudioSource(two, 2.0), overwrite=True)
    assert beep_starts(out) == pytest.approx([0.5, 1.5], abs=0.03)


def test_an_avi_that_left_frames_out_is_not_faster(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            picture = av.VideoFrame.from_ndarray(numbered(number))
            picture.pts, picture.time_base = 3 * number, Fraction(1, 30)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    info = media.probe(path)
    assert info.duration == pytest.approx(1, abs=0.1)
    assert numbers(path, fps=10)[:9] == list(range(9))


@pytest.mark.parametrize("fps", [None, 12])
def test_a_bare_stream_has_no_clock(tmp_path: Path, fps: int | None) -> None:
    """Every picture once, at the rate that is told, or at the one its header states, with a warning."""
    path = make_video(tmp_path / "raw.h264", map(numbered, range(24)), 8)
    if fps is None:
        with pytest.warns(media.MediaWarning, match=r"raw\.h264 has no clock: 8 frames per second"):
            assert numbers(path) == list(range(24))
    else:
        assert numbers(path, fps=fps) == list(range(24))
        assert (media.probe(path, fps).fps, media.probe(path, fps).duration) == (12, 2.0)
        assert numbers(path, fps=fps, start=1) == list(range(12, 24))


def with_cover(path: Path, frames: int) -> Path:
    """A sound file with a cover picture, and `frames` of video before it."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=8) if frames else None
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = output.add_stream("aac", rate=48000)
        sound.layout = "mono"
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(frames):
                output.mux(video.encode(av.VideoFrame.from_ndarray(numbered(number))))
            output.mux(video.encode())
        output.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8))))
        output.mux(cover.encode())
        block = av.AudioFrame.from_ndarray(beeps(1.0, [0.5]), "fltp", "mono")
        block.sample_rate, block.pts = 48000, 0
        output.mux(sound.encode(block))
        output.mux(sound.encode())
    return path


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    from magicpose.errors import UserError

    song = with_cover(tmp_path / "song.mp4", 0)
    with pytest.raises(UserError, match=r"song\.mp4 holds only sound and a cover picture; name a file with a video"):
        media.probe(song)
    assert numbers(with_cover(tmp_path / "film.mp4", 8)) == list(range(8))


def test_interlaced_video_is_not_combed(tmp_path: Path) -> None:
    """A bar that moves sideways, its two fields a fiftieth of a second apart."""

    def at(moment: int) -> np.ndarray:
        picture = np.full((96, 128, 3), 30, np.uint8)
        picture[:, 8 + 6 * moment : 40 + 6 * moment] = 220
        return picture

    def woven(number: int) -> np.ndarray:
        picture = at(2 * number)
        picture[1::2] = at(2 * number + 1)[1::2]
        return picture

    def combing(frame: np.ndarray) -> float:
        rows = frame[..., 1].astype(float)
        return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())

    path = make_video(
        tmp_path / "dv.mp4", map(woven, range(6)), 25, codec="libx264", codec_options={"x264-params": "tff=1:crf=10"}
    )
    frames = list(media.read_video(path))
    assert len(frames) == 6
    assert max(map(combing, frames)) < 0.2 * combing(woven(2))
    still = make_video(tmp_path / "whole.mp4", map(numbered, range(6)), 25)
    assert numbers(still) == list(range(6))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("a.mov", "prores_ks", "yuva444p10le"), ("a.webm", "libvpx-vp9", "yuva420p")]
)
def test_transparency_is_laid_on_white_and_said(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    frames = np.zeros((4, 48, 64, 4), np.uint8)
    frames[..., 0], frames[:, :, 32:, 3] = 200, 255
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=8, options={"profile": "4444"} if codec == "prores_ks" else {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgba")))
        output.mux(stream.encode())
    with pytest.warns(media.MediaWarning, match="transparent in places, which are shown white"):
        shown = list(media.read_video(path))
    assert len(shown) == 4
    assert shown[0][:, :24].min() > 235
    assert np.abs(shown[0][:, 40:].astype(int) - (200, 0, 0)).max() < 25


def test_a_size_that_changes_on_the_way_keeps_shapes(tmp_path: Path) -> None:
    wide = make_video(tmp_path / "wide.ts", map(numbered, range(8)), 8)
    tall = make_video(tmp_path / "tall.ts", (np.full((64, 32, 3), (200, 40, 40), np.uint8) for _ in range(8)), 8)
    both = tmp_path / "both.ts"
    both.write_bytes(wide.read_bytes() + tall.read_bytes())
    with pytest.warns(media.MediaWarning, match="changes its size on the way"):
        shown = list(media.read_video(both))
    assert [frame.shape for frame in shown] == [(48, 64, 3)] * 16
    assert [number_of(frame) for frame in shown[:8]] == list(range(8))
    assert np.abs(shown[12].astype(int) - (200, 40, 40)).max() < 12
