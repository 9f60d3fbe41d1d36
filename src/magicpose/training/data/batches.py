"""Clips from disk as training batches, each a pure function of (seed, step, rank).

Nothing here remembers anything: the batch of step n is drawn from a generator seeded with n, so a resumed run
sees exactly what the interrupted one would have seen, and every rank sees something else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magicpose.pose.augment import mask_parts, mirrored
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import Pose
from magicpose.training.config import TrainConfig
from magicpose.training.correspondence import matches
from magicpose.training.data.clips import ClipFolder
from magicpose.training.data.square import Square
from magicpose.training.stages import Stage


@dataclass(frozen=True)
class Batch:
    """One step's worth; absent parts are None. G clips, K targets each, B = G * K."""

    images: Tensor | None = None  # [B, 3, H, W] in [-1, 1] (autoencoder)
    keypoints: Tensor | None = None  # [B, 130, 3] in pixels of the target
    latents: Tensor | None = None  # [B, C, h, w] targets
    reference: Tensor | None = None  # [G, C, h, w]
    pose: Tensor | None = None  # [B, 3, s*h, s*w] in [0, 1]
    timesteps: Tensor | None = None  # int64 [G]
    noise: Tensor | None = None  # [B, C, h, w]
    captions: tuple[str, ...] = ()  # one per clip; empty: the empty prompt for all
    matches: Tensor | None = None  # int64 [B, h*w, P]: cells of the reference, see `correspondence.matches`


def step_generator(config: TrainConfig, step: int, rank: int) -> np.random.Generator:
    """The randomness of one step on one rank."""
    return np.random.default_rng((config.seed, step, rank))


def image_batch(clips: list[ClipFolder], config: TrainConfig, step: int, rank: int) -> Batch:
    """Pictures for the autoencoder, half of them mirrored."""
    rng = step_generator(config, step, rank)
    size = config.data.size_px
    images, keypoints = [], []
    for _ in range(config.batch.clips * config.batch.targets):
        clip = clips[rng.integers(len(clips))]
        index = int(rng.integers(len(clip.frames)))
        crop = Square.of(clip.size)
        image, points = crop.image(clip.picture(index), size), crop.keypoints(clip.keypoints[index], size)
        if config.data.flip and rng.random() < 0.5:
            image, points = image[:, ::-1], mirrored(Pose.from_stacked(points), size).stacked()
        images.append(image)
        keypoints.append(points)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    noise = torch.from_numpy(rng.standard_normal(1, np.float32))  # a seed for the latent noise
    return Batch(images=pixels, keypoints=torch.from_numpy(np.stack(keypoints)), noise=noise)


@dataclass(frozen=True)
class LatentClips:
    """The clips with every frame already encoded: `latents` [clip][frames, C, h, w] float16."""

    clips: list[ClipFolder]
    latents: list[Tensor]
    map_px: int  # side of the pose maps


def latent_batch(data: LatentClips, stage: Stage, config: TrainConfig, step: int, rank: int) -> Batch:
    """References, targets, pose maps, noise and timesteps for a denoising stage."""
    rng = step_generator(config, step, rank)
    groups, targets = config.batch.clips, config.batch.targets
    dropped = stage.drops and rng.random() < config.conditions.drop
    chosen = rng.integers(len(data.clips), size=groups)
    target_frames = [rng.integers(len(data.clips[c].frames), size=targets) for c in chosen]
    reference_frames = [int(rng.integers(len(data.clips[c].frames))) for c in chosen]
    latents = torch.cat([data.latents[c][torch.from_numpy(f)] for c, f in zip(chosen, target_frames)]).float()
    keypoints = np.concatenate(
        [Square.of(data.clips[c].size).keypoints(data.clips[c].keypoints[f], config.data.size_px)
         for c, f in zip(chosen, target_frames)]
    )  # fmt: skip
    reference = pose = None
    captions: tuple[str, ...] = ()
    found = None
    if stage.reference and not dropped:
        reference = torch.stack([data.latents[c][f] for c, f in zip(chosen, reference_frames)]).float()
        if stage.pose and config.loss.correspondence_weight:
            places = [data.clips[c].surface() for c in chosen]
            cells = latents.shape[-1]
            pairs = zip(places, target_frames, reference_frames)
            found = torch.from_numpy(np.stack([matches(p[f], p[r], cells) for p, fs, r in pairs for f in fs]))
    if stage.pose and not dropped:
        pose = draw_maps(keypoints, config, data.map_px, rng if stage.masks else None)
    if reference is None and pose is None and stage.captions and rng.random() < config.conditions.caption:
        captions = tuple(data.clips[c].caption for c in chosen)
    # Stratified timesteps: every step sees the whole range, which calms the loss.
    timesteps = torch.from_numpy(((np.arange(groups) + rng.random(groups)) / groups * 1000).astype(np.int64))
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    return Batch(
        keypoints=torch.from_numpy(keypoints),
        latents=latents,
        reference=reference,
        pose=pose,
        timesteps=timesteps.clamp(max=999),
        noise=noise,
        captions=captions,
        matches=found,
    )


def draw_maps(
    keypoints: NDArray[np.float32], config: TrainConfig, map_px: int, rng: np.random.Generator | None
) -> Tensor:
    """Pose maps [B, 3, map_px, map_px] in [0, 1] of [B, 130, 3]; with `rng`, faces and hands are randomly hidden."""
    canvas = (config.data.size_px, config.data.size_px)
    maps = []
    for points in keypoints:
        pose = Pose.from_stacked(points)
        if rng is not None:
            pose = mask_parts(pose, rng, config.conditions.face_mask, config.conditions.hand_mask)
        maps.append(draw_pose(pose, (map_px, map_px), canvas))
    return torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2).float() / 255
