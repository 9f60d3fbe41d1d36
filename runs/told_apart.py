"""Whether the embedded model shows the face it is asked for: docs/tiny.md's table of mouths and eyes.

    python runs/told_apart.py --people 60

Held-out people (seeds from 10,800,000 on) are rendered twice in one pose, with only the mouth (or the eyes) different,
and the model makes both from the same reference. A result counts as right when, in the box around the feature, it is
nearer to its own truth than to the other: 50 % is chance. Pairs whose two truths hardly differ there are left out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import tyro
from numpy.typing import NDArray
from tiny_quality import BATCH, Pair, _generate, _round_trip, framing_of

from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.keypoints import Pose
from synthetic_people.clip import clip_showing, render_clip

FIRST_SEED = 10_800_000
# feature -> (two expressions that differ in it alone, its points among the 70 of the face)
FEATURES = {"mouth": (("neutral", "open"), slice(48, 68)), "eyes": (("neutral", "closed"), slice(36, 48))}
_SMALLEST_DIFFERENCE = 6.0  # grey levels between the truths, mean over the box


@dataclass(frozen=True)
class Options:
    people: int = 60
    model: str = "tiny"
    steps: int | None = None
    """default: the model's own"""
    guidance: float | None = None


@dataclass(frozen=True)
class Probe:
    """Two targets of one person that differ in one feature, and the box (x0, y0, x1, y1) to look at."""

    feature: str
    pair: tuple[Pair, Pair]
    box: tuple[int, int, int, int]

    def crop(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        x0, y0, x1, y1 = self.box
        return picture[y0:y1, x0:x1].astype(np.float32)

    def difference(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        """Mean absolute difference in the box, grey levels."""
        return float(np.abs(self.crop(a) - self.crop(b)).mean())


def probes(options: Options, size: int) -> list[Probe]:
    """All probes that can be told apart in truth."""
    found = []
    for number in range(options.people):
        clip = render_clip(FIRST_SEED + number, 8, size, framing_of(number), "plain", 3.0)
        for feature, (expressions, points) in FEATURES.items():
            shown = [clip_showing(expression, clip) for expression in expressions]
            box = _box([one.track[-1] for one in shown], points, size)
            if box is None:
                continue
            first, second = (
                Pair(feature, clip.framing, clip.frames[0], one.track[-1], one.frames[-1], one.masks[-1])
                for one in shown
            )
            probe = Probe(feature, (first, second), box)
            if probe.difference(first.truth, second.truth) >= _SMALLEST_DIFFERENCE:
                found.append(probe)
    return found


def _box(poses: list[Pose], points: slice, size: int) -> tuple[int, int, int, int] | None:
    """Around the feature in all of `poses`, a pixel more; None where it is not seen."""
    seen = np.concatenate([pose.face[points] for pose in poses])
    if not (seen[:, 2] > 0).all():
        return None
    low = np.maximum(np.floor(seen[:, :2].min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(seen[:, :2].max(0)).astype(int) + 2, size)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (high > low).all() else None


def main(options: Options) -> None:
    pipeline = MagicPosePipeline.from_pretrained(options.model)
    scale = pipeline.settings.guidance_scale if options.guidance is None else options.guidance
    right: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    every = probes(options, pipeline.native_side)
    for batch in (every[first : first + BATCH] for first in range(0, len(every), BATCH)):
        flat = [target for probe in batch for target in probe.pair]
        rows = {
            "ours": _generate(pipeline, pipeline.model, flat, scale, options.steps, True, 0),
            "autoencoder": _round_trip(pipeline, flat),
        }
        for row, pictures in rows.items():
            for k, probe in enumerate(batch):
                for own in (0, 1):
                    result = pictures[2 * k + own]
                    near, far = probe.pair[own].truth, probe.pair[1 - own].truth
                    won = probe.difference(result, near) < probe.difference(result, far)
                    for framing in (probe.pair[0].framing, "all"):
                        right[probe.feature, framing, row].append(won)
    for (feature, framing, row), wins in sorted(right.items()):
        print(f"{feature:6} {framing:5} {row:12} {np.mean(wins):6.1%} of {len(wins)}")


if __name__ == "__main__":
    main(tyro.cli(Options))
