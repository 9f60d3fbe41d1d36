"""How steady a clip is, beside the truth: what changes from frame to frame though nothing moved there.

Clips are RGB uint8 [F, H, W, 3], people masks bool [F, H, W]; results in grey levels (0..255). A clip of one frame has
no differences: ValueError.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
Masks = NDArray[np.bool_]


def temporal_error(clip: Clip, truth: Clip, masks: Masks | None = None) -> float:
    """Mean |difference of consecutive frames - the truth's|; `masks`: where a person is in either frame of a pair.

    An error that stays the same in all frames does not count: this is flicker, and motion that lags.
    """
    if clip.shape != truth.shape:
        raise ValueError(f"clips differ in shape: {clip.shape} and {truth.shape}")
    error = np.abs(_differences(clip) - _differences(truth))
    return float((error if masks is None else error[_in_either(masks)]).mean())


def background_flicker(clip: Clip, masks: Masks) -> float:
    """Mean |difference of consecutive frames| where no person is in either: the warping error of a still background,
    whose flow is zero. NaN where there is no background.
    """
    still = _differences(clip)[~_in_either(masks)]
    return float(np.abs(still).mean()) if still.size else float("nan")


def _differences(clip: Clip) -> NDArray[np.float32]:
    """[F - 1, H, W, 3]; in float, where uint8 would wrap around."""
    if len(clip) < 2:
        raise ValueError("one frame has no differences in time")
    return np.diff(clip.astype(np.float32), axis=0)


def _in_either(masks: Masks) -> Masks:
    """[F - 1, H, W]: a person in a frame or the next."""
    return np.asarray(masks[1:] | masks[:-1])
