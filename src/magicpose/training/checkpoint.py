"""Checkpoints that survive `kill -9`: written beside, then renamed; the newest complete one is resumed.

    OUTPUT/checkpoints/step-000100/{model,ema}.safetensors, optimizer.pt, state.json

All randomness of a step comes from its number, so weights, optimizer and step are the whole state.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from magicpose.errors import UserError
from magicpose.files import replacing_folder

KEEP = 2


def save_checkpoint(
    folder: Path,
    step: int,
    model: dict[str, Tensor],
    ema: dict[str, Tensor],
    optimizer: dict[str, Any],
    state: dict[str, Any],
) -> Path:
    """Writes `step-<step>` atomically and removes all but the newest two."""
    final = folder / f"step-{step:06d}"
    for leftover in folder.glob(".step-*.part"):  # of a process that was killed while it wrote
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        with replacing_folder(final) as draft:
            save_file({name: tensor.contiguous() for name, tensor in model.items()}, draft / "model.safetensors")
            save_file({name: tensor.contiguous() for name, tensor in ema.items()}, draft / "ema.safetensors")
            torch.save(optimizer, draft / "optimizer.pt")
            (draft / "state.json").write_text(json.dumps({"step": step, **state}, indent=1))
    except (OSError, SafetensorError, RuntimeError) as error:  # by the three writers, where the disk is full
        raise UserError(
            f"cannot write a checkpoint to {folder}: {error}; earlier ones are kept, run again to go on"
        ) from error
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    return final


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    complete = sorted(path for path in folder.glob("step-*") if (path / "state.json").is_file())
    return complete[-1] if complete else None


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """(model, ema, optimizer, state); nothing in it can execute code."""
    state: dict[str, Any] = json.loads((path / "state.json").read_text())
    optimizer: dict[str, Any] = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)
    return load_file(path / "model.safetensors"), load_file(path / "ema.safetensors"), optimizer, state
