"""Clips on disk, in the layout real data sets use: numbered frames, the pose track, `clip.json`."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magicpose.errors import UserError
from synthetic_people.clip import FPS, Clip, Style, render_clip
from synthetic_people.motion import Framing
from synthetic_people.seeds import Stream, generator


@dataclass(frozen=True)
class DatasetSettings:
    """What to render where."""

    out: Path
    clips: int
    frames: int = 24
    size: int = 256
    first_seed: int = 0
    framings: tuple[tuple[Framing, float], ...] = (("half", 0.4), ("bust", 0.4), ("head", 0.2))
    style: Style = "full"
    fps: float = FPS
    png: bool = False


def framing_of(seed: int, framings: tuple[tuple[Framing, float], ...]) -> Framing:
    """The framing of a seed, drawn by weight."""
    names, weights = zip(*framings)
    share = np.array(weights, float) / sum(weights)
    return names[generator(seed, Stream.FRAMING).choice(len(names), p=share)]


def clip_folder(settings: DatasetSettings, seed: int) -> Path:
    return settings.out / f"{seed:08d}"


def write_clip(clip: Clip, folder: Path, png: bool = False) -> None:
    """Frames, keypoints.npz, pose document and, last, clip.json: a folder with clip.json is complete."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(clip.frames):
        name = folder / f"{i:04d}.{'png' if png else 'jpg'}"
        cv2.imwrite(str(name), frame[..., ::-1], [] if png else [cv2.IMWRITE_JPEG_QUALITY, 95])
    track = clip.track
    np.savez_compressed(folder / "keypoints.npz", keypoints=track.stacked(), size=np.array(track.size), fps=np.array(track.fps))
    if hasattr(track, "save"):
        track.save(folder / "poses.json")
    about = {
        "seed": clip.seed, "framing": clip.framing, "style": clip.style, "caption": clip.caption,
        "attributes": clip.attributes, "frames": len(clip.frames), "size": track.size, "fps": track.fps,
    }  # fmt: skip
    draft = folder / "clip.json.part"
    draft.write_text(json.dumps(about, indent=1))
    os.replace(draft, folder / "clip.json")


def _make(settings: DatasetSettings, seed: int) -> int:
    framing = framing_of(seed, settings.framings)
    clip = render_clip(seed, settings.frames, settings.size, framing, settings.style, settings.fps)
    write_clip(clip, clip_folder(settings, seed), settings.png)
    return seed


def _quiet() -> None:
    """A worker uses one thread."""
    importlib.import_module("cv2").setNumThreads(1)


def write_dataset(settings: DatasetSettings, workers: int = 1) -> Iterator[int]:
    """Render what is not there yet; yields each seed when its folder is complete."""
    if settings.clips < 1:
        raise UserError(f"--clips must be at least 1, got {settings.clips}")
    seeds = range(settings.first_seed, settings.first_seed + settings.clips)
    todo = [s for s in seeds if not (clip_folder(settings, s) / "clip.json").exists()]
    yield from (s for s in seeds if s not in set(todo))
    if workers <= 1:
        _quiet()
        for seed in todo:
            yield _make(settings, seed)
        return
    with ProcessPoolExecutor(workers, initializer=_quiet) as pool:
        for done in as_completed([pool.submit(_make, settings, seed) for seed in todo]):
            yield done.result()
