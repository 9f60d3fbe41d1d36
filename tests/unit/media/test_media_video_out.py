from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from magicpose import media
from magicpose.errors import UserError
from magicpose.media.formats import FORMATS, Container, Encoder, available
from magicpose.media.video_out import even
from media_clips import number_of, numbered, psnr

NAMES = ["out.mp4", "out.webm", "out.webp", "out.gif", "out"]
FRAMES = [numbered(k) for k in range(12)]


def read_back(path: Path) -> list[np.ndarray]:
    """What a viewer shows, frame by frame: webp and folders through Pillow, the rest through our own reader."""
    if path.is_dir():
        return [np.asarray(image) for image in media.read_image_folder(path)]
    if path.suffix == ".webp":
        with Image.open(path) as image:
            return [_frame(image, k) for k in range(getattr(image, "n_frames", 1))]
    return list(media.read_video(path))


def _frame(image: Image.Image, index: int) -> np.ndarray:
    image.seek(index)
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", NAMES)
def test_frames_come_back(tmp_path: Path, name: str) -> None:
    media.write_video(tmp_path / name, FRAMES, 10)
    found = read_back(tmp_path / name)
    assert [number_of(frame) for frame in found] == list(range(12))
    assert min(psnr(a, b) for a, b in zip(found, FRAMES, strict=True)) > 28
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_how_it_was_made_travels_along(tmp_path: Path, name: str) -> None:
    made = {
        "model": "tiny",
        "seed": 3,
        "settings": {"steps": 20, "note": 'a "quote", ünicode, 日本'},
        "long": "x" * 5000,
    }
    media.write_video(tmp_path / name, FRAMES[:3], 10, metadata=made)
    assert media.read_metadata(tmp_path / name) == made


@pytest.mark.parametrize("name", NAMES)
def test_a_single_frame(tmp_path: Path, name: str) -> None:
    media.write_video(tmp_path / name, FRAMES[7:8], 10, metadata={"seed": 1})
    assert [number_of(frame) for frame in read_back(tmp_path / name)] == [7]
    assert media.read_metadata(tmp_path / name) == {"seed": 1}


def test_files_of_others_carry_no_metadata_of_ours(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.gif", comment="[1, 2]")
    (tmp_path / "c.txt").write_text("hello")
    (tmp_path / "d").mkdir()
    assert [media.read_metadata(tmp_path / name) for name in ("a.png", "b.gif", "c.txt", "d")] == [None] * 4


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(24), 12.5, 29.97])
def test_the_rate_is_kept_exactly(tmp_path: Path, name: str, fps: float) -> None:
    media.write_video(tmp_path / name, FRAMES, fps)
    info = media.probe(tmp_path / name)
    assert info.fps == media.exact_fps(fps)
    assert info.duration == pytest.approx(12 / float(fps), abs=0.002)


def test_mp4_plays_everywhere_and_from_the_first_byte(tmp_path: Path) -> None:
    media.write_video(tmp_path / "out.mp4", FRAMES, 30)
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert container.streams.video[0].start_time == 0


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (65, 49)])
def test_odd_sizes_gain_a_repeated_row_or_column(tmp_path: Path, size: tuple[int, int]) -> None:
    frame = numbered(5, size)
    media.write_video(tmp_path / "out.mp4", [frame] * 2, 10)
    found = read_back(tmp_path / "out.mp4")[0]
    assert found.shape[:2] == (size[1] + size[1] % 2, size[0] + size[0] % 2)
    assert psnr(found, even(frame)) > 28
    assert (even(frame)[: size[1], : size[0]] == frame).all()


@pytest.mark.parametrize("name,size", [("out.gif", (63, 47)), ("out.webp", (63, 47)), ("out", (63, 47))])
def test_where_odd_sizes_are_possible_they_stay(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    media.write_video(tmp_path / name, [numbered(5, size)], 10)
    assert read_back(tmp_path / name)[0].shape == (47, 63, 3)


def test_a_folder_loses_nothing(tmp_path: Path) -> None:
    media.write_video(tmp_path / "out", FRAMES, 10)
    assert all((a == b).all() for a, b in zip(read_back(tmp_path / "out"), FRAMES, strict=True))


@pytest.mark.parametrize("fps", [30, 24, Fraction(30000, 1001), 7])
def test_gif_time_does_not_drift(tmp_path: Path, fps: float) -> None:
    frames = [numbered(k) for k in range(40)]
    media.write_video(tmp_path / "out.gif", frames, fps)
    with Image.open(tmp_path / "out.gif") as image:
        total = sum((image.seek(k), image.info["duration"])[1] for k in range(image.n_frames))
    assert total == pytest.approx(40_000 / float(fps), abs=5.01)


def test_gif_frames_share_one_good_palette(tmp_path: Path) -> None:
    """A slow change of colour must not flicker: a constant corner stays what it is in every frame."""
    y, x = np.mgrid[:48, :64]
    frames = [np.stack([x * 3 + k * 4, y * 4, x + y], -1).clip(0, 255).astype(np.uint8) for k in range(16)]
    for frame in frames:
        frame[:12, :12] = (180, 120, 90)
    media.write_video(tmp_path / "out.gif", frames, 10)
    found = read_back(tmp_path / "out.gif")
    assert min(psnr(a, b) for a, b in zip(found, frames, strict=True)) > 27
    assert max(np.abs(frame[2:10, 2:10].mean((0, 1)) - (180, 120, 90)).max() for frame in found) < 5


def test_pictures_may_be_given_as_pil(tmp_path: Path) -> None:
    media.write_video(tmp_path / "out", [Image.fromarray(frame) for frame in FRAMES], 10)
    assert (read_back(tmp_path / "out")[3] == FRAMES[3]).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_of_a_failure(tmp_path: Path, name: str) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield from FRAMES[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        media.write_video(tmp_path / name, failing(), 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_is_kept_until_the_new_is_whole(tmp_path: Path, name: str) -> None:
    media.write_video(tmp_path / name, FRAMES[:3], 10, metadata={"take": 1})
    with pytest.raises(UserError, match="exists already"):
        media.write_video(tmp_path / name, FRAMES, 10)
    with pytest.raises(ZeroDivisionError), media.VideoWriter(tmp_path / name, 10, overwrite=True) as writer:
        writer.write(FRAMES[0])
        raise ZeroDivisionError
    assert media.read_metadata(tmp_path / name) == {"take": 1}
    media.write_video(tmp_path / name, FRAMES[:2], 10, metadata={"take": 2}, overwrite=True)
    assert media.read_metadata(tmp_path / name) == {"take": 2}
    assert len(read_back(tmp_path / name)) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    with pytest.raises(UserError, match="left alone"):
        media.write_video(tmp_path / "home", FRAMES, 10, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    media.write_video(tmp_path / "a" / "b" / "out.gif", FRAMES[:2], 10)
    assert (tmp_path / "a" / "b" / "out.gif").exists()


def test_results_are_ordinary_files(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    media.write_video(tmp_path / "out.gif", FRAMES[:2], 10)
    assert (tmp_path / "out.gif").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    for wrong in (np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.float32), np.zeros((48, 64, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8"), media.VideoWriter(tmp_path / "a.mp4", 10) as writer:
            writer.write(wrong)
    with pytest.raises(ValueError, match="size"):
        media.write_video(tmp_path / "a.mp4", [FRAMES[0], FRAMES[0][:40]], 10)


def test_no_frames_is_an_error_not_an_empty_file(tmp_path: Path) -> None:
    for name in NAMES:
        with pytest.raises(UserError, match="no frames"):
            media.write_video(tmp_path / name, [], 10)
    assert not list(tmp_path.iterdir())


def test_encoders_fall_back_and_say_so() -> None:
    with pytest.warns(media.MediaWarning, match="built without no_such_coder; mpeg4 is used"):
        assert available((Encoder("no_such_coder"), Encoder("mpeg4"))).name == "mpeg4"
    with pytest.raises(UserError, match="no_such_coder"):
        available((Encoder("no_such_coder"),))


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_every_encoder_in_the_table_that_is_here_makes_good_pictures(tmp_path: Path, suffix: str) -> None:
    from magicpose.media.video_out import _ContainerSink

    row = FORMATS[suffix]
    assert isinstance(row, Container)
    for encoder in row.encoders:
        if encoder.name not in av.codecs_available:
            continue
        path = tmp_path / (encoder.name + suffix)
        form = Container(row.name, (encoder,), row.options)
        sink = _ContainerSink(form, path, Fraction(10), None, "{}")
        for frame in FRAMES:
            sink.write(frame)
        sink.finish()
        sink.close()
        found = read_back(path)
        assert min(psnr(a, b) for a, b in zip(found, FRAMES, strict=True)) > 27, encoder.name


def test_a_path_through_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        media.VideoWriter(tmp_path / "file" / "out.mp4", 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match="no permission"):
        media.VideoWriter(tmp_path / "out.mp4", 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_and_cleaned_up(tmp_path: Path, name: str) -> None:
    """A file size limit stands in for the disk: the same refusal in the same system call, in a process of its own."""
    script = f"""
import resource, signal, sys
import numpy as np
from magicpose import media
from magicpose.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
noise = np.random.default_rng(0)
try:
    with media.VideoWriter({str(tmp_path / name)!r}, 10) as writer:
        for _ in range(40):
            writer.write(noise.integers(0, 255, (96, 128, 3), np.uint8))
except UserError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    assert "cannot write" in done.stderr
    assert "nothing already made is lost" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_really_full_disk(tmp_path: Path, name: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        noise = np.random.default_rng(0)
        with pytest.raises(UserError, match=r"disk is full.*nothing already made is lost"):
            media.write_video(small / name, (noise.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(80)), 10)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_other_system_errors_pass_unchanged(tmp_path: Path) -> None:
    from magicpose.media.files import explained

    with pytest.raises(OSError, match="Input/output") as caught, explained(tmp_path / "a"):
        raise OSError(errno.EIO, "Input/output error")
    assert not isinstance(caught.value, UserError)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """200 MB of frames through the writer cost nowhere near 200 MB of memory."""
    script = f"""
import resource
import numpy as np
from magicpose import media
frame = np.zeros((720, 960, 3), np.uint8)
with media.VideoWriter({str(tmp_path / "long")!r} + ".webp", 30) as writer:
    for _ in range(3): writer.write(frame)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100): writer.write(frame)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert int(done.stdout) < 100 * 1024  # KiB
