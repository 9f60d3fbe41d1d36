"""Clips from disk as training batches, each a pure function of (seed, step, rank).

Nothing here remembers anything: the batch of step n is drawn from a generator seeded with n, so a resumed run
sees exactly what the interrupted one would have seen, and every rank sees something else.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from magicpose.errors import UserError
from magicpose.pose.augment import mask_parts
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.keypoints import Pose
from magicpose.training.config import TrainConfig
from magicpose.training.correspondence import matches
from magicpose.training.stages import Stage

T = TypeVar("T")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class ClipFolder:
    """One person through some frames, all of one size."""

    folder: Path
    frames: tuple[Path, ...]
    keypoints: NDArray[np.float32]  # [frames, 130, 3], pixels of the frames
    size: tuple[int, int]
    caption: str

    def places(self) -> NDArray[np.float32]:
        """Where on the person each frame shows what: [frames, h, w, 3], see `correspondence.matches`.

        UserError where the clip was written without.
        """
        path = self.folder / "places.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return np.asarray(stored["places"], np.float32)
        except (OSError, ValueError, KeyError) as error:
            hint = "only synthetic people have it (render with --places); set loss.correspondence_weight to 0"
            raise UserError(f"{path} cannot be read: {hint}") from error

    def pose(self, index: int) -> Pose:
        """The keypoints of one frame."""
        return Pose.from_stacked(self.keypoints[index])


def find_clips(root: Path) -> list[ClipFolder]:
    """Every complete clip below `root`, sorted by name; UserError when there is none."""
    clips = [_read_clip(path.parent) for path in sorted(root.glob("*/keypoints.npz"))]
    if not clips:
        raise UserError(f"no clips in {root}: expected folders with numbered frames and keypoints.npz inside")
    return clips


def _read_clip(folder: Path) -> ClipFolder:
    frames = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES))
    with np.load(folder / "keypoints.npz", allow_pickle=False) as stored:
        keypoints = np.asarray(stored["keypoints"], np.float32)
        width, height = (int(side) for side in stored["size"])
    if len(frames) != len(keypoints):
        raise UserError(f"{folder} holds {len(frames)} frames but keypoints for {len(keypoints)}")
    about = folder / "clip.json"
    caption = json.loads(about.read_text()).get("caption", "") if about.is_file() else ""
    return ClipFolder(folder, frames, keypoints, (width, height), caption)


@dataclass(frozen=True)
class Square:
    """The one crop that reference, target and pose map of a clip share: the largest central square, resized."""

    left: float
    top: float
    side: float

    @classmethod
    def of(cls, size: tuple[int, int]) -> Square:
        side = min(size)
        return cls((size[0] - side) / 2, (size[1] - side) / 2, side)

    def image(self, path: Path, size_px: int) -> NDArray[np.uint8]:
        """RGB uint8 [size_px, size_px, 3]"""
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        box = (self.left, self.top, self.left + self.side, self.top + self.side)
        if picture.size != (size_px, size_px):
            picture = picture.resize((size_px, size_px), Image.Resampling.LANCZOS, box=box)
        return np.asarray(picture)

    def keypoints(self, points: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
        """The same crop of [..., 130, 3] keypoints."""
        moved = points.copy()
        moved[..., 0] = (points[..., 0] - self.left) * size_px / self.side
        moved[..., 1] = (points[..., 1] - self.top) * size_px / self.side
        return moved


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
        image, points = crop.image(clip.frames[index], size), crop.keypoints(clip.keypoints[index], size)
        if config.data.flip and rng.random() < 0.5:  # left and right swap, but the boxes stay boxes
            image, points = image[:, ::-1], points.copy()
            points[:, 0] = size - points[:, 0]
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
            places = [data.clips[c].places() for c in chosen]
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


def prefetch(make: Callable[[int], T], first: int, last: int, ahead: int = 4) -> Iterator[tuple[int, T]]:
    """`(step, make(step))` for first <= step < last, prepared by a thread a few steps ahead."""
    ready: queue.Queue[tuple[int, T] | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def work() -> None:
        try:
            for step in range(first, last):
                item = (step, make(step))
                while not stop.is_set():
                    try:
                        ready.put(item, timeout=0.5)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
        except Exception as error:  # handed to the training thread, which raises it
            ready.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(first, last):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
