"""The styles: who is drawn, where, in what light and with what camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, Protocol

from synthetic_people.asset import Array
from synthetic_people.background import Background, make_background
from synthetic_people.camera import FaultyFilm, draw_faults
from synthetic_people.clutter import wild_background
from synthetic_people.identity import Identity, make_identity
from synthetic_people.lamps import wild_light
from synthetic_people.person import Person, make_person
from synthetic_people.render import develop
from synthetic_people.scene import make_light
from synthetic_people.shading import Light
from synthetic_people.wild import wild_identity, wild_person

# plain: soft backgrounds and coarse patterns only; wild: anything, seen by a faulty camera
Style = Literal["plain", "full", "wild"]


class Film(Protocol):
    """Turns what was drawn into a picture."""

    shutter: float  # seconds the person moves while a picture is taken

    def take(self, person: Array, background: Array, frame: int) -> Array:
        """uint8 [size, size, 3] of premultiplied person [size, size, 4] over the linear background."""


class FaultlessFilm:
    """No blur, no grain, one tone curve for all."""

    shutter = 0.0

    def take(self, person: Array, background: Array, frame: int) -> Array:
        return develop(person, background)


def _faultless(seed: int, size: int, light: Light, background: Array) -> Film:
    return FaultlessFilm()


def _faulty(seed: int, size: int, light: Light, background: Array) -> Film:
    return FaultyFilm(seed, size, draw_faults(seed, light, background))


class Recipe(NamedTuple):
    """What a style makes of a seed."""

    identity: Callable[[int], Identity]
    person: Callable[[int], Person]
    background: Callable[[int, int, float], Background]  # seed, size, horizon
    light: Callable[[int], Light]
    film: Callable[[int, int, Light, Array], Film]  # seed, size, light, background


RECIPES: dict[Style, Recipe] = {
    "plain": Recipe(
        make_identity, partial(make_person, plain=True), partial(make_background, plain=True), make_light, _faultless
    ),
    "full": Recipe(make_identity, make_person, partial(make_background, plain=False), make_light, _faultless),
    "wild": Recipe(wild_identity, wild_person, wild_background, wild_light, _faulty),
}
