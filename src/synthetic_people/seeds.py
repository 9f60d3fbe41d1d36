"""Random streams: every part of a clip draws from its own generator, so a change in one leaves the others alone.

The streams depend on nothing but two integers: the same in every process and on every machine.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

FIRST_HELD_OUT_SEED = 10_000_000  # by convention seeds from here on are for evaluation, never for training


class Stream(IntEnum):
    """What a generator is for; the numbers are part of what a seed means."""

    BODY = 1
    COLOURS = 2
    CLOTHES = 3
    HAIR = 4
    BEARD = 5
    GLASSES = 6
    FACE = 7
    BACKGROUND = 8
    LIGHT = 9
    POSE = 10
    EXPRESSION = 11
    MOTION = 12
    FRAMING = 13
    SPEECH = 14
    FOLDS = 15
    # the wild style's own
    COMPLEXION = 16
    PROPORTIONS = 17
    BLEMISHES = 18
    OVERLAY = 19
    FABRIC = 20
    LAMPS = 21
    CLUTTER = 22
    CAMERA = 23
    GRAIN = 24


def generator(seed: int, stream: Stream, *more: int) -> np.random.Generator:
    """The generator of one part of seed's person or scene; `more` numbers parts of that part, such as frames."""
    return np.random.default_rng((seed, int(stream), *more))
