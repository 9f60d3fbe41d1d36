"""A data set of a few small clips with moving discs for faces, made without the people renderer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write_clips(root: Path, clips: int = 3, frames: int = 4, size: int = 32) -> Path:
    """`clips` folders in the layout of real data sets; a coloured square moves with the keypoints."""
    for number in range(clips):
        rng = np.random.default_rng(number)
        folder = root / f"{number:04d}"
        folder.mkdir(parents=True)
        colour = rng.integers(40, 255, 3)
        keypoints = np.zeros((frames, 130, 3), np.float32)
        places = np.full((frames, size // 4, size // 4, 3), np.nan, np.float32)
        rows, columns = np.mgrid[2:size:4, 2:size:4]
        for frame in range(frames):
            picture = np.full((size, size, 3), 30, np.uint8)
            x, y = rng.integers(8, size - 8, 2)
            picture[y - 6 : y + 6, x - 6 : x + 6] = colour
            inside = (abs(rows - y) < 6) & (abs(columns - x) < 6)
            places[frame, inside] = np.stack([columns - x, np.zeros_like(rows), y - rows], -1)[inside] / 100
            keypoints[frame, :, :2] = np.array((x, y)) + rng.normal(0, 3, (130, 2))
            keypoints[frame, :, 2] = 1
            Image.fromarray(picture).save(folder / f"{frame:04d}.png")
        np.savez(folder / "keypoints.npz", keypoints=keypoints, size=np.array([size, size]), fps=np.array(8.0))
        np.savez(folder / "places.npz", places=places.astype(np.float16))
        (folder / "clip.json").write_text(json.dumps({"caption": f"bust of a person, clip {number}"}))
    return root


def settings(data: Path, output: Path, stage: str, init: tuple[Path, ...] = (), **more: Any) -> dict[str, Any]:
    """A run of seconds: 32 px pictures, 4x4 latents."""
    return {
        "stage": stage,
        "output": str(output),
        "init": [str(folder) for folder in init],
        "steps": 4,
        "precision": "no",
        "data": {"train": str(data), "validation": str(data), "size_px": 32},
        "batch": {"clips": 2, "targets": 2},
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 2, "decay_fraction": 0.5},
        "network": {
            "vae_channels": [8, 8, 16],
            "vae_layers": 1,
            "unet_channels": [16, 32],
            "norm_groups": 4,
            "heads": 2,
            "context_dim": 16,
            "context_tokens": 12,
            "text_layers": 1,
            "vocabulary": 80,
            "hint_channels": [8, 16, 16],
        },
        "log_steps": 1,
        "validation_steps": 1000,
        "validation_clips": 2,
        "sampling_steps": 2,
        **more,
    }
