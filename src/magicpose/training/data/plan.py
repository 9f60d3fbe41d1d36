"""What a batch will hold, drawn from (seed, number of the batch, rank) alone: indices, masks, noise; numpy only.

Nothing here remembers anything: a resumed run draws exactly what the interrupted one would have drawn, and every
process draws something else. What a plan names is fetched by a `gather` (`batches.py`).

Shapes: G clips, K targets of each, B = G * K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.augment import draw_hidden
from magicpose.training.config import TrainConfig
from magicpose.training.stages import Stage

Indices = NDArray[np.int64]
TIMESTEPS = 1000


@dataclass(frozen=True)
class ImagePlan:
    """Pictures for the autoencoder: B pairs of clip and frame, which of them are mirrored, and a seed for noise."""

    clips: Indices  # [B]
    frames: Indices  # [B]
    mirrored: NDArray[np.bool_]  # [B]
    seed: int


@dataclass(frozen=True)
class LatentPlan:
    """A batch for a denoiser.

    Attributes:
        clips: [G].
        targets: [G, K] frames of those clips.
        references: [G] frames of those clips.
        timesteps: [G], 0 to 999.
        noise: float32 [B, C, h, w].
        conditions: whether reference and pose are given, where the stage has them.
        captions: whether the clips' captions are given.
        hidden: [B, 3], left hand, right hand and face left out of the pose map; None: nothing is.
    """

    clips: Indices
    targets: Indices
    references: Indices
    timesteps: Indices
    noise: NDArray[np.float32]
    conditions: bool
    captions: bool
    hidden: NDArray[np.bool_] | None


BatchPlan = ImagePlan | LatentPlan


def step_generator(config: TrainConfig, number: int, rank: int) -> np.random.Generator:
    """The randomness of batch `number` on one process."""
    return np.random.default_rng((config.seed, number, rank))


def plan_images(lengths: Sequence[int], config: TrainConfig, number: int, rank: int) -> ImagePlan:
    """A batch of single pictures from clips of `lengths` frames."""
    rng = step_generator(config, number, rank)
    rows = []
    for _ in range(config.batch.clips * config.batch.targets):
        clip = int(rng.integers(len(lengths)))
        frame = int(rng.integers(lengths[clip]))
        rows.append((clip, frame, config.data.flip and rng.random() < 0.5))
    clips, frames, mirrored = zip(*rows, strict=True)
    seed = int(rng.standard_normal(1, np.float32).view(np.int32)[0]) & 0x7FFFFFFF
    return ImagePlan(np.array(clips), np.array(frames), np.array(mirrored), seed)


def plan_latents(
    lengths: Sequence[int], shape: tuple[int, int, int], stage: Stage, config: TrainConfig, number: int, rank: int
) -> LatentPlan:
    """A batch for a denoiser from clips of `lengths` frames with latents of `shape` (C, h, w).

    Timesteps are stratified: every batch sees the whole range, which calms the loss.
    """
    rng = step_generator(config, number, rank)
    groups, targets = config.batch.clips, config.batch.targets
    given = not (stage.drops and rng.random() < config.conditions.drop)
    clips = rng.integers(len(lengths), size=groups)
    frames = np.stack([_target_frames(rng, lengths[clip], targets, stage) for clip in clips])
    references = np.array([int(rng.integers(lengths[clip])) for clip in clips])
    masks = stage.masks and stage.pose and given
    settings = config.conditions
    hidden = draw_hidden(rng, groups * targets, settings.face_mask, settings.hand_mask) if masks else None
    conditioned = given and (stage.reference or stage.pose)
    captions = not conditioned and stage.captions and rng.random() < settings.caption
    timesteps = ((np.arange(groups) + rng.random(groups)) / groups * TIMESTEPS).astype(np.int64)
    noise = rng.standard_normal((groups * targets, *shape), np.float32)
    return LatentPlan(clips, frames, references, timesteps.clip(max=TIMESTEPS - 1), noise, given, captions, hidden)


def _target_frames(rng: np.random.Generator, length: int, count: int, stage: Stage) -> Indices:
    """`count` frames of a clip of `length`: any, or, for stages that need motion, neighbours in order."""
    if stage.frames == "any":
        return rng.integers(length, size=count)
    first = int(rng.integers(max(1, length - count + 1)))
    return np.minimum(np.arange(first, first + count), length - 1)  # a clip that is too short stands still at its end
