"""The built-in motions: exact keypoints of a neutral synthetic person, hands and face included.

Stored as 16-bit numbers, one `weights/motions/NAME.npz` each; `runs/motions.py` makes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.keypoints import PoseTrack

FOLDER = Path(__file__).parents[1] / "weights" / "motions"
UNIT = 1 / 64  # pixel per stored step

# name -> what the person does
MOTIONS = {
    "dance": "sways, steps and swings the arms to a beat",
    "wave": "raises one hand and waves",
    "talk": "speaks with gestures, blinks",
    "nod": "nods, then shakes the head",
    "point": "points up, aside and ahead",
    "clap": "claps the hands",
    "stretch": "stretches the arms up and to both sides",
    "turn": "turns to the left and to the right",
}


def load_motion(name: str) -> PoseTrack:
    """The motion `name` on its own canvas."""
    if name not in MOTIONS:
        raise UserError(f"there is no motion {name!r}; choose one of {', '.join(MOTIONS)}")
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        raise UserError(f"this copy of magicpose lacks the motion {name!r}; install it again")
    with np.load(path, allow_pickle=False) as stored:
        points, seen = stored["points"], stored["seen"]
        width, height = (int(side) for side in stored["size"])
        fps = float(stored["fps"])
    scores = np.unpackbits(seen, axis=-1, count=points.shape[1])
    stacked = np.concatenate([points * np.float32(UNIT), scores[..., None]], axis=-1).astype(np.float32)
    return PoseTrack.from_stacked(stacked * scores[..., None], (width, height), fps)


def save_motion(path: Path, track: PoseTrack) -> None:
    """Writes what `load_motion` reads; positions are rounded to 1/64 px, scores to there or not."""
    stacked = track.stacked()
    scores: NDArray[np.bool_] = stacked[..., 2] > 0
    points = np.where(scores[..., None], stacked[..., :2] / UNIT, 0).round()
    assert np.abs(points).max() < 2**15, "the canvas is too large for 16 bits"
    np.savez_compressed(
        path,
        points=points.astype(np.int16),
        seen=np.packbits(scores, axis=-1),
        size=np.array(track.size, np.int32),
        fps=np.float64(track.fps),
    )
