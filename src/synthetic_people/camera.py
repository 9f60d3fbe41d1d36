"""Faults of the wild style's camera: exposure, white balance, vignette, blur, grain, tone curve, sharpening, JPEG.

All are drawn once per clip from the scene's seed, so the pictures of one clip share them, whoever is in it. From
frame to frame differ only the grain, which is new each time, and the motion blur, which follows the movement.
Nothing moves a point: blurs are symmetric, and no lens bends lines, so keypoints stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.colour import to_srgb
from synthetic_people.kernels import njit
from synthetic_people.lamps import on_person
from synthetic_people.seeds import Stream, generator
from synthetic_people.shading import Light

LEVELS, BRIGHTEST = 4096, 1.6  # entries of the tone curve and the linear value of the last
WEIGHTS = np.array([0.3, 0.6, 0.1])  # brightness of linear RGB


@dataclass(frozen=True)
class CameraFaults:
    """What a camera does to a clip. Lengths are shares of the picture's side, light is linear, 1 = white."""

    gain: Array  # [3]: exposure and white balance
    vignette: float  # loss of light in the corners
    defocus: float  # deviation of the blur; 0 = sharp
    shake: tuple[float, float]  # length of the camera's own movement, direction in radians
    shutter: float  # seconds the person moves while the picture is taken
    shot: float  # noise: variance per unit of light
    read: float  # and deviation in the dark
    blotch: float  # pixels: grain size, 0 = independent pixels
    curve: Array  # uint8 [LEVELS]: tone curve
    saturation: float
    sharpen: float
    quality: int  # of JPEG; 0 = none


def _perhaps(rng: np.random.Generator, chance: float, low: float, high: float) -> float:
    """With that chance a number between `low` and `high`, else 0."""
    value = float(rng.uniform(low, high))
    return value if rng.random() < chance else 0.0


def _curve(rng: np.random.Generator) -> Array:
    """sRGB with another gamma, an S shape, lifted blacks and whites that clip early or never."""
    value = to_srgb(np.linspace(0, BRIGHTEST, LEVELS) / rng.uniform(0.8, 1.25))
    value = value ** np.exp(rng.normal(-0.05, 0.12))
    steep = rng.uniform(0, 0.6)
    value = value * (1 - steep) + steep * value * value * (3 - 2 * value)
    low, high = _perhaps(rng, 0.5, 0, 0.12), 1 - _perhaps(rng, 0.5, 0, 0.12)
    return np.round(255 * (low + (high - low) * value)).astype(np.uint8)


def draw_faults(seed: int, light: Light, background: Array) -> CameraFaults:
    """The faults of a clip. The exposure meters the light and the background, never the person."""
    rng = generator(seed, Stream.CAMERA)
    meter = 0.35 * background.mean((0, 1)) + 0.65 * on_person(light)
    # white balance takes away part of the light's colour, and adds an error of its own
    cast = (meter / (meter @ WEIGHTS)) ** -rng.uniform(0.3, 1.0) * np.exp(rng.normal(0, [0.06, 0.02, 0.07]))
    exposure = 0.25 * 2 ** rng.normal(0.1, 0.4) / (meter @ WEIGHTS)
    noisy = rng.random() ** 4
    return CameraFaults(
        gain=(exposure * cast).astype(np.float32),
        vignette=_perhaps(rng, 0.5, 0.1, 0.6),
        defocus=_perhaps(rng, 0.4, 0.002, 0.008),
        shake=(_perhaps(rng, 0.2, 0.008, 0.03), float(rng.uniform(0, np.pi))),
        shutter=_perhaps(rng, 0.7, 0.005, 0.05),
        shot=0.0002 + 0.004 * noisy,
        read=0.001 + 0.008 * noisy,
        blotch=_perhaps(rng, 0.5, 0.5, 1.0),
        curve=_curve(rng),
        saturation=_perhaps(rng, 0.96, 0.6, 1.45),
        sharpen=_perhaps(rng, 0.5, 0.2, 1.0),
        quality=int(_perhaps(rng, 0.75, 25, 96)),
    )  # fmt: skip


@njit
def expose(person: Array, background: Array, gain: Array, vignette: float, out: Array) -> None:
    """out float32 [H, W, 3]: premultiplied person [H, W, 4] over the background as light on the sensor."""
    height, width, _ = person.shape
    for y in range(height):
        v = (y + 0.5) / height * 2 - 1
        for x in range(width):
            u = (x + 0.5) / width * 2 - 1
            open_share = 1 - vignette * 0.5 * (u * u + v * v)
            rest = 1 - person[y, x, 3]
            for k in range(3):
                out[y, x, k] = (person[y, x, k] + background[y, x, k] * rest) * gain[k] * open_share


@njit
def develop(light: Array, grain: Array, shot: float, read: float, saturation: float, curve: Array, out: Array) -> None:
    """out uint8 [H, W, 3]: light on the sensor with grain (unit deviation), through colours and tone curve."""
    height, width, _ = light.shape
    scale = (curve.shape[0] - 1) / BRIGHTEST
    for y in range(height):
        for x in range(width):
            r = light[y, x, 0] + grain[y, x, 0] * (shot * light[y, x, 0] + read * read) ** 0.5
            g = light[y, x, 1] + grain[y, x, 1] * (shot * light[y, x, 1] + read * read) ** 0.5
            b = light[y, x, 2] + grain[y, x, 2] * (shot * light[y, x, 2] + read * read) ** 0.5
            grey = (0.3 * r + 0.6 * g + 0.1 * b) * (1 - saturation)
            out[y, x, 0] = curve[int(min(max((grey + saturation * r) * scale, 0.0), curve.shape[0] - 1.0))]
            out[y, x, 1] = curve[int(min(max((grey + saturation * g) * scale, 0.0), curve.shape[0] - 1.0))]
            out[y, x, 2] = curve[int(min(max((grey + saturation * b) * scale, 0.0), curve.shape[0] - 1.0))]


class FaultyFilm:
    """Takes the pictures of the clip of `seed`, `size` pixels square. Buffers are reused: one film, one thread."""

    def __init__(self, seed: int, size: int, faults: CameraFaults) -> None:
        self.seed, self.size, self.faults, self.shutter = seed, size, faults, faults.shutter
        self._light = np.empty((size, size, 3), np.float32)
        self._shake = _line(faults.shake[0] * size, faults.shake[1])

    def take(self, person: Array, background: Array, frame: int) -> Array:
        """uint8 [size, size, 3] of premultiplied person [size, size, 4] over the linear background, with its grain."""
        import cv2

        faults, light = self.faults, self._light
        expose(person, background, faults.gain, faults.vignette, light)
        if faults.defocus > 0:
            light = cv2.GaussianBlur(light, (0, 0), faults.defocus * self.size)
        if self._shake is not None:
            light = cv2.filter2D(light, -1, self._shake, borderType=cv2.BORDER_REPLICATE)
        out = np.empty((self.size, self.size, 3), np.uint8)
        develop(light, self._grain(frame), faults.shot, faults.read, faults.saturation, faults.curve, out)
        if faults.sharpen > 0:
            out = cv2.addWeighted(out, 1 + faults.sharpen, cv2.GaussianBlur(out, (0, 0), 1.0), -faults.sharpen, 0)
        return _compressed(out, faults.quality) if faults.quality else out

    def _grain(self, frame: int) -> Array:
        import cv2

        rng = generator(self.seed, Stream.GRAIN, frame)
        grain = rng.standard_normal((self.size, self.size, 3), np.float32)
        if self.faults.blotch > 0:
            grain = cv2.GaussianBlur(grain, (0, 0), self.faults.blotch)
            grain *= 1.5 * self.faults.blotch + 0.5  # near unit deviation again
        return grain


def _line(length: float, angle: float) -> Array | None:
    """A blur kernel float32 [n, n], n odd: a line through the middle; None below a pixel."""
    if length < 1:
        return None
    n = 2 * int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[:n, :n] - n // 2
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.sin(angle) * x - np.cos(angle) * y
    kernel = np.clip(1 - np.abs(across), 0, 1) * np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def _compressed(picture: Array, quality: int) -> Array:
    """The picture after a JPEG of that quality, colours at half resolution."""
    import cv2

    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: Array = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return decoded[..., ::-1]
