from __future__ import annotations

import re
import warnings
from pathlib import Path

import av
import numpy as np
import pytest

from magicpose import media
from media_clips import beep_starts, beeps, make_video, numbered, sound_seconds

BEEPS = [0.5, 1.5, 2.5, 3.5]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 4 s with a tone at each of BEEPS, in four containers and codecs."""
    folder = tmp_path_factory.mktemp("sound")
    kinds = {"mp4": ("aac", 44100), "webm": ("libopus", 48000), "mkv": ("pcm_s16le", 22050), "ts": ("aac", 48000)}
    made = {}
    for suffix, (codec, rate) in kinds.items():
        made[suffix] = make_video(
            folder / f"source.{suffix}",
            map(numbered, range(40)),
            codec="libvpx" if suffix == "webm" else "libx264",
            sound=beeps(4, BEEPS, rate),
            sound_codec=codec,
            sound_rate=rate,
        )
    return made


def carried(source: Path, out: Path, start: float = 0, end: float | None = None, fps: float = 10) -> Path:
    frames = media.read_video(source, fps, start, end)
    media.write_video(out, frames, fps, audio=media.AudioSource(source, start, end))
    return out


@pytest.mark.parametrize("start,end,fps", [(0, None, 10), (1.3, 3.7, 30)])
@pytest.mark.parametrize("target", ["mp4", "webm"])
@pytest.mark.parametrize("kind", ["mp4", "webm", "mkv", "ts"])
def test_sound_stays_in_step(
    tmp_path: Path, sources: dict[str, Path], kind: str, target: str, start: float, end: float | None, fps: float
) -> None:
    """Each tone is heard where it was, less the cut, to 5 ms; and the sound ends with the pictures."""
    out = carried(sources[kind], tmp_path / f"out.{target}", start, end, fps)
    expected = [time - start for time in BEEPS if start <= time < (end or 4)]
    assert beep_starts(out) == pytest.approx(expected, abs=0.005)
    assert sound_seconds(out) == pytest.approx(media.probe(out).duration, abs=0.045)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_whole_sound_is_copied_bit_by_bit(tmp_path: Path, sources: dict[str, Path], kind: str) -> None:
    out = carried(sources[kind], tmp_path / f"out.{kind}")
    assert packets(out) == packets(sources[kind])[: len(packets(out))]
    assert len(packets(out)) >= len(packets(sources[kind])) - 2


def test_sound_longer_than_the_pictures_is_cut(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", map(numbered, range(10)), sound=beeps(3, BEEPS))
    out = carried(source, tmp_path / "out.mp4")
    assert sound_seconds(out) == pytest.approx(1, abs=0.045)


def test_short_sound_leaves_silence(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", map(numbered, range(30)), sound=beeps(0.7, [0.5]))
    out = carried(source, tmp_path / "out.webm")
    assert beep_starts(out) == pytest.approx([0.5], abs=0.005)
    assert media.probe(out).duration == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("target", ["mp4", "webm"])
@pytest.mark.parametrize("start", [0, 0.4])
def test_sound_that_begins_late_comes_late(tmp_path: Path, target: str, start: float) -> None:
    source = make_video(tmp_path / "s.mp4", map(numbered, range(30)), sound=beeps(2, [0.5, 1.5]), sound_at=0.8)
    out = carried(source, tmp_path / f"out.{target}", start)
    assert beep_starts(out) == pytest.approx([1.3 - start, 2.3 - start], abs=0.005)


def test_pictures_that_begin_late_lose_the_sound_before_them(tmp_path: Path) -> None:
    times = [0.9 + k / 10 for k in range(20)]
    source = make_video(tmp_path / "s.mp4", map(numbered, range(20)), times=times, sound=beeps(2.9, [0.5, 1.5, 2.5]))
    for target in ("mp4", "webm"):
        out = carried(source, tmp_path / f"out.{target}")
        assert beep_starts(out) == pytest.approx([0.6, 1.6], abs=0.005)


def test_seeking_far_into_a_long_clip_keeps_step(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", map(numbered, range(200)), sound=beeps(20, [15.5, 16.5]))
    assert beep_starts(carried(source, tmp_path / "out.mp4", 15, 18)) == pytest.approx([0.5, 1.5], abs=0.005)


def test_without_sound_there_is_no_track(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", map(numbered, range(5)))
    assert not media.probe(carried(source, tmp_path / "out.mp4")).has_audio


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "out"])
def test_formats_without_sound_say_so(tmp_path: Path, sources: dict[str, Path], name: str) -> None:
    with pytest.warns(media.MediaWarning, match="sound that is left out"):
        carried(sources["mp4"], tmp_path / name, 0, 1)


@pytest.mark.filterwarnings("ignore::magicpose.media.MediaWarning")
@pytest.mark.parametrize("target", ["mp4", "webm"])
def test_damaged_sound_costs_only_sound(tmp_path: Path, sources: dict[str, Path], target: str) -> None:
    data = bytearray(sources["ts"].read_bytes())
    for place in np.random.default_rng(1).integers(5000, len(data), 60):
        data[place] ^= 0xFF
    (tmp_path / "bad.ts").write_bytes(data)
    frames = [numbered(k) for k in range(20)]
    out = tmp_path / f"out.{target}"
    media.write_video(out, frames, 10, audio=media.AudioSource(tmp_path / "bad.ts"))
    assert len(list(media.read_video(out))) == 20


def test_a_sound_packet_that_cannot_be_copied_costs_its_moment(tmp_path: Path, sources: dict[str, Path]) -> None:
    """Cut off in the header of a sound packet, whose length is wrong besides: MP4 cannot take that packet."""
    content = sources["ts"].read_bytes()
    header = content.index(b"\xff\xf1", len(content) // 2)
    (tmp_path / "bad.ts").write_bytes(content[: header + 4] + b"\0" + content[header + 5 : header + 11])
    out = tmp_path / "out.mp4"
    with pytest.warns(media.MediaWarning, match="damaged sound"):
        media.write_video(out, map(numbered, range(30)), 10, audio=media.AudioSource(tmp_path / "bad.ts"))
    assert len(list(media.read_video(out))) == 30
    assert sound_seconds(out) > 1


def test_sound_packets_out_of_order_cost_their_moment(tmp_path: Path) -> None:
    """The time code of one Matroska block (track 2, key frame) is seconds too late, so all after it come too early."""
    source = make_video(tmp_path / "s.mkv", map(numbered, range(20)), sound=beeps(2, [0.5]))
    content = bytearray(source.read_bytes())
    block = re.search(rb"\xa3(?:[\x40-\x7f].|[\x80-\xfe])\x82(\x00.)\x80", content, re.DOTALL)
    assert block is not None
    content[block.start(1)] = 0x16
    (tmp_path / "bad.mkv").write_bytes(content)
    out = tmp_path / "out.mp4"
    with pytest.warns(media.MediaWarning, match="damaged sound"):
        media.write_video(out, map(numbered, range(60)), 10, audio=media.AudioSource(tmp_path / "bad.mkv"))
    assert len(list(media.read_video(out))) == 60


def test_stereo_stays_stereo_and_the_sides_stay(tmp_path: Path) -> None:
    left, right = beeps(2, [0.5])[0], beeps(2, [1.5])[0]
    source = make_video(tmp_path / "s.mkv", map(numbered, range(20)), sound=np.stack([left, right]), sound_codec="flac")
    out = carried(source, tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    energy = np.square(sound[:, : 2 * 48000]).reshape(2, 2, 48000).sum(-1)  # [side, second]
    assert (energy.argmax(1) == [0, 1]).all()
    assert energy.min() < 0.01 * energy.max()


def test_nothing_is_warned_of_when_all_is_well(tmp_path: Path, sources: dict[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        carried(sources["mp4"], tmp_path / "out.mp4")
