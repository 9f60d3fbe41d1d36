"""One reader for pictures, folders, animations and videos; what a file is, its content says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magicpose import media
from magicpose.errors import UserError
from media_clips import make_video, number_of, numbered

FRAMES = [Image.fromarray(numbered(k)) for k in range(12)]
WRITTEN = {
    "a.gif": {},
    "a.webp": {"lossless": True},
    "a.png": {},
    "a.avif": {"quality": 90},
}


def animation(path: Path, length: int | list[int] = 125, frames: list[Image.Image] = FRAMES) -> Path:
    options = WRITTEN[f"a{path.suffix}"]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=length, **options)  # type: ignore[arg-type]
    return path


def numbers(path: Path, **settings: object) -> list[int]:
    return [number_of(frame) for frame in media.open_frames(path, **settings).frames()]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("disguise", [None, "dance.mp4", "dance.jpg"])
def test_an_animation_moves_whatever_its_name(tmp_path: Path, name: str, disguise: str | None) -> None:
    path = animation(tmp_path / name, 120)
    if disguise is not None:
        path = path.rename(tmp_path / disguise)
    source = media.open_frames(path)
    assert (source.count, source.size, float(source.fps), source.still) == (12, (64, 48), pytest.approx(25 / 3), False)
    assert numbers(path) == list(range(12))
    assert numbers(path, start=0.48, end=0.96) == [4, 5, 6, 7]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4", "a.webm"])
@pytest.mark.parametrize("fps", [8, 25, 30])
def test_our_own_outputs_are_read_back(tmp_path: Path, name: str, fps: int) -> None:
    media.write_video(tmp_path / name, FRAMES, fps)
    source = media.open_frames(tmp_path / name)
    assert (source.fps, source.count) == (fps, 12)
    assert numbers(tmp_path / name) == list(range(12))


def test_uneven_times_of_an_animation(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", [100, 300, 100, 500], FRAMES[:4])
    assert numbers(path, fps=10) == [0, 1, 1, 1, 2, 3, 3, 3, 3, 3]


def test_an_animation_without_times_is_shown_as_browsers_do(tmp_path: Path) -> None:
    assert media.open_frames(animation(tmp_path / "a.gif", 0)).fps == 10


def test_the_hidden_first_picture_of_an_animated_png_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    FRAMES[9].save(path, save_all=True, append_images=FRAMES[:4], default_image=True, duration=100)
    assert numbers(path) == [0, 1, 2, 3]


def test_an_animation_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    frames = [Image.fromarray(noise.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(8)]
    path = animation(tmp_path / "a.png", 100, frames)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(media.MediaWarning, match=r"is damaged after \d pictures; the rest is left out"):
        assert 1 < len(list(media.open_frames(path).frames())) < 8


def test_transparency_of_an_animation_is_laid_on_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (64, 48), (200, 0, 0, 0)), Image.new("RGBA", (64, 48), (0, 200, 0, 255))]
    path = animation(tmp_path / "a.webp", 100, frames)
    with pytest.warns(media.MediaWarning, match="transparent in places, which are shown white"):
        shown = list(media.open_frames(path).frames())
    assert (shown[0] == 255).all()
    assert np.abs(shown[1].astype(int) - (0, 200, 0)).max() < 3


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tga", "a.tiff"])
def test_a_single_picture_is_still(tmp_path: Path, name: str) -> None:
    FRAMES[5].save(tmp_path / name)
    source = media.open_frames(tmp_path / name)
    assert (source.still, source.count, source.fps) == (True, 1, media.PICTURE_FPS)
    assert numbers(tmp_path / name) == [5]
    with pytest.raises(UserError, match="is no video: --start and --end do not apply"):
        media.open_frames(tmp_path / name, start=1)


@pytest.mark.parametrize("name", ["me.gif", "me.png", "me.webp", "me"])
def test_a_video_under_the_name_of_a_picture(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / "a.mp4", map(numbered, range(8))).rename(tmp_path / name)
    assert numbers(path) == list(range(8))


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number in range(12):
        FRAMES[number].save(tmp_path / f"{number}.png")
    assert numbers(tmp_path, fps=8, max_frames=11) == list(range(11))
    FRAMES[0].resize((32, 32)).save(tmp_path / "12.png")
    with pytest.raises(UserError, match=r"12\.png is 32x32, the pictures before it 64x48"):
        numbers(tmp_path)


def test_what_is_nothing_is_said_by_its_name(tmp_path: Path) -> None:
    for name, line in {
        "me.png": "no picture in .* can be decoded",
        "me.mp4": "is damaged, cut short or not a video",
    }.items():
        (tmp_path / name).write_bytes(b"hello " * 99)
        with pytest.raises(UserError, match=line):
            media.open_frames(tmp_path / name)


def test_a_picture_is_taken_from_an_animation_with_a_note(tmp_path: Path) -> None:
    with pytest.warns(media.MediaWarning, match=r"a\.webp is a moving picture; its first frame is taken"):
        assert number_of(np.asarray(media.read_image(animation(tmp_path / "a.webp")))) == 0


def test_heic_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        line = r"IMG_0001\.jpg is a HEIC picture, which takes pillow-heif to read: pip install pillow-heif"
    else:
        line = r"IMG_0001\.jpg is damaged"
    for read in (media.read_image, media.open_frames):
        with pytest.raises(UserError, match=line):
            read(path)


def test_frames_start_again_each_time(tmp_path: Path) -> None:
    source = media.open_frames(animation(tmp_path / "a.webp"))
    assert [len(list(source.frames())) for _ in range(2)] == [12, 12]
