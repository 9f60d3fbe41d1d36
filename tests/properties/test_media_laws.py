"""Laws of pictures and videos, for any size, rate, cut and damage."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from magicpose import media
from magicpose.errors import UserError
from magicpose.media import Canvas
from magicpose.media.canvas import MAX_LOSS
from media_clips import beeps, make_video, number_of, numbered, psnr

sides = st.integers(24, 80)
rates = st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(25, 2), Fraction(7), Fraction(60)])
pictures = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
canvases = st.builds(Canvas, st.integers(8, 96).map(lambda n: n * 8), st.integers(8, 96).map(lambda n: n * 8))


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(["a.mp4", "a.webm", "a"]), size=st.tuples(sides, sides), fps=rates, count=st.integers(1, 20)
)
def test_sizes_rates_and_counts_survive(name: str, size: tuple[int, int], fps: Fraction, count: int) -> None:
    frames = [numbered(k, size) for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        media.write_video(path, frames, fps)
        if path.is_dir():
            found = [np.asarray(image) for image in media.read_image_folder(path)]
        else:
            found = list(media.read_video(path))
            assert media.probe(path).fps == fps
            assert media.probe(path).frames == count
            assert media.probe(path).size == tuple(side + side % 2 for side in size)
    assert len(found) == count
    for made, drawn in zip(found, frames, strict=True):
        assert psnr(made[: size[1], : size[0]], drawn) > 22


@settings(max_examples=12, deadline=None)
@given(
    start=st.integers(0, 28),
    length=st.integers(1, 30),
    fps=st.sampled_from([10, 20, 5, Fraction(15), Fraction(25)]),
    limit=st.none() | st.integers(1, 9),
)
def test_a_cut_is_the_same_as_cutting_afterwards(start: int, length: int, fps: Fraction, limit: int | None) -> None:
    """Frame k of a cut is the frame on screen at start + k / fps; times are given in tenths of a second."""
    begin, end = start / 10, (start + length) / 10
    with tempfile.TemporaryDirectory() as folder:
        path = make_video(Path(folder) / "a.mp4", map(numbered, range(30)))
        found = [number_of(frame) for frame in media.read_video(path, fps, begin, end, limit)]
    instants = [Fraction(start, 10) + k / Fraction(fps) for k in range(200)]
    expected = [int(t * 10) for t in instants if t < min(Fraction(start + length, 10), 3)]
    assert found == expected[:limit]


@settings(max_examples=12, deadline=None)
@given(gaps=st.lists(st.integers(1, 40), min_size=2, max_size=20), fps=st.sampled_from([5, 24, 30]))
def test_variable_rates_against_the_naive_rule(gaps: list[int], fps: int) -> None:
    times = [float(t) for t in np.cumsum([0, *gaps]) / 100]
    with tempfile.TemporaryDirectory() as folder:
        path = make_video(Path(folder) / "a.mkv", map(numbered, range(len(times))), times=times, codec="ffv1")
        found = [number_of(frame) for frame in media.read_video(path, fps)]
    for k, number in enumerate(found):
        assert number == max(index for index, time in enumerate(times) if time <= k / fps + 0.0011)
    assert found[-1] == len(times) - 1 or times[-1] > (len(found) - 1) / fps


@given(source=pictures, canvas=canvases, data=st.data())
def test_points_go_to_the_canvas_and_back(source: tuple[int, int], canvas: Canvas, data: st.DataObject) -> None:
    points = np.array(data.draw(st.lists(st.tuples(*[st.floats(-4000, 4000)] * 3), min_size=1, max_size=5)))
    for placement in (canvas.place(source), canvas.place_whole(source)):
        there = placement.forward(points)
        assert np.allclose(placement.inverse(there), points, atol=1e-6)
        assert np.allclose(placement.forward(placement.inverse(points)), points, atol=1e-6)
        assert (there[:, 2] == points[:, 2]).all()


@given(source=pictures, canvas=canvases)
def test_shapes_are_kept_and_drivers_are_never_cut(source: tuple[int, int], canvas: Canvas) -> None:
    whole, filling = canvas.place_whole(source), canvas.place(source)
    corners = whole.forward(np.array([(0, 0), source], float))
    assert (corners >= 0).all()
    assert (corners <= np.array(canvas.size) + 1e-9).all()
    for placement in (whole, filling):
        x, y = np.divide(placement.scaled, placement.source)
        assert abs(x / y - 1) <= 1.2 / min(placement.scaled) or min(placement.scaled) < 4
        margins = np.subtract(placement.canvas, placement.scaled) - 2 * np.array(placement.offset)
        assert set(margins.tolist()) <= {0, 1}  # centred
    lost = 1 - np.prod(np.minimum(filling.canvas, filling.scaled)) / np.prod(filling.scaled)
    assert lost <= MAX_LOSS + 2 / min(canvas.size)


@settings(deadline=None, max_examples=30)
@given(
    source=st.tuples(st.integers(40, 200), st.integers(40, 200)),
    canvas=st.builds(Canvas, *[st.integers(8, 30).map(lambda n: n * 8)] * 2),
    spot=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
)
def test_pictures_and_points_move_alike(source: tuple[int, int], canvas: Canvas, spot: tuple[float, float]) -> None:
    """The centre of a soft spot lands where `forward` says, to a third of a pixel."""
    centre = np.array(spot) * source
    y, x = np.mgrid[: source[1], : source[0]] + 0.5
    radius = min(source) / 10
    soft = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * radius**2)) * 250
    image = Image.fromarray(np.repeat(soft[..., None], 3, -1).astype(np.uint8))
    placement = canvas.place(source)
    shown = np.asarray(placement.apply(image, fill=(0, 0, 0)))[..., 0].astype(float)
    v, u = np.mgrid[: canvas.height, : canvas.width] + 0.5
    found = np.array([(shown * u).sum(), (shown * v).sum()]) / shown.sum()
    assert np.abs(found - placement.forward(centre[None])[0]).max() < 0.34


@given(reference=pictures, size=st.integers(64, 4096), multiple=st.sampled_from([8, 16, 32, 64]))
def test_any_reference_gives_a_canvas(reference: tuple[int, int], size: int, multiple: int) -> None:
    canvas = Canvas.for_reference(reference, size, multiple)
    for side in canvas.size:
        assert side % multiple == 0
        assert 64 <= side <= 4096
    if all(64 < side < 4096 - 64 for side in canvas.size):
        ideal = np.array([1, 1]) * size * np.sqrt([reference[0] / reference[1], reference[1] / reference[0]])
        assert np.abs(np.array(canvas.size) - ideal).max() <= multiple / 2


@settings(deadline=None, max_examples=60)
@given(data=st.data(), name=st.sampled_from(["a.png", "a.jpg", "a.webp", "a.gif", "a.tiff", "a.bmp"]))
def test_damaged_pictures_never_crash(data: st.DataObject, name: str) -> None:
    """A picture or a UserError, whatever bytes are changed or missing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        Image.fromarray(numbered(3)).save(path)
        path.write_bytes(_damaged(path.read_bytes(), data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", media.MediaWarning)
            with contextlib.suppress(UserError):
                assert media.read_image(path).mode == "RGB"


@settings(deadline=None, max_examples=25)
@given(data=st.data(), name=st.sampled_from(["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"]))
def test_damaged_videos_never_crash(data: st.DataObject, name: str) -> None:
    """Frames, or a UserError; and writing with such a file's sound gives all the frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(_damaged(_whole_video(name), data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", media.MediaWarning)
            with contextlib.suppress(UserError):
                found = list(media.read_video(path, max_frames=100))
                media.write_video(Path(folder) / "out.mp4", found, 10, audio=media.AudioSource(path))
                assert media.probe(Path(folder) / "out.mp4").frames == len(found)


@functools.cache  # made anew, a Matroska file may differ by a byte, and Hypothesis must see the same choices again
def _whole_video(name: str) -> bytes:
    codecs = ("libvpx", "libopus") if name == "a.webm" else ("libx264", "aac")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        make_video(path, map(numbered, range(12)), codec=codecs[0], sound=beeps(1.2, [0.5]), sound_codec=codecs[1])
        return path.read_bytes()


def _damaged(content: bytes, data: st.DataObject) -> bytes:
    kept = bytearray(content[: data.draw(st.integers(0, len(content)), "kept")])
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content)), st.integers(0, 255)), max_size=8)):
        if place < len(kept):
            kept[place] = value
    return bytes(kept)
