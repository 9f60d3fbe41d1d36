from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from magicpose.errors import UserError
from magicpose.media import Canvas, parse_size


@pytest.mark.parametrize(
    "reference,size,expected",
    [
        ((512, 512), 256, (256, 256)),
        ((1080, 1920), 512, (384, 680)),
        ((1920, 1080), 512, (680, 384)),
        ((3000, 2000), (512, 768), (512, 768)),
        ((100, 10_000), 128, (64, 1280)),
    ],
)
def test_the_canvas_follows_the_reference(
    reference: tuple[int, int], size: int | tuple[int, int], expected: tuple[int, int]
) -> None:
    assert Canvas.for_reference(reference, size).size == expected


@pytest.mark.parametrize("size", [(500, 512), (0, 512), (8192, 512), 10, 5000])
def test_impossible_sizes_name_a_possible_one(size: int | tuple[int, int]) -> None:
    with pytest.raises(UserError, match="64 to 4096"):
        Canvas.for_reference((512, 512), size)


def test_the_nearest_size_is_offered() -> None:
    with pytest.raises(UserError, match="try 504x512"):
        Canvas.for_reference((512, 512), (501, 510))


@pytest.mark.parametrize("text,size", [("512", 512), ("512x768", (512, 768)), (" 640X480 ", (640, 480))])
def test_sizes_are_read(text: str, size: int | tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "512x", "x512", "-3", "512x768x3", "1e3", "999999"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(UserError, match="size must look like"):
        parse_size(text)


def test_little_overhang_is_cut_much_is_padded() -> None:
    canvas = Canvas(256, 256)
    cut = canvas.place((110, 100))
    assert cut.scaled == (282, 256)
    assert cut.offset[0] < 0
    padded = canvas.place((200, 100))
    assert padded.scaled == (256, 128)
    assert padded.offset == (0, 64)
    assert canvas.place_whole((110, 100)).scaled == (256, 233)


def test_padding_repeats_the_border_or_takes_a_colour() -> None:
    image = Image.new("RGB", (20, 10), (9, 99, 199))
    placement = Canvas(64, 64).place(image.size)
    assert (np.asarray(placement.apply(image)) == (9, 99, 199)).all()
    black = np.asarray(placement.apply(image, fill=(0, 0, 0)))
    assert (black[:16] == 0).all()
    assert (black[16:48] == (9, 99, 199)).all()
    assert (black[48:] == 0).all()


def test_a_picture_of_the_canvas_size_is_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 72, 3), np.uint8)
    assert (np.asarray(Canvas(72, 64).place((72, 64)).apply(Image.fromarray(pixels))) == pixels).all()


def test_only_the_picture_it_was_made_for() -> None:
    with pytest.raises(ValueError, match="placement"):
        Canvas(64, 64).place((30, 30)).apply(Image.new("RGB", (31, 30)))
