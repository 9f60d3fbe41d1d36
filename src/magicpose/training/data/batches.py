"""What a plan names, as tensors. Here from the host's memory and disk; another `gather` may keep it on the device.

Shapes: G clips, K targets of each, B = G * K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magicpose.pose.augment import mirrored
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import FACE, LEFT_HAND, RIGHT_HAND, Pose
from magicpose.training.correspondence import matching_cells
from magicpose.training.data.clips import ClipFolder
from magicpose.training.data.plan import ImagePlan, LatentPlan
from magicpose.training.data.square import Square
from magicpose.training.stages import Stage

_HIDEABLE = (LEFT_HAND, RIGHT_HAND, FACE)  # what `LatentPlan.hidden` may hide, in its order


@dataclass(frozen=True)
class ImageBatch:
    """Pictures for the autoencoder."""

    images: Tensor  # [B, 3, H, W] in [-1, 1]
    keypoints: Tensor  # [B, 130, 3] in pixels of the pictures
    seed: int  # of the noise that is added to their latents


@dataclass(frozen=True)
class LatentBatch:
    """Targets for a denoiser, with the conditions it is given."""

    latents: Tensor  # [B, C, h, w]
    keypoints: Tensor  # [B, 130, 3] in pixels of the pictures
    timesteps: Tensor  # int64 [G]
    noise: Tensor  # [B, C, h, w]
    reference: Tensor | None = None  # [G, C, h, w]
    pose: Tensor | None = None  # [B, 3, s*h, s*w] in [0, 1]
    captions: tuple[str, ...] = ()  # one for each clip; empty: the empty prompt for all
    matching: Tensor | None = None  # int64 [B, h*w, P]: cells of the reference, see `correspondence.matching_cells`


Batch = TypeVar("Batch", ImageBatch, LatentBatch)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with all its tensors on `device`."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    moved: dict[str, Any] = {k: v.to(device, non_blocking=True) for k, v in values.items() if isinstance(v, Tensor)}
    return replace(batch, **moved)


@dataclass(frozen=True)
class LatentClips:
    """Clips whose frames have all been encoded: `latents` [clip][frames, C, h, w] float16."""

    clips: list[ClipFolder]
    latents: list[Tensor]
    size_px: int  # side of the pictures
    map_px: int  # side of the pose maps

    def keypoints(self, clip: int, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """[F, 130, 3] in pixels of the pictures."""
        chosen = self.clips[clip]
        return Square.of(chosen.size).keypoints(chosen.keypoints[frames], self.size_px)


def gather_images(clips: Sequence[ClipFolder], size_px: int, plan: ImagePlan) -> ImageBatch:
    """The pictures of a plan, read from disk."""
    pairs = [
        _picture(clips[clip], int(frame), size_px, bool(flipped))
        for clip, frame, flipped in zip(plan.clips, plan.frames, plan.mirrored, strict=True)
    ]
    images, keypoints = zip(*pairs, strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return ImageBatch(pixels, torch.from_numpy(np.stack(keypoints)), plan.seed)


def _picture(
    clip: ClipFolder, frame: int, size_px: int, flipped: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    crop = Square.of(clip.size)
    image, points = crop.image(clip.picture(frame), size_px), crop.keypoints(clip.keypoints[frame], size_px)
    if flipped:
        image, points = image[:, ::-1], mirrored(Pose.from_stacked(points), size_px).stacked()
    return image, points


def gather_latents(data: LatentClips, stage: Stage, correspondence: bool, plan: LatentPlan) -> LatentBatch:
    """The latents of a plan, with pose maps drawn as it says; `correspondence`: with the cells that match."""
    groups = list(zip(plan.clips.tolist(), plan.targets, strict=True))
    latents = torch.cat([data.latents[clip][torch.from_numpy(frames)] for clip, frames in groups]).float()
    keypoints = np.concatenate([data.keypoints(clip, frames) for clip, frames in groups])
    reference = pose = matching = None
    if stage.reference and plan.conditions:
        pairs = zip(plan.clips.tolist(), plan.references.tolist(), strict=True)
        reference = torch.stack([data.latents[clip][frame] for clip, frame in pairs]).float()
        if stage.pose and correspondence:
            matching = _matching(data.clips, plan, latents.shape[-1])
    if stage.pose and plan.conditions:
        pose = draw_maps(keypoints, data.size_px, data.map_px, plan.hidden)
    captions = tuple(data.clips[clip].caption for clip in plan.clips) if plan.captions else ()
    timesteps, noise = torch.from_numpy(plan.timesteps), torch.from_numpy(plan.noise)
    return LatentBatch(latents, torch.from_numpy(keypoints), timesteps, noise, reference, pose, captions, matching)


def _matching(clips: Sequence[ClipFolder], plan: LatentPlan, cells: int) -> Tensor:
    found = []
    for clip, targets, reference in zip(plan.clips, plan.targets, plan.references, strict=True):
        surface = clips[clip].surface()
        found += [matching_cells(surface[frame], surface[reference], cells) for frame in targets]
    return torch.from_numpy(np.stack(found))


def draw_maps(
    keypoints: NDArray[np.float32], size_px: int, map_px: int, hidden: NDArray[np.bool_] | None = None
) -> Tensor:
    """Pose maps of side `map_px`: [B, 130, 3] in pixels of a square of `size_px` -> [B, 3, map_px, map_px] in [0, 1].

    `hidden` [B, 3] leaves out left hand, right hand and face.
    """
    if hidden is not None:
        keypoints = keypoints.copy()
        for points, parts in zip(keypoints, hidden, strict=True):
            for rows, hide in zip(_HIDEABLE, parts, strict=True):
                if hide:
                    points[rows] = 0
    maps = [draw_pose(Pose.from_stacked(points), (map_px, map_px), (size_px, size_px)) for points in keypoints]
    return torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2).float() / 255
