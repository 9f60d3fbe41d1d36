"""Clips on disk, in the layout real data sets use.

One folder per clip, named by its seed:

    00000042/0000.jpg ...      numbered frames, JPEG quality 95 (or PNG)
             keypoints.npz     keypoints float32 [frames, 130, 3], size [2] (width, height), fps: the fast path
             clip.pose.json    the same as a pose document
             masks.npz         on request: coverage by the person, uint8 [frames, size, size]
             places.npz        on request: where on the person each 4 px cell lies, float16 [frames, size/4, size/4, 3]
             clip.json         caption, attributes, seeds, framing; written last, so it marks a complete clip
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magicpose.errors import UserError
from synthetic_people.asset import Array
from synthetic_people.clip import FPS, Clip, check_names, render_clip
from synthetic_people.motion import Framing
from synthetic_people.recipe import Style
from synthetic_people.seeds import Stream, generator

JPEG_QUALITY = 95
MAX_FRAMES, MIN_SIZE, MAX_SIZE = 10_000, 32, 2048


@dataclass(frozen=True)
class DatasetSettings:
    """What to render where: clips of the seeds first_seed .. first_seed + clips - 1."""

    out: Path
    clips: int
    frames: int = 24
    size: int = 256
    first_seed: int = 0
    framings: tuple[tuple[Framing, float], ...] = (("half", 0.4), ("bust", 0.4), ("head", 0.2))
    style: Style = "full"
    fps: float = FPS
    png: bool = False
    masks: bool = False
    places: bool = False

    def __post_init__(self) -> None:
        check_names(self.style, *(name for name, _ in self.framings))
        if self.clips < 1 or self.first_seed < 0:
            raise UserError(f"--clips {self.clips} --first-seed {self.first_seed}: give 1 or more and 0 or more")
        if not 1 <= self.frames <= MAX_FRAMES or not MIN_SIZE <= self.size <= MAX_SIZE:
            raise UserError(
                f"--frames {self.frames} --size {self.size}: give 1..{MAX_FRAMES} frames of {MIN_SIZE}..{MAX_SIZE} px"
            )
        if not 1 <= self.fps <= 120:
            raise UserError(f"--fps {self.fps:g}: give 1..120 frames a second")

    @property
    def seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.clips)

    def folder(self, seed: int) -> Path:
        return self.out / f"{seed:08d}"


def framing_of(seed: int, framings: tuple[tuple[Framing, float], ...]) -> Framing:
    """The framing of a seed, drawn by weight."""
    names, weights = zip(*framings)
    return names[generator(seed, Stream.FRAMING).choice(len(names), p=np.array(weights) / sum(weights))]


def write_clip(clip: Clip, folder: Path, png: bool = False, masks: bool = False, places: bool = False) -> None:
    """Write the files above; what is left of an unfinished clip is replaced."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (*folder.glob("[0-9]*.jpg"), *folder.glob("[0-9]*.png")):
        leftover.unlink()
    for i, frame in enumerate(clip.frames):
        path = folder / f"{i:04d}.{'png' if png else 'jpg'}"
        if not cv2.imwrite(str(path), frame[..., ::-1], [] if png else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise UserError(f"{path} cannot be written: is there space, and may you write to the folder?")
    track = clip.track
    if masks:
        _write_arrays(folder / "masks.npz", masks=clip.masks)
    if places:
        _write_arrays(folder / "places.npz", places=clip.places.astype(np.float16))
    _write_arrays(
        folder / "keypoints.npz", keypoints=track.stacked(), size=np.array(track.size), fps=np.array(track.fps)
    )
    track.save(folder / "clip.pose.json", overwrite=True)
    _write_json(folder / "clip.json", about(clip))


def about(clip: Clip) -> dict[str, Any]:
    """What `clip.json` says."""
    return {
        "seed": clip.seed,
        "person_seed": clip.person_seed,
        "framing": clip.framing,
        "style": clip.style,
        "caption": clip.caption,
        "attributes": clip.attributes,
        "frames": len(clip.frames),
        "size": list(clip.track.size),
        "fps": clip.track.fps,
    }


def _write_arrays(path: Path, **arrays: Array) -> None:
    draft = path.with_suffix(".part")
    with draft.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    draft.replace(path)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content, indent=1))
    draft.replace(path)


def _complete(settings: DatasetSettings, seed: int) -> bool:
    """Whether the clip is there as asked for; UserError if it was made with other settings."""
    path = settings.folder(seed) / "clip.json"
    wanted_arrays = [name for name in ("masks", "places") if getattr(settings, name)]
    if not all(path.is_file() for path in (path, *(path.with_name(f"{name}.npz") for name in wanted_arrays))):
        return False
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    wanted = {
        "frames": settings.frames, "size": [settings.size, settings.size], "style": settings.style,
        "framing": framing_of(seed, settings.framings), "fps": settings.fps,
    }  # fmt: skip
    differs = [name for name, value in wanted.items() if found.get(name) != value]
    if differs:
        raise UserError(f"{path.parent} was made with another {differs[0]}: give another --out or the same settings")
    return True


def _make(settings: DatasetSettings, seed: int) -> int:
    framing = framing_of(seed, settings.framings)
    clip = render_clip(seed, settings.frames, settings.size, framing, settings.style, settings.fps)
    write_clip(clip, settings.folder(seed), settings.png, settings.masks, settings.places)
    return seed


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def write_dataset(settings: DatasetSettings, workers: int = 1) -> Iterator[int]:
    """Render what is not there yet; yields each seed once its clip is complete, the finished ones first."""
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{settings.out} cannot be written: {error.strerror}; give another --out") from error
    missing = []
    for seed in settings.seeds:
        if _complete(settings, seed):
            yield seed
        else:
            missing.append(seed)
    if workers <= 1:
        _one_thread()
        yield from (_make(settings, seed) for seed in missing)
        return
    with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
        jobs = [pool.submit(_make, settings, seed) for seed in missing]
        try:
            yield from (job.result() for job in as_completed(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
