"""People of the wild style: anybody, in any cloth, under any light. A network cannot know them and has to look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthetic_people.colour import to_linear
from synthetic_people.complexion import blemish, overlay, recolour, reshape
from synthetic_people.garments import Wardrobe, dress
from synthetic_people.identity import Identity, make_identity
from synthetic_people.patterns import PRINT, front_print
from synthetic_people.person import Person, put_together
from synthetic_people.seeds import Stream, generator
from synthetic_people.texture import any_colour, random_cloth, random_texture


def wild_identity(seed: int) -> Identity:
    """The body of the seed with another complexion and another face."""
    return reshape(recolour(make_identity(seed)))


def wild_person(seed: int) -> Person:
    """The person of a seed."""
    identity = wild_identity(seed)
    person = put_together(identity, _redress(dress(identity, plain=False), seed))
    look = person.look
    style = look.style._replace(textured=True, wrinkles=look.style.wrinkles * 1.5)
    return replace(
        person, look=look._replace(face=blemish(identity, look.face), overlay=overlay(identity), style=style)
    )


def _redress(wardrobe: Wardrobe, seed: int) -> Wardrobe:
    """The same cut from other cloth: one piece in three keeps its own."""
    rng = generator(seed, Stream.FABRIC)
    top = random_cloth(rng) if rng.random() < 0.7 else wardrobe.top_cloth
    bottom = random_cloth(rng) if rng.random() < 0.6 else wardrobe.bottom_cloth
    if wardrobe.top == "dress":
        bottom = top
    inner, trim, shoe, sole = (to_linear(any_colour(rng)) for _ in range(4))
    trim = trim if rng.random() < 0.4 else top.texture.mean((0, 1)) * rng.uniform(0.5, 1.1)
    return replace(
        wardrobe, top_cloth=top, bottom_cloth=bottom, denim=wardrobe.denim and bottom is wardrobe.bottom_cloth,
        front_print=_print(rng), inner=inner, trim=trim, shoe=shoe, sole=sole,
    )  # fmt: skip


def _print(rng: np.random.Generator) -> np.ndarray:
    """Linear RGBA float32 [64, 64, 4]: nothing, a shape with letters, or a picture in it."""
    kind, out = rng.random(), front_print(rng)
    if kind < 0.55:
        return np.zeros_like(out)
    if kind > 0.75:
        texture = to_linear(random_texture(rng)[:PRINT, :PRINT])
        out[..., :3] = out[..., :3] * 0.3 + texture * 0.7
        out[..., 3] = np.maximum(out[..., 3], rng.random() < 0.4)
    return out
