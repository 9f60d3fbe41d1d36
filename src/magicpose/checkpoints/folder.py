"""Our own format, plain diffusers sub-folders with a `model_index.json`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from magicpose.checkpoints.compatibility import check_base, check_fit
from magicpose.checkpoints.index import INDEX, ModelSettings, read_json, write_index
from magicpose.checkpoints.original.dialects import modern_attention
from magicpose.checkpoints.original.fill import Origin, fill
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.plans import empty, text_table
from magicpose.checkpoints.original.weight_files import (
    check_finite,
    check_memory,
    read_state_dict,
    tensor_bytes,
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
WEIGHT_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model")


def write_folder(
    parts: Parts,
    folder: Path,
    copied: Mapping[str, Path],
    made_from: str,
    settings: ModelSettings | None = None,
    ignored: Sequence[str] = (),
) -> None:
    """Sub-folders in diffusers' layout and the index that names them; `ignored` as in `write_index`."""
    for name, module in parts.present().items():
        save_part(module, folder / name)
    for name, source in copied.items():
        shutil.copytree(source, folder / name)
    if "scheduler" not in copied:
        make_scheduler("ddim").save_pretrained(folder / "scheduler")
    write_index(folder, settings or ModelSettings(), made_from, ignored)


def save_part(module: Any, folder: Path) -> None:
    """One network in its library's layout; transformers' own saving prints a bar."""
    if not isinstance(module, CLIPTextModel):
        module.save_pretrained(folder)
        return
    module.config.architectures = [type(module).__name__]
    module.config.save_pretrained(folder)
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def read_folder(folder: Path, ignored: Ignored | None = None, variant: str | None = None) -> Parts:
    """Our folders, stock Stable Diffusion 1.5 pipelines, or the folder of a single network (a MotionAdapter, say)."""
    if (folder / "config.json").is_file():
        kind = read_json(folder / "config.json").get("_class_name")
        part = next((name for name, (_, cls, _) in PARTS.items() if cls == kind), None)
        if part is None:
            raise UserError(f"{folder}: holds a {kind}; expected {', '.join(sorted({p[1] for p in PARTS.values()}))}")
        single: dict[str, Any] = {part: read_part(part, folder, ignored, variant)}
        return Parts(**single)
    if not (folder / INDEX).is_file():
        raise UserError(f"{folder}: no {INDEX}, so no diffusers folder; name a weight file or such a folder")
    homes = part_folders(folder)
    check_variant(homes.values(), variant)
    found: dict[str, Any] = {part: read_part(part, homes[part], ignored, variant) for part in PARTS if part in homes}
    if not found:
        raise UserError(f"{folder}: its {INDEX} stands alone; download the whole folder")
    check_fit(found, str(folder))
    return Parts(**found)


def part_folders(folder: Path) -> dict[str, Path]:
    """Where the parts of a model stand in `folder`, under our names or those of stock pipelines."""
    names = {part: (part, *aliases) for part, (_, _, aliases) in PARTS.items()} | {name: (name,) for name in COPIED}
    homes = {part: [folder / name for name in known if (folder / name).is_dir()] for part, known in names.items()}
    return {part: found[0] for part, found in homes.items() if found}


def check_variant(homes: Iterable[Path], variant: str | None) -> None:
    """UserError, in diffusers' words, where no part has weights named for `variant`."""
    if variant is not None and not any(list(home.glob(f"*.{variant}.*")) for home in homes):
        raise UserError(
            f"You are trying to load the model files of the `variant={variant}`, but no such modeling files are "
            "available: leave the variant out"
        )


def read_part(part: str, folder: Path, ignored: Ignored | None = None, variant: str | None = None) -> nn.Module:
    """One network in its file's dtype, strictly; files named for `variant` are preferred."""
    config = read_json(folder / "config.json")
    if part == "text_encoder":
        return _read_text(folder, config, ignored, variant)
    library, name, _ = PARTS[part]
    assert library == "diffusers"
    found = str(config.get("_class_name"))
    home, cls = OWN_CLASSES.get(found, (part, getattr(diffusers, name)))
    if home != part or found not in (name, *OWN_CLASSES):
        raise UserError(f"{folder}: holds a {found}, expected a {name}")
    network = empty(lambda: cls.from_config(config))
    if part in ("unet", "appearance"):
        check_base(network, str(folder))
    weights = _read_weights(folder, variant)
    names = {modern_attention(key): key for key in weights}
    modules = {child: child for child, _ in network.named_children()}
    origin = Origin(str(folder), names, ignored or Ignored())
    return fill(network, {name: weights[key] for name, key in names.items()}, modules, origin)


def _read_weights(folder: Path, variant: str | None = None) -> dict[str, torch.Tensor]:
    """All weights of one network, in one file or several; those of `variant` first, as diffusers names them."""
    for infix in (f".{variant}", "") if variant else ("",):
        for name in WEIGHT_NAMES:
            for suffix in (".safetensors", ".bin"):
                index = folder / f"{name}{suffix}.index{infix}.json"
                if index.is_file():
                    return _read_shards(index)
            for suffix in (".safetensors", ".fp16.safetensors", ".bin"):
                if (folder / (name + infix + suffix)).is_file():
                    return _checked(folder / (name + infix + suffix))
    raise UserError(f"{folder}: no weights (diffusion_pytorch_model.safetensors); download the whole folder")


def _read_shards(index: Path) -> dict[str, torch.Tensor]:
    shards = sorted(set(read_json(index).get("weight_map", {}).values()))
    if any(Path(shard).name != shard for shard in shards):
        raise UserError(f"{index}: names files outside its folder; download it again")
    return {key: value for shard in shards for key, value in _checked(index.parent / shard).items()}


def _checked(path: Path) -> dict[str, torch.Tensor]:
    state = read_state_dict(path)
    check_memory(tensor_bytes(state), str(path))
    check_finite(state, str(path))
    return state


def _read_text(
    folder: Path, config: Mapping[str, Any], ignored: Ignored | None, variant: str | None = None
) -> nn.Module:
    """CLIP's text tower, nested under `text_model` in the file or not; its pooled head and numbers are dead."""
    network = empty(lambda: CLIPTextModel(CLIPTextConfig.from_dict(_text_settings(config, folder))))
    weights = {key: value for key, value in _read_weights(folder, variant).items() if not _DEAD_TEXT.fullmatch(key)}
    tower = {key.removeprefix("text_model."): key for key in weights}
    origin = Origin(str(folder), tower, ignored or Ignored())
    return fill(network, {name: weights[key] for name, key in tower.items()}, text_table(network), origin)


_DEAD_TEXT = re.compile(r"(text_model\.)?embeddings\.position_ids|text_projection\.weight|logit_scale")


def _text_settings(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The text tower's settings, out of those of a whole CLIP too."""
    settings = config.get("text_config", config)
    if not isinstance(settings, dict) or "hidden_size" not in settings:
        raise UserError(f"{folder}: its config.json is not CLIP's; expected a CLIPTextModel")
    return settings
