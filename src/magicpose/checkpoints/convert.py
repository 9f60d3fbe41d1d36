"""Checkpoints of any form in, one checkpoint out."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from magicpose.checkpoints.compatibility import check_fit
from magicpose.checkpoints.folder import COPIED, read_folder, record_ignored, write_folder
from magicpose.checkpoints.original.cast import cast
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.families import is_lora
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.lora import merge_lora
from magicpose.checkpoints.original.lora_settings import adapter_file, read_strengths
from magicpose.checkpoints.original.paths import WEIGHT_SUFFIXES, check_paths
from magicpose.checkpoints.original.read import Components, components_of
from magicpose.checkpoints.original.weight_files import (
    GIB,
    read_state_dict,
    replacing_folder,
    tensor_bytes,
    write_state_dict,
)
from magicpose.errors import UserError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def convert(
    sources: str | Path | Sequence[str | Path],
    destination: str | Path,
    dtype: str | None = None,
    lora_scale: float = 1.0,
    overwrite: bool = False,
    ignore_unknown: Sequence[str] = (),
) -> Path:
    """Checkpoints in, one checkpoint out; the form follows from the name of `destination`.

    Args:
        sources: original stage-1 and stage-2 files, Stable Diffusion 1.5 files, ControlNet files, AnimateDiff motion
            modules, our or other diffusers folders, and LoRA files. Together they make one checkpoint: a part that
            several hold comes from the last, a LoRA is merged into the base before it.
        destination: a name ending in `.safetensors`, `.ckpt`, `.pth`, `.th` gives a single file with the original
            keys; any other name a folder of ours.
        dtype: "float32", "float16" or "bfloat16"; None keeps what the sources have.
        lora_scale: strength of every LoRA; of a DoRA, of its direction.
        overwrite: replace an existing destination.
        ignore_unknown: names or patterns (`*.extra`) of keys that nothing knows and that are left out; the result
            records them.

    Raises:
        UserError: anything wrong with a source, or a destination that exists. Nothing is left half-written.
    """
    paths = [Path(s) for s in ([sources] if isinstance(sources, str | Path) else sources)]
    destination = Path(destination)
    check_paths(paths, destination, overwrite)
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    ignored = Ignored(ignore_unknown)
    parts, copied = _gather(paths, lora_scale, ignored)
    ignored.check_used()
    for module in parts.present().values():
        cast(module, dtype=None if dtype is None else DTYPES[dtype])
    _check_disk(parts, destination)
    _write(parts, destination, copied, ", ".join(path.name for path in paths), ignored.keys)
    return destination


def _write(
    parts: Components, destination: Path, copied: Mapping[str, Path], made_from: str, ignored: Sequence[str]
) -> None:
    """A single file or a folder, as the name of `destination` says."""
    try:
        if destination.suffix.lower() in WEIGHT_SUFFIXES:
            write_state_dict(export_original(parts), destination, made_from, ignored)
        else:
            with replacing_folder(destination) as fresh:
                write_folder(parts, fresh, copied, made_from)
                record_ignored(fresh, ignored)
    except OSError as error:
        raise UserError(f"{destination}: cannot be written ({error.strerror}); choose another place") from error


def _gather(paths: Sequence[Path], lora_scale: float, ignored: Ignored) -> tuple[Components, dict[str, Path]]:
    """All sources as one set of parts, and the folders that are copied as they are (tokenizer, scheduler)."""
    parts = Components()
    copied: dict[str, Path] = {}
    for path in paths:
        if path.is_dir() and adapter_file(path) is None:
            found = read_folder(path, ignored)
            copied |= {name: path / name for name in COPIED if (path / name).is_dir()}
        else:
            file = adapter_file(path) or path
            state = read_state_dict(file, ignored)
            if file != path or is_lora(state):
                _merge(parts, state, lora_scale, file, ignored)
                continue
            found = components_of(state, str(path), ignored)
        # Dead keys of several files do not add up to those of one: with more than one, they are made anew.
        parts = dataclasses.replace(parts, **found.present(), unused=None if parts.present() else found.unused)
    if not parts.present():
        raise UserError("no source given: name at least one checkpoint")
    check_fit(parts.present(), " + ".join(path.name for path in paths))
    return parts, copied


def _merge(parts: Components, state: Mapping[str, torch.Tensor], scale: float, file: Path, ignored: Ignored) -> None:
    """A LoRA into the parts before it."""
    networks = {name: net for name, net in parts.present().items() if name in ("unet", "text_encoder", "motion")}
    if not networks:
        raise UserError(f"{file}: a LoRA needs its base; name the base before it")
    merge_lora(networks, state, scale, str(file), read_strengths(file, list(state)), ignored)


def _check_disk(parts: Components, destination: Path) -> None:
    needed = sum(tensor_bytes(module.state_dict()) for module in parts.present().values())
    standing = next(parent for parent in destination.absolute().parents if parent.exists())
    free = shutil.disk_usage(standing).free
    if needed > free:
        raise UserError(f"{destination}: needs {needed / GIB:.1f} GiB of disk, {free / GIB:.1f} GiB are free")
