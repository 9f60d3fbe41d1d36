"""Backgrounds of the wild style: heaps, rooms, foliage, lights out of focus, with the statistics of photographs.

Objects of power-law sizes that hide one another ("dead leaves", Lee, Mumford and Huang 2001) have both the 1/f
spectrum and the edges of photographs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array
from synthetic_people.background import KINDS, Background, paint_wall
from synthetic_people.colour import hsv, to_linear
from synthetic_people.lamps import on_person, wild_light
from synthetic_people.seeds import Stream, generator
from synthetic_people.texture import cloud, random_texture

ATLAS = 256  # texels of the cloud that lies over everything


class Scene:
    """What is being painted: `n` pixels a side, the floor's `horizon`, and a cloud to take surfaces from."""

    def __init__(self, rng: np.random.Generator, n: int, horizon: float) -> None:
        self.rng, self.n, self.horizon = rng, n, horizon
        self.y, self.x = (g.astype(np.float32) / n for g in np.mgrid[0:n, 0:n])
        self.cloud = cloud(rng, ATLAS, rng.uniform(1.1, 1.7))
        self.palette = _palette(rng)

    def grain(self, u: Array, v: Array) -> Array:
        """The cloud at coordinates in shares of the picture."""
        return self.cloud[(v * ATLAS).astype(np.int32) % ATLAS, (u * ATLAS).astype(np.int32) % ATLAS]

    def colours(self, count: int) -> Array:
        """Linear RGB [count, 3] near the palette; brightness spreads as in photographs."""
        chosen = self.palette[self.rng.integers(len(self.palette), size=count)]
        return (chosen * np.exp(self.rng.normal(0, [0.1, 0.06, 0.1], (count, 3)))) * np.exp(
            self.rng.normal(0, 0.55, (count, 1))
        )


def _palette(rng: np.random.Generator) -> Array:
    """Three to six linear colours as photographs have them: wood, stone and skin, sky, leaves; seldom any hue."""
    count = rng.integers(3, 7)
    usual = rng.choice([0.08, 0.58, 0.3], count, p=(0.6, 0.25, 0.15)) + rng.normal(0, 0.04, count)
    hues = np.where(rng.random(count) < 0.85, usual, rng.random(count))
    most = rng.choice([0.35, 0.6, 1.0], p=(0.5, 0.35, 0.15))
    return np.stack([to_linear(hsv(hue % 1, most * rng.random() ** 1.5, rng.uniform(0.15, 0.9))) for hue in hues])


def _heap(s: Scene, count: int, smallest: float, upright: float, blades: bool, top: float = 0.0) -> Array:
    """Label [n, n] of the topmost of `count` objects, each laid over the earlier ones; 0 is the ground."""
    import cv2

    labels = np.zeros((s.n, s.n), np.int32)
    sizes = np.sort(np.minimum(smallest * s.rng.random(count) ** -0.6, 0.5))[::-1]
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for k, reach in enumerate(sizes, 1):
        centre = np.array([s.rng.uniform(-0.1, 1.1), s.rng.uniform(top - 0.1, 1.1)])
        slim, angle = s.rng.uniform(0.25, 1), 0.0 if s.rng.random() < upright else s.rng.uniform(0, np.pi)
        if blades:
            outline = np.stack([np.cos(turn), 0.35 * slim * np.sin(turn) * np.abs(np.sin(turn / 2))], 1)
        elif s.rng.random() < 0.55:
            outline = np.array([[-1, -slim], [1, -slim], [1, slim], [-1, slim]]) * s.rng.permutation([1.0, 1.0])
            outline = outline[:, :: 1 if s.rng.random() < 0.5 else -1]
        else:
            lumps = 1 + s.rng.uniform(0, 0.35) * np.sin(turn * s.rng.integers(2, 6) + s.rng.uniform(0, 6))
            outline = np.stack([np.cos(turn), slim * np.sin(turn)], 1) * lumps[:, None]
        c, w = np.cos(angle), np.sin(angle)
        points = (centre + reach * outline @ np.array([[c, w], [-w, c]])) * s.n * 16
        cv2.fillPoly(labels, [np.round(points).astype(np.int32)], k, shift=4)
    return labels


def _surface(s: Scene, labels: Array, contrast: float) -> Array:
    """Linear [n, n, 3]: every label gets a colour, a slope of light and a piece of the cloud."""
    count = int(labels.max()) + 1
    colours = s.colours(count).astype(np.float32)
    slope = s.rng.normal(0, 0.9, (count, 2)).astype(np.float32)
    offset = s.rng.random((count, 2)).astype(np.float32)
    rough = np.abs(s.rng.normal(0, contrast, count)).astype(np.float32)
    scale = s.rng.choice([1.0, 2.0, 4.0], count).astype(np.float32)
    u, v = s.x * scale[labels] + offset[labels, 0], s.y * scale[labels] + offset[labels, 1]
    light = slope[labels, 0] * (s.x - 0.5) + slope[labels, 1] * (s.y - 0.5)
    return colours[labels] * np.exp(rough[labels] * s.grain(u, v) + light - _contact(s, labels))[..., None]


def _contact(s: Scene, labels: Array) -> Array:
    """[n, n]: how much darker it is (exponent) where one thing lies on another."""
    import cv2

    edge = np.zeros(labels.shape, np.float32)
    edge[1:] = labels[1:] != labels[:-1]
    edge[:, 1:] += labels[:, 1:] != labels[:, :-1]
    reach = s.n * 0.008
    return s.rng.uniform(0, 1.2) * reach * cv2.GaussianBlur(edge, (0, 0), reach)


def _things(s: Scene) -> Array:
    labels = _heap(s, int(s.rng.integers(25, 160)), s.rng.uniform(0.02, 0.06), s.rng.choice([0.2, 0.9]), False)
    return _surface(s, labels, 0.3)


def _foliage(s: Scene) -> Array:
    s.palette = np.stack(
        [to_linear(hsv(s.rng.normal(0.28, 0.08) % 1, s.rng.uniform(0.3, 0.8), s.rng.uniform(0.1, 0.6))) for _ in "abcd"]
    )
    if s.rng.random() < 0.4:
        s.palette = np.vstack([s.palette, _palette(s.rng)[:2]])
    return _surface(s, _heap(s, int(s.rng.integers(150, 400)), s.rng.uniform(0.03, 0.07), 0.0, True), 0.25)


def _planes(s: Scene) -> tuple[Array, Array, Array, Array]:
    """A room seen from inside: which wall [n, n] (0 back, 1 floor, 2 ceiling, 3 left, 4 right), u, v, depth."""
    cx, half = s.rng.uniform(0.2, 0.8), s.rng.uniform(0.25, 0.8)
    floor = min(s.horizon, s.rng.uniform(0.6, 1.3))
    ceiling = floor - s.rng.uniform(0.6, 1.6)
    eye = (floor + ceiling) / 2
    across, up = (s.x - cx) / half, np.where(s.y > eye, (s.y - eye) / (floor - eye), (s.y - eye) / (eye - ceiling))
    steep = np.maximum(np.maximum(np.abs(across), np.abs(up)), 1)
    depth = 1 / steep
    side = np.where(across < 0, 3, 4)
    wall = np.where(steep <= 1, 0, np.where(np.abs(up) >= np.abs(across), np.where(up > 0, 1, 2), side))
    u = np.where(wall >= 3, 2 * depth, across * depth)
    v = np.where((wall == 1) | (wall == 2), 2 * depth, up * depth)
    return wall, u, v, depth


def _interior(s: Scene) -> Array:
    """A room in perspective, each wall of its own stuff, lit from a corner, with things before it."""
    wall, u, v, depth = _planes(s)
    colours = s.colours(5).astype(np.float32)
    image = colours[wall] * np.exp(s.rng.uniform(0.03, 0.15) * s.grain(u * 0.5 + wall * 0.31, v * 0.5))[..., None]
    for k in range(5):
        if s.rng.random() < 0.45:
            texture, here, repeats = to_linear(random_texture(s.rng)), wall == k, s.rng.uniform(0.6, 3)
            n = len(texture)
            rows, columns = ((g[here] * repeats * n / 2).astype(np.int32) % n for g in (v, u))
            strength = s.rng.uniform(0.2, 0.9)
            image[here] = image[here] * (1 - strength) + texture[rows, columns] * strength
    image *= (s.rng.uniform(0.4, 1) + (1 - depth) * s.rng.uniform(-0.4, 1.2))[..., None].clip(0.15, 2)
    labels = _heap(s, int(s.rng.integers(0, 30)), s.rng.uniform(0.03, 0.08), 0.9, False, s.rng.uniform(-0.1, 0.7))
    return np.where(labels[..., None] > 0, _surface(s, labels, 0.2), image)


def _lights(s: Scene) -> Array:
    """A dark place with lights far out of focus."""
    import cv2

    image = s.colours(1)[0] * 0.3 * np.exp(0.7 * cloud(s.rng, ATLAS, 2.0))[..., None]
    image = np.ascontiguousarray(cv2.resize(image.astype(np.float32), (s.n, s.n), interpolation=cv2.INTER_CUBIC))
    radius = s.rng.uniform(0.015, 0.07)
    for _ in range(s.rng.integers(8, 50)):
        layer, colour = np.zeros((s.n, s.n), np.uint8), to_linear(hsv(s.rng.random(), s.rng.random() ** 1.5, 1))
        centre = (int(s.rng.uniform(0, s.n)), int(s.rng.uniform(0, s.n * 0.8)))
        cv2.circle(layer, centre, max(1, int(radius * s.n * s.rng.uniform(0.7, 1.2))), 255, -1, cv2.LINE_AA)
        image += (layer[..., None] / 255 * s.rng.uniform(0.1, 0.9) * colour).astype(np.float32)
    return image


def _murk(s: Scene) -> Array:
    """Nothing but clouds of colour: a backdrop, fog, a wall close by."""
    import cv2

    light, tint = cloud(s.rng, ATLAS, 2.2), cloud(s.rng, ATLAS, 1.8)
    image = s.colours(1)[0] * np.exp(s.rng.uniform(0.1, 0.5) * light + s.rng.uniform(0, 0.12) * s.cloud)[..., None]
    image = image * np.exp(s.rng.uniform(0, 0.25) * tint[..., None] * s.rng.normal(0, 1, 3))
    return cv2.resize(image.astype(np.float32), (s.n, s.n), interpolation=cv2.INTER_CUBIC)


def _known(s: Scene) -> Array:
    """One of the full style's backgrounds, its surfaces roughened."""
    weights = np.array([row.full for row in KINDS.values()])
    kind = tuple(KINDS)[s.rng.choice(len(KINDS), p=weights / weights.sum())]
    image = paint_wall(s.rng, kind, s.n // 2, s.horizon)
    rough = s.rng.uniform(0.02, 0.12) * s.grain(s.x * 2, s.y * 2) + s.rng.uniform(0.05, 0.2) * s.grain(s.x, s.y)
    return image * np.exp(rough)[..., None]


class PlaceKind(NamedTuple):
    paint: Callable[[Scene], Array]
    words: str  # for captions; {} is the colour
    share: float  # frequency


PLACES = {
    "things": PlaceKind(_things, "a cluttered {} place", 0.2),
    "interior": PlaceKind(_interior, "a {} room", 0.27),
    "foliage": PlaceKind(_foliage, "a {} landscape", 0.13),
    "lights": PlaceKind(_lights, "a {} place with lights", 0.08),
    "murk": PlaceKind(_murk, "a {} backdrop", 0.1),
    "known": PlaceKind(_known, "a cluttered {} place", 0.22),
}


def _tinted(image: Array, seed: int, rng: np.random.Generator) -> Array:
    """The background under light like the person's, up to some stops brighter or darker, falling off to one side."""
    light = wild_light(seed)
    colour = light.sky + 0.5 * light.key
    colour = (colour / colour.mean()) ** rng.uniform(0, 0.8)
    n = len(image)
    y, x = np.mgrid[0:n, 0:n] / n - 0.5
    slope = rng.normal(0, 0.8, 2)
    image = image * colour * np.exp(slope[0] * x + slope[1] * y)[..., None]
    return image / (image.mean() + 1e-6) * on_person(light).mean() * 2 ** rng.normal(-0.2, 0.6)


def wild_background(seed: int, size: int, horizon: float) -> Background:
    """The background of a seed, as sharp as its distance and the lens make it."""
    import cv2

    rng = generator(seed, Stream.CLUTTER)
    shares = np.array([row.share for row in PLACES.values()])
    kind = tuple(PLACES)[rng.choice(len(PLACES), p=shares / shares.sum())]
    image = PLACES[kind].paint(Scene(rng, 2 * size, horizon))
    image = cv2.resize(image.clip(0, 3).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    image = _tinted(image, seed, rng)
    blur = rng.choice([0.0, rng.uniform(0.002, 0.01), rng.uniform(0.01, 0.04)], p=(0.45, 0.35, 0.2)) * size
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    image = np.ascontiguousarray(image, np.float32)
    return Background(image, kind, image.mean((0, 1)))
