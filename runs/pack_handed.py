"""Packs parts that were trained elsewhere and handed over as one gzipped safetensors file each.

    python runs/pack_handed.py HANDED MODEL TARGET [BASELINES]

MODEL is a complete folder of the same networks (the embedded model, say): what was not handed over, and every config,
comes from it. TARGET becomes the new model; BASELINES, if named, gets the parts that only `runs/tiny_quality.py` needs.
The same input gives the same bytes. Stops where a part has other weights than MODEL's, left its grid, or is too large.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from pack_tiny import LIMIT_MB, OWN, megabytes
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from magicpose.checkpoints.index import ModelSettings, read_settings, write_index

IMAGE_SIZE = 256
OWN_256 = {**OWN, "steps": 6, "solver": "ddim"}  # chosen by runs/tiny_settings.py for these weights
MADE_FROM = "eight minutes on a GPU, on from the weights that runs/tiny.sh made: docs/log.md, 2026-11-28"
# part of the model -> (handed file, training stage it comes from)
PARTS = {
    "unet": ("joint-unet", "joint"),
    "text_encoder": ("joint-text_encoder", "joint"),
    "appearance": ("appearance", "pose"),
    "pose_controlnet": ("pose_controlnet", "pose"),
}
# the same for folders that `tiny_quality.py --prior` and `--stage1` read
BASELINES = {
    "prior/pose_controlnet": "prior-pose_controlnet",
    "stage1/appearance": "stage1-appearance",
}
MOST_LEVELS = 100  # different values in a matrix whose weights lie on a grid


def main(handed: Path, model: Path, target: Path, baselines: Path | None = None) -> None:
    draft = target.with_name(target.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(model, draft)
    for part, (name, _) in PARTS.items():
        replace(weights_of(draft / part), handed / f"{name}.safetensors.gz")
    trained = {**read_settings(model).trained, **{part: {"stage": stage} for part, (_, stage) in PARTS.items()}}
    write_index(draft, ModelSettings(**OWN_256, image_size=IMAGE_SIZE, trained=trained), MADE_FROM)  # type: ignore[arg-type]
    size = megabytes(draft)
    assert size <= LIMIT_MB, f"{size:.1f} MB is more than the package may hold"
    print(f"{target}: {size:.1f} MB, {added_to_history(draft, model):.1f} MB of them new to a git history")
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    for place, name in BASELINES.items():
        if baselines is None:
            break
        part = Path(place).name
        shutil.copytree(model / part, baselines / place, dirs_exist_ok=True)
        replace(weights_of(baselines / place), handed / f"{name}.safetensors.gz")


def weights_of(folder: Path) -> Path:
    """The one safetensors file of a part."""
    (file,) = folder.glob("*.safetensors")
    return file


def replace(file: Path, packed: Path) -> None:
    """The weights of `packed` in the place of those of `file`, which are of the same names and shapes."""
    fresh = load(gzip.decompress(packed.read_bytes()))
    shapes = {name: value.shape for name, value in load_file(file).items()}
    assert {name: value.shape for name, value in fresh.items()} == shapes, f"{packed} is of another network"
    check_weights(fresh, packed)
    save_file(fresh, file, metadata={"format": "pt"})


def check_weights(weights: dict[str, Tensor], where: Path) -> None:
    """They are finite half-precision numbers, and every matrix is on its grid: few different values, evenly apart."""
    for name, value in weights.items():
        assert value.dtype == torch.float16 and value.isfinite().all(), f"{where}: {name} is no finite fp16"
        levels = torch.from_numpy(np.unique(value.double().numpy()))
        if value.ndim > 1:
            smallest = float(levels.diff().min())
            whole = bool((levels / smallest == (levels / smallest).round()).all())
            assert len(levels) < MOST_LEVELS and whole, f"{where}: {name} is not on a grid"


def added_to_history(fresh: Path, before: Path) -> float:
    """Megabytes that a git commit adds: git deflates whole files, and finds no likeness between two sets of weights."""
    files = [path for path in fresh.rglob("*") if path.is_file()]
    olds = {path.relative_to(before): path.read_bytes() for path in before.rglob("*") if path.is_file()}
    changed = [path.read_bytes() for path in files if path.read_bytes() != olds.get(path.relative_to(fresh))]
    return sum(len(zlib.compress(content)) for content in changed) / 1e6


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
