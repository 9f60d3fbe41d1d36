"""Contact sheets: what the people of some seeds look like, for the eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from magicpose.pose.drawing.draw import draw_poses
from magicpose.pose.keypoints import PoseTrack
from synthetic_people.asset import Array
from synthetic_people.clip import Clip


def contact_sheet(clips: Sequence[Clip], columns: int = 6, maps: bool = True) -> Array:
    """uint8 RGB: per clip a row of `columns` frames spread over it and, below, their pose maps."""
    rows = []
    for clip in clips:
        picks = np.linspace(0, len(clip.frames) - 1, columns).round().astype(int)
        rows.append(np.concatenate(clip.frames[picks], 1))
        if maps:
            track = PoseTrack(tuple(clip.track[i] for i in picks), clip.track.size, clip.track.fps)
            rows.append(np.concatenate(draw_poses(track), 1))
    return np.concatenate(rows, 0)
