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


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """The generator of one part of seed's person or scene."""
    return np.random.default_rng((seed, int(stream)))
