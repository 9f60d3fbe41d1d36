"""Our own format, plain diffusers sub-folders with a `model_index.json`, and `convert` between it and single files."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn
from transformers import CLIPTextModel

from magicpose.checkpoints.compatibility import check_base, check_fit
from magicpose.checkpoints.index import INDEX, ModelSettings, is_our_folder, read_json, read_settings, write_index
from magicpose.checkpoints.original import keys
from magicpose.checkpoints.original.export import export_original
from magicpose.checkpoints.original.lora import merge_lora
from magicpose.checkpoints.original.read import components_of, empty, fill
from magicpose.checkpoints.original.weight_files import (
    GIB,
    WEIGHT_SUFFIXES,
    check_finite,
    check_memory,
    read_state_dict,
    replacing_model,
    tensor_bytes,
    write_state_dict,
)
from magicpose.checkpoints.parts import Parts
from magicpose.errors import UserError
from magicpose.networks.autoencoder import PatchAutoencoder
from magicpose.networks.schedule import make_scheduler

# part -> (library, class, other names stock pipelines give the folder)
PARTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unet": ("diffusers", "UNet2DConditionModel", ()),
    "appearance": ("diffusers", "UNet2DConditionModel", ()),
    "pose_controlnet": ("diffusers", "ControlNetModel", ("controlnet",)),
    "vae": ("diffusers", "AutoencoderKL", ()),
    "text_encoder": ("transformers", "CLIPTextModel", ()),
    "motion": ("diffusers", "MotionAdapter", ("motion_adapter",)),
}
# our own classes that may stand where `PARTS` names a stock one: class name -> (part, class)
OWN_CLASSES: dict[str, tuple[str, Any]] = {"PatchAutoencoder": ("vae", PatchAutoencoder)}
COPIED = ("tokenizer", "scheduler")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
WEIGHT_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model")


def convert(
    sources: str | Path | Sequence[str | Path],
    destination: str | Path,
    dtype: str | None = None,
    lora_scale: float = 1.0,
    overwrite: bool = False,
) -> Path:
    """Checkpoints in, one checkpoint out; the form follows from the name of `destination`.

    Args:
        sources: original stage-1 and stage-2 files, Stable Diffusion 1.5 files, ControlNet files, AnimateDiff motion
            modules, our or other diffusers folders, and LoRA files. Together they make one checkpoint: a part that
            several hold comes from the last, a LoRA is merged into the base before it.
        destination: a name ending in `.safetensors`, `.ckpt`, `.pth`, `.th` gives a single file with the original
            keys; any other name a folder of ours.
        dtype: "float32", "float16" or "bfloat16"; None keeps what the sources have.
        lora_scale: strength of every LoRA.
        overwrite: replace an existing destination.

    Raises:
        UserError: anything wrong with a source, or a destination that exists. Nothing is left half-written.
    """
    paths = [Path(s) for s in ([sources] if isinstance(sources, str | Path) else sources)]
    destination = Path(destination)
    if destination.exists() and not overwrite:
        raise UserError(f"{destination}: exists already; choose another name or pass --overwrite")
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    parts, copied, settings = _gather(paths, lora_scale)
    if dtype is not None:
        for module in parts.present().values():
            module.to(DTYPES[dtype])
    _check_disk(parts, destination)
    made_from = ", ".join(path.name for path in paths)
    try:
        if destination.suffix.lower() in WEIGHT_SUFFIXES:
            write_state_dict(export_original(parts), destination, made_from)
        else:
            with replacing_model(destination) as fresh:
                write_folder(parts, fresh, copied, made_from, settings)
    except OSError as error:
        raise UserError(f"{destination}: cannot be written ({error.strerror}); choose another place") from error
    return destination


def _gather(paths: Sequence[Path], lora_scale: float) -> tuple[Parts, dict[str, Path], ModelSettings]:
    """All sources as one set of parts, the folders that are copied as they are (tokenizer, scheduler), and the settings
    of the last folder that has some."""
    parts, settings = Parts(), ModelSettings()
    copied: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            found = read_folder(path)
            copied |= {name: path / name for name in COPIED if (path / name).is_dir()}
            settings = read_settings(path) if is_our_folder(path) else settings
        else:
            state = read_state_dict(path)
            if any(keys.LORA.match(key) for key in state):
                if parts.unet is None:
                    raise UserError(f"{path}: a LoRA needs its base; name the base before it")
                merge_lora(parts.unet, parts.text_encoder, state, lora_scale, str(path))
                continue
            found = components_of(state, str(path))
        # Dead keys of several files do not add up to those of one: with more than one, they are made anew.
        parts = dataclasses.replace(parts, **found.present(), unused=None if parts.present() else found.unused)
    if not parts.present():
        raise UserError("no source given: name at least one checkpoint")
    check_fit(parts.present(), " + ".join(path.name for path in paths))
    return parts, copied, settings


def _check_disk(parts: Parts, destination: Path) -> None:
    needed = sum(tensor_bytes(module.state_dict()) for module in parts.present().values())
    standing = next(parent for parent in destination.absolute().parents if parent.exists())
    free = shutil.disk_usage(standing).free
    if needed > free:
        raise UserError(f"{destination}: needs {needed / GIB:.1f} GiB of disk, {free / GIB:.1f} GiB are free")


# ---- folders ---------------------------------------------------------------------------------------------------


def write_folder(
    parts: Parts, folder: Path, copied: Mapping[str, Path], made_from: str, settings: ModelSettings | None = None
) -> None:
    """Sub-folders in diffusers' layout and the index that names them."""
    for name, module in parts.present().items():
        module.save_pretrained(folder / name)  # type: ignore[operator]
    for name, source in copied.items():
        shutil.copytree(source, folder / name)
    if "scheduler" not in copied:
        make_scheduler("ddim").save_pretrained(folder / "scheduler")
    write_index(folder, settings or ModelSettings(), made_from)


def read_folder(folder: Path) -> Parts:
    """Our folders, stock Stable Diffusion 1.5 pipelines, or the folder of a single network (a MotionAdapter, say)."""
    if (folder / "config.json").is_file():
        kind = read_json(folder / "config.json").get("_class_name")
        part = next((name for name, (_, cls, _) in PARTS.items() if cls == kind), None)
        if part is None:
            raise UserError(f"{folder}: holds a {kind}; expected {', '.join(sorted({p[1] for p in PARTS.values()}))}")
        single: dict[str, Any] = {part: read_part(part, folder)}
        return Parts(**single)
    if not (folder / INDEX).is_file():
        raise UserError(f"{folder}: no {INDEX}, so no diffusers folder; name a weight file or such a folder")
    found: dict[str, Any] = {
        part: read_part(part, home) for part, home in part_folders(folder).items() if part in PARTS
    }
    if not found:
        raise UserError(f"{folder}: its {INDEX} stands alone; download the whole folder")
    check_fit(found, str(folder))
    return Parts(**found)


def part_folders(folder: Path) -> dict[str, Path]:
    """Where the parts of a model stand in `folder`, under our names or those of stock pipelines."""
    names = {part: (part, *aliases) for part, (_, _, aliases) in PARTS.items()} | {name: (name,) for name in COPIED}
    homes = {part: [folder / name for name in known if (folder / name).is_dir()] for part, known in names.items()}
    return {part: found[0] for part, found in homes.items() if found}


def read_part(part: str, folder: Path) -> nn.Module:
    """One network in its file's dtype, strictly."""
    if part == "text_encoder":
        return _read_text(folder)
    library, name, _ = PARTS[part]
    assert library == "diffusers"
    config = read_json(folder / "config.json")
    found = str(config.get("_class_name"))
    home, cls = OWN_CLASSES.get(found, (part, getattr(diffusers, name)))
    if home != part or found not in (name, *OWN_CLASSES):
        raise UserError(f"{folder}: holds a {found}, expected a {name}")
    network = empty(lambda: cls.from_config(config))
    if part in ("unet", "appearance"):
        check_base(network, str(folder))
    weights = _read_weights(folder)
    modules = {child: child for child, _ in network.named_children()}
    return fill(network, weights, modules, str(folder))


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    for name in WEIGHT_NAMES:
        for path in (folder / f"{name}.safetensors.index.json", folder / f"{name}.bin.index.json"):
            if path.is_file():
                shards = sorted(set(read_json(path).get("weight_map", {}).values()))
                if any(Path(shard).name != shard for shard in shards):
                    raise UserError(f"{path}: names files outside its folder; download it again")
                return {k: v for shard in shards for k, v in _checked(folder / shard).items()}
        for suffix in (".safetensors", ".fp16.safetensors", ".bin"):
            if (folder / (name + suffix)).is_file():
                return _checked(folder / (name + suffix))
    raise UserError(f"{folder}: no weights (diffusion_pytorch_model.safetensors); download the whole folder")


def _checked(path: Path) -> dict[str, torch.Tensor]:
    state = read_state_dict(path)
    check_memory(tensor_bytes(state), str(path))
    check_finite(state, str(path))
    return state


def _read_text(folder: Path) -> nn.Module:
    """transformers renames old keys itself, so it loads its own tower; the file is read once before, for its faults."""
    _read_weights(folder)
    network, report = CLIPTextModel.from_pretrained(
        folder, dtype="auto", local_files_only=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise UserError(f"{folder}: {sorted(report['missing_keys'])[0]} is missing; download the whole folder")
    assert isinstance(network, nn.Module)
    return network.eval()
