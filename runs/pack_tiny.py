"""Packs the trained parts as the embedded model: fp16 safetensors in plain diffusers sub-folders.

    python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny

Parts come from the newest finished stage that has them, so an unfinished recipe packs what there is. What no stage here
trained (the autoencoder, when a run goes on from shipped weights) travels through every stage's export unchanged.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from magicpose.training.stages import STAGES as TRAINING

STAGES = ("vae", "joint", "pose_prior", "appearance", "pose")  # later ones win
PARTS = ("vae", "text_encoder", "tokenizer", "unet", "appearance", "pose_controlnet", "scheduler")
# The model's own settings, chosen on 24 people of neither training nor evaluation: runs/tiny_settings.py.
SETTINGS = {"guidance_scale": 1.25, "temperature": 0.5, "steps": 10, "scheduler": "dpm++2m"}
LIMIT_MB = 72


def main(source: Path, target: Path) -> None:
    draft = target.with_name(target.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    before = target / "model_index.json"
    made_by: dict[str, str] = json.loads(before.read_text())["made_by"] if before.exists() else {}
    newest = source
    for stage in STAGES:
        for part in PARTS:
            folder = source / stage / "export" / part
            if folder.is_dir():
                shutil.rmtree(draft / part, ignore_errors=True)
                shutil.copytree(folder, draft / part)
                newest = source / stage / "export"
                if part in TRAINING[stage].trains:
                    made_by[part] = stage
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
    size_px = json.loads((newest / "model_index.json").read_text())["size_px"]
    (draft / "model_index.json").write_text(json.dumps(model_index(size_px, made_by), indent=2) + "\n")
    size = megabytes(draft)
    assert size <= LIMIT_MB, f"{size:.1f} MB is more than the package may hold"
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    print(f"{target}: {size:.1f} MB; {made_by}")


def model_index(image_size: int, made_by: dict[str, str]) -> dict[str, object]:
    """What model_index.json says: the model's own settings, the side of its frames, each part's training stage."""
    return {"_class_name": "MagicPosePipeline", **SETTINGS, "image_size": image_size, "made_by": made_by}


def megabytes(folder: Path) -> float:
    """Of all files below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _vocabulary(model: Path) -> object:
    path = model / "tokenizer" / "tokenizer.json"
    return json.loads(path.read_text())["model"] if path.exists() else None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
