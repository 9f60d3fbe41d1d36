"""Backgrounds: walls, rooms, streets, studios, painted at twice the size and averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.colour import cloth_colour, hsv, to_linear
from synthetic_people.noise import tileable_noise
from synthetic_people.patterns import weave
from synthetic_people.seeds import Stream, generator


class Wall:
    """The picture being painted: linear `image` [n, n, 3]; x, y and `horizon` in shares of the picture."""

    def __init__(self, rng: np.random.Generator, n: int, horizon: float) -> None:
        self.rng, self.n, self.horizon = rng, n, horizon
        self.y, self.x = (g / n for g in np.mgrid[0:n, 0:n])
        pastel = np.clip(cloth_colour(rng) * 0.5 + 0.42, 0, 1)
        self.colour = to_linear(pastel if rng.random() < 0.75 else cloth_colour(rng))
        self.cloud = self.noise(128, (3, 6, 12))
        slope = rng.normal(0, 0.35, 2)
        shade = np.clip(1 + slope[0] * (self.x - 0.5) + slope[1] * (self.y - 0.5), 0.3, 2)
        self.image = self.colour * (1 + 0.05 * self.cloud)[..., None] * shade[..., None]

    def noise(self, cells: int, octaves: tuple[int, ...]) -> Array:
        """[n, n] of unit deviation."""
        import cv2

        small = tileable_noise(cells, octaves, self.rng)
        return cv2.resize(small, (self.n, self.n), interpolation=cv2.INTER_CUBIC)

    def scale(self, amount: Array) -> None:
        self.image *= amount[..., None]

    def fill(self, x0: float, y0: float, x1: float, y1: float, colour: Array) -> None:
        rows, columns = ([max(0, int(v * self.n)) for v in pair] for pair in ((y0, y1), (x0, x1)))
        self.image[slice(*rows), slice(*columns)] = colour

    def cloth(self) -> Array:
        return to_linear(cloth_colour(self.rng).clip(0, 1))


def _wall(w: Wall) -> None:
    """As it is."""


def _gradient(w: Wall) -> None:
    other, angle = to_linear(np.clip(cloth_colour(w.rng) * 0.5 + 0.42, 0, 1)), w.rng.uniform(0, 2 * np.pi)
    t = 0.5 + 0.5 * (np.cos(angle) * (w.x - 0.5) + np.sin(angle) * (w.y - 0.5)) / 0.7
    w.image = w.colour * (1 - t[..., None]) + other * t[..., None]


def _studio(w: Wall) -> None:
    w.image = np.broadcast_to(w.colour, w.image.shape).copy()
    w.scale(np.clip(1.25 - 1.1 * np.hypot(w.x - 0.5, w.y - 0.45), 0.2, 2))


def _curtain(w: Wall) -> None:
    w.scale(1 + 0.3 * np.sin(w.x * w.rng.uniform(40, 110) + 2 * np.sin(w.x * 9)))


def _brick(w: Wall) -> None:
    height = w.rng.uniform(0.03, 0.06)
    width = height * 2.4
    row = np.floor(w.y / height).astype(int)
    column = (w.x + (row % 2) * width / 2) / width
    shade = w.rng.random((200, 200))
    w.scale(0.8 + 0.4 * shade[row % 200, np.floor(column).astype(int) % 200])
    mortar = (column % 1 < 0.05) | ((w.y / height) % 1 < 0.1)
    w.image[mortar] = w.image[mortar] * 0.4 + 0.25


def _outdoors(w: Wall) -> None:
    sky = np.clip(to_linear(np.array([0.45, 0.65, 0.92]) * w.rng.uniform(0.7, 1.08)), 0, 1)
    t = np.clip(w.y / max(w.horizon, 0.2), 0, 1)[..., None]
    w.image = sky * (1 - 0.6 * t) + 0.85 * 0.6 * t + np.clip(w.cloud - 0.3, 0, 1)[..., None] * 0.15 * (1 - t)
    for layer in range(3):  # hills and hedges
        ridge = w.horizon - (0.28 - 0.09 * layer) * w.rng.uniform(0.4, 1.3) + 0.06 * w.noise(64, (4, 8, 16))[0]
        hue = w.rng.uniform(0.22, 0.4) if w.rng.random() < 0.7 else w.rng.random()
        colour = to_linear(hsv(hue, w.rng.uniform(0.2, 0.6), w.rng.uniform(0.25, 0.6)))
        leaves, hill = 1 + 0.25 * w.noise(128, (16, 32, 64)), w.y > ridge[None]
        w.image[hill] = (colour * leaves[..., None])[hill]
    if w.rng.random() < 0.5:
        for _ in range(w.rng.integers(2, 6)):
            _house(w)


def _house(w: Wall) -> None:
    left, width, top = w.rng.uniform(-0.1, 0.9), w.rng.uniform(0.08, 0.25), w.horizon - w.rng.uniform(0.2, 0.7)
    colour = to_linear(np.clip(cloth_colour(w.rng) * 0.4 + 0.4, 0, 1))
    w.fill(left, top, left + width, w.horizon, colour)
    for y in np.arange(top + 0.03, w.horizon - 0.03, 0.06):
        for x in np.arange(left + 0.02, left + width - 0.03, 0.045):
            lit = w.rng.random() > 0.8
            w.fill(x, y, x + 0.02, y + 0.03, np.array([0.8, 0.7, 0.4]) if lit else colour * 0.35)


def _picture(w: Wall, x: float, y: float, colour: Array) -> None:
    width, height = w.rng.uniform(0.1, 0.26, 2)
    w.fill(x, y, x + width, y + height, colour * 0.3)
    w.fill(x + 0.015, y + 0.015, x + width - 0.015, y + height - 0.015, w.cloth())
    w.fill(x + 0.04, y + height * 0.5, x + width - 0.04, y + height - 0.03, colour)


def _window(w: Wall, x: float, y: float, colour: Array) -> None:
    width, height = w.rng.uniform(0.2, 0.34), w.rng.uniform(0.28, 0.5)
    w.fill(x, y, x + width, y + height, np.array([0.8, 0.8, 0.78]))
    sky = to_linear(np.array([0.6, 0.78, 0.97]) * w.rng.uniform(0.6, 1.05)).clip(0, 1)
    for a in (0, 1):
        for b in (0, 1):
            left, top = x + 0.015 + a * width / 2, y + 0.015 + b * height / 2
            w.fill(left, top, left + width / 2 - 0.03, top + height / 2 - 0.03, sky * (1.1 - 0.15 * b))


def _shelf(w: Wall, x: float, y: float, colour: Array) -> None:
    width, wood = w.rng.uniform(0.22, 0.4), to_linear(np.array([0.45, 0.3, 0.18]) * w.rng.uniform(0.6, 1.5)).clip(0, 1)
    for k in range(w.rng.integers(1, 5)):
        board, at = y + 0.05 + k * 0.14, x + 0.01
        while at < x + width - 0.03:
            thick = w.rng.uniform(0.01, 0.03)
            w.fill(at, board - w.rng.uniform(0.05, 0.1), at + thick, board, w.cloth())
            at += thick + 0.003
        w.fill(x, board, x + width, board + 0.018, wood)


def _door(w: Wall, x: float, y: float, colour: Array) -> None:
    base = w.horizon
    w.fill(x, base - 0.75, x + 0.3, base, colour * 0.6 + 0.15)
    w.fill(x + 0.03, base - 0.70, x + 0.27, base - 0.42, colour * 0.5 + 0.1)
    w.fill(x + 0.03, base - 0.36, x + 0.27, base - 0.04, colour * 0.5 + 0.1)


def _lamp(w: Wall, x: float, y: float, colour: Array) -> None:
    w.fill(x + 0.05, y + 0.1, x + 0.06, w.horizon, np.full(3, 0.05))
    w.fill(x, y, x + 0.11, y + 0.11, np.array([1.0, 0.85, 0.55]))
    glow = np.exp(-(((w.x - x - 0.055) / 0.2) ** 2 + ((w.y - y - 0.05) / 0.2) ** 2)) * 0.35
    w.image = w.image + glow[..., None] * np.array([1.0, 0.8, 0.5])


def _plant(w: Wall, x: float, y: float, colour: Array) -> None:
    import cv2

    green = to_linear(np.array([0.2, 0.45, 0.18]) * w.rng.uniform(0.6, 1.5)).clip(0, 1)
    stencil, root = np.zeros((w.n, w.n), np.uint8), np.array([x + 0.05, w.horizon - 0.1])
    for _ in range(22):
        angle, length = w.rng.uniform(-2.6, -0.5), w.rng.uniform(0.08, 0.22)
        tip = root + length * np.array([np.cos(angle), np.sin(angle)])
        start, end = ([int(v * w.n) for v in point] for point in (root, tip))
        cv2.line(stencil, start, end, 255, max(1, int(w.n * 0.012)), cv2.LINE_AA)
    alpha = (stencil / 255.0)[..., None]
    w.image = w.image * (1 - alpha) + green * alpha * (0.7 + 0.5 * w.rng.random())
    w.fill(x + 0.01, w.horizon - 0.11, x + 0.09, w.horizon + 0.02, colour * 0.7)


THINGS = (_picture, _window, _shelf, _door, _lamp, _plant)


def _furnish(w: Wall, count: int) -> None:
    for _ in range(count):
        thing = THINGS[w.rng.integers(len(THINGS))]
        thing(w, w.rng.uniform(-0.05, 0.85), w.rng.uniform(0.02, 0.4), w.cloth())


def _room(w: Wall) -> None:
    if w.rng.random() < 0.35:  # wallpaper
        kind = ("down", "dots", "floral", "diagonal")[w.rng.integers(4)]
        paper, repeats = weave(w.rng, kind).texture, w.rng.uniform(5, 12)
        column, row = (((v * repeats) % 1 * 127).astype(int) for v in (w.x, w.y))
        w.image = w.image * 0.75 + paper[row, column] * 0.25
    _furnish(w, int(w.rng.integers(1, 5)))


def _sparse(w: Wall) -> None:
    _furnish(w, 1)


def _floor(w: Wall, outdoors: bool) -> None:
    """Boards, tiles or carpet from the horizon down, in perspective."""
    if outdoors:
        colour = to_linear(hsv(w.rng.choice([0.28, 0.1, 0.6]), w.rng.uniform(0.05, 0.4), w.rng.uniform(0.35, 0.7)))
    else:
        colour = to_linear(np.array([0.5, 0.36, 0.24]) * w.rng.uniform(0.5, 1.6)).clip(0, 0.9)
    grain, kind = 1 + 0.12 * w.noise(128, (8, 16, 32)), w.rng.integers(3)
    away = 1 / (np.clip(w.y - w.horizon, 1e-3, None) + 0.12)
    across = (w.x - 0.5) * away
    if not outdoors and kind == 0:
        board = np.floor(across * 9)
        grain = grain * (0.82 + 0.3 * ((board * 7919 % 13) / 13)) * np.where((across * 9) % 1 < 0.06, 0.6, 1)
    if not outdoors and kind == 1:
        grain = grain * np.where((np.floor(across * 4) + np.floor(away * 2.2)) % 2 > 0, 1.15, 0.75)
    floor = w.y >= w.horizon
    w.image[floor] = (colour * grain[..., None])[floor]
    if not outdoors:
        skirting = (w.y > w.horizon - 0.02) & (w.y < w.horizon)
        w.image[skirting] = w.image[skirting] * 0.2 + 0.5


class Kind(NamedTuple):
    paint: Callable[[Wall], None]
    words: str  # for captions; {} is the colour
    full: float  # frequency in full scenes
    plain: float  # and in plain ones
    floor: bool = True


KINDS = {
    "wall": Kind(_wall, "a {} wall", 0.13, 0.4),
    "gradient": Kind(_gradient, "a {} backdrop", 0.05, 0.25, floor=False),
    "studio": Kind(_studio, "a {} studio", 0.1, 0.2, floor=False),
    "sparse": Kind(_sparse, "a {} room", 0.06, 0.15),
    "room": Kind(_room, "a furnished {} room", 0.3, 0),
    "brick": Kind(_brick, "a {} brick wall", 0.09, 0),
    "outdoors": Kind(_outdoors, "a landscape", 0.19, 0),
    "curtain": Kind(_curtain, "a {} curtain", 0.08, 0),
}


class Background(NamedTuple):
    """Linear float32 `image` [size, size, 3], its kind and its mean colour (linear [3])."""

    image: Array
    kind: str
    colour: Array


def make_background(seed: int, size: int, horizon: float, plain: bool) -> Background:
    """The background of a seed; `horizon`: height of the floor line as a share of the picture, below 1 if visible."""
    import cv2

    rng = generator(seed, Stream.BACKGROUND)
    weights = np.array([row.plain if plain else row.full for row in KINDS.values()])
    kind = tuple(KINDS)[rng.choice(len(KINDS), p=weights / weights.sum())]
    wall = paint_wall(rng, kind, size, horizon)
    image = cv2.resize(wall.clip(0, 1.2).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    blur = rng.choice([0, 0.6, 1.2, 2.2]) * size / 256
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    image = np.ascontiguousarray(image * rng.uniform(0.55, 1.0), np.float32)
    return Background(image, kind, image.mean((0, 1)))


def paint_wall(rng: np.random.Generator, kind: str, size: int, horizon: float) -> Array:
    """A background of a kind with its floor, linear [2 * size, 2 * size, 3]."""
    wall = Wall(rng, size * 2, horizon)
    KINDS[kind].paint(wall)
    if horizon < 1.05 and KINDS[kind].floor:
        _floor(wall, kind == "outdoors")
    return wall.image
