"""Small real videos for the tests: frames that carry their number and show which way is up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

RED, GREEN, BLUE = (200, 40, 40), (40, 200, 40), (40, 40, 200)


def numbered(number: int, size: tuple[int, int] = (64, 48)) -> Frame:
    """A frame with `number` (0..255) as 8 dark or light blocks, red at the top left, green right, blue below."""
    width, height = size
    frame = np.full((height, width, 3), 110, np.uint8)
    frame[: height // 3, : width // 3] = RED
    frame[: height // 3, -(width // 3) :] = GREEN
    frame[-(height // 3) :, : width // 3] = BLUE
    for bit in range(8):
        columns = slice(bit * width // 8, (bit + 1) * width // 8)
        frame[height // 3 : 2 * height // 3, columns] = 220 if number >> bit & 1 else 20
    return frame


def number_of(frame: Frame) -> int:
    """What `numbered` wrote, from a coded or resized copy."""
    height, width = frame.shape[:2]
    row = frame[height // 2].mean(-1)
    return sum(int(row[(2 * bit + 1) * width // 16] > 120) << bit for bit in range(8))


def psnr(a: Frame, b: Frame) -> float:
    return float(10 * np.log10(255**2 / max(1e-6, float(np.mean((a.astype(float) - b) ** 2)))))


def make_video(
    path: Path,
    frames: Iterable[Frame],
    fps: Fraction | int = 10,
    *,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    pixel_shape: Fraction | None = None,
    sound: NDArray[np.float32] | None = None,
    sound_codec: str = "aac",
    sound_rate: int = 48000,
    sound_at: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of `frames` at `fps`, or shown from the `times` (seconds) on, with `sound` [channels, samples]."""
    frames = list(frames)
    tick = Fraction(1, 90000) if times is not None else 1 / Fraction(fps)
    with av.open(str(path), "w", options=options or {}) as output:
        stream = output.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = tick
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        if matrix is not None:
            if not hasattr(type(stream), "set_display_matrix"):
                pytest.skip("PyAV 17 reads display matrices but cannot write them")
            stream.set_display_matrix(matrix)
        track = None
        if sound is not None:
            track = output.add_stream(sound_codec, rate=sound_rate)
            track.layout = "mono" if sound.shape[0] == 1 else "stereo"
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts = index if times is None else round(times[index] / tick)
            picture.time_base = tick
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
        if track is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", track.layout.name)
            block.sample_rate, block.time_base = sound_rate, Fraction(1, sound_rate)
            block.pts = round(sound_at * sound_rate)
            output.mux(track.encode(block))
            output.mux(track.encode())
    return path


def make_sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        track = output.add_stream("aac", rate=48000)
        track.layout = "mono"
        block = av.AudioFrame.from_ndarray(beeps(1.0, [0.5]), "fltp", "mono")
        block.sample_rate, block.time_base, block.pts = 48000, Fraction(1, 48000), 0
        output.mux(track.encode(block))
        output.mux(track.encode())
    return path


def beeps(seconds: float, starts: Sequence[float], rate: int = 48000) -> NDArray[np.float32]:
    """Silence [1, samples] with a 40 ms tone at each of `starts`."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros_like(time)
    for start in starts:
        on = (time >= start) & (time < start + 0.04)
        sound[on] = 0.8 * np.sin(2 * np.pi * 1000 * (time[on] - start) + np.pi / 4)
    return sound[None].astype(np.float32)


def beep_starts(path: Path) -> list[float]:
    """When a tone is heard in `path`, in seconds of the file's own time, as a player would place it."""
    starts: list[float] = []
    last = -1.0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", 48000)
        for frame in container.decode(audio=0):
            for block in resampler.resample(frame):
                for loud in np.flatnonzero(np.abs(block.to_ndarray()[0]) > 0.3):
                    time = float(block.pts * block.time_base) + loud / 48000
                    if time - last > 0.1:
                        starts.append(time)
                    last = time
    return starts


def sound_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    return float(frames[-1].time + frames[-1].samples / frames[-1].sample_rate)
