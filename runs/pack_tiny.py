"""Packs the trained parts as the embedded model: fp16 safetensors in plain diffusers sub-folders.

    python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny

Parts come from the newest finished stage that has them, so an unfinished recipe packs what there is. What no stage here
trained (the autoencoder, when a run goes on from shipped weights) travels through every stage's export unchanged.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from magicpose.checkpoints.index import ModelSettings, is_our_folder, read_settings, write_index
from magicpose.training.stages import STAGES as TRAINING

STAGES = ("vae", "joint", "pose_prior", "appearance", "pose")  # later ones win
PARTS = ("vae", "text_encoder", "tokenizer", "unet", "appearance", "pose_controlnet", "scheduler")
# The model's own way, chosen on people of neither training nor evaluation by runs/tiny_settings.py
OWN = {"guidance_scale": 1.25, "temperature": 0.5}
LIMIT_MB = 72


def main(source: Path, target: Path) -> None:
    draft = target.with_name(target.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    settings = read_settings(target) if is_our_folder(target) else ModelSettings()
    trained = dict(settings.trained)
    for stage in STAGES:
        for part in PARTS:
            folder = source / stage / "export" / part
            if folder.is_dir():
                shutil.rmtree(draft / part, ignore_errors=True)
                shutil.copytree(folder, draft / part)
                newest = read_settings(source / stage / "export")
                settings = replace(settings, image_size=newest.image_size)
                if part in TRAINING[stage].trains:
                    trained[part] = newest.trained.get(part, {"stage": stage})
    if _vocabulary(target) == _vocabulary(draft) is not None:  # saved again, it would carry how it was last called
        shutil.rmtree(draft / "tokenizer")
        shutil.copytree(target / "tokenizer", draft / "tokenizer")
    for weights in draft.rglob("*.safetensors"):
        halved = {
            name: value.half() if value.is_floating_point() else value for name, value in load_file(weights).items()
        }
        assert all(torch.isfinite(value).all() for value in halved.values()), f"{weights} does not fit fp16"
        save_file(halved, weights, metadata={"format": "pt"})
    for config in draft.rglob("config.json"):  # where a part was loaded from is nobody's business
        about = json.loads(config.read_text())
        about.pop("_name_or_path", None)
        config.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    settings = replace(settings, **OWN, trained=trained)  # type: ignore[arg-type]
    write_index(draft, settings, "runs/tiny.sh")
    size = megabytes(draft)
    assert size <= LIMIT_MB, f"{size:.1f} MB is more than the package may hold"
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    print(f"{target}: {size:.1f} MB; {trained}")


def megabytes(folder: Path) -> float:
    """Of all files below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _vocabulary(model: Path) -> object:
    path = model / "tokenizer" / "tokenizer.json"
    return json.loads(path.read_text())["model"] if path.exists() else None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
