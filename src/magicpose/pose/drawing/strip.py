"""The retargeted motion on the reference photo, to judge before anything is rendered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.drawing.overlay import draw_overlay
from magicpose.pose.keypoints import PoseTrack


def preview(reference: NDArray[np.uint8], track: PoseTrack, count: int = 4) -> NDArray[np.uint8]:
    """The photo, then `count` frames of `track`, evenly spread, drawn over it: uint8 [H, (1 + count) W, 3].

    `reference` RGB uint8 [H, W, 3]; `track` as `retarget` gives it, on a canvas of the photo's shape.
    """
    if not len(track):
        raise UserError("The track has no frames to preview: detect or load a driver first.")
    chosen = np.linspace(0, len(track) - 1, count).round().astype(int)
    return np.concatenate([reference, *(draw_overlay(reference, track[i], track.size) for i in chosen)], axis=1)
