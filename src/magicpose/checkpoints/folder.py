"""Our own format, plain diffusers sub-folders with a `model_index.json`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from magicpose import __version__
from magicpose.checkpoints.compatibility import check_base, check_fit
from magicpose.checkpoints.original.dialects import modern_attention
from magicpose.checkpoints.original.fill import Origin, fill
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.plans import empty, text_table
from magicpose.checkpoints.original.read import Components
from magicpose.checkpoints.original.weight_files import (
    check_finite,
    check_memory,
    read_state_dict,
    tensor_bytes,
)
from magicpose.errors import UserError
from magicpose.networks.autoencoder import PatchAutoencoder
from magicpose.sampling import make_scheduler

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
COPIED = {"tokenizer": ("transformers", "CLIPTokenizer"), "scheduler": ("diffusers", "DDIMScheduler")}
WEIGHT_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model")


def write_folder(parts: Components, folder: Path, copied: Mapping[str, Path], made_from: str) -> None:
    """Sub-folders in diffusers' layout and the index that names them."""
    index: dict[str, Any] = {
        "_class_name": "MagicPosePipeline",
        "_diffusers_version": diffusers.__version__,
        "_magicpose_version": __version__,
        "_made_from": made_from,
    }
    for name, module in parts.present().items():
        _save(module, folder / name)
        cls = type(module)
        index[name] = [cls.__module__, cls.__name__] if cls.__name__ in OWN_CLASSES else list(PARTS[name][:2])
    for name, source in copied.items():
        shutil.copytree(source, folder / name)
    if "scheduler" not in copied:
        make_scheduler("ddim").save_pretrained(folder / "scheduler")
    index |= {name: list(home) for name, home in COPIED.items() if (folder / name).is_dir()}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def record_ignored(folder: Path, ignored: Sequence[str]) -> None:
    """Keys of the sources that were left out, into the index."""
    if ignored:
        index = folder / "model_index.json"
        index.write_text(json.dumps(_json(index) | {"_ignored_keys": list(ignored)}, indent=2) + "\n")


def _save(module: Any, folder: Path) -> None:
    """One network in its library's layout; transformers' own saving prints a bar."""
    if not isinstance(module, CLIPTextModel):
        module.save_pretrained(folder)
        return
    module.config.architectures = [type(module).__name__]
    module.config.save_pretrained(folder)
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def read_folder(folder: Path, ignored: Ignored | None = None) -> Components:
    """Our folders, stock Stable Diffusion 1.5 pipelines, or the folder of a single network (a MotionAdapter, say)."""
    if (folder / "config.json").is_file():
        kind = _json(folder / "config.json").get("_class_name")
        part = next((name for name, (_, cls, _) in PARTS.items() if cls == kind), None)
        if part is None:
            raise UserError(f"{folder}: holds a {kind}; expected {', '.join(sorted({p[1] for p in PARTS.values()}))}")
        single: dict[str, Any] = {part: _read_part(part, folder, ignored)}
        return Components(**single)
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder}: no model_index.json, so no diffusers folder; name a weight file or such a folder")
    found: dict[str, Any] = {}
    for part, (_, _, aliases) in PARTS.items():
        home = next((folder / name for name in (part, *aliases) if (folder / name).is_dir()), None)
        if home is not None:
            found[part] = _read_part(part, home, ignored)
    if not found:
        raise UserError(f"{folder}: its model_index.json stands alone; download the whole folder")
    check_fit(found, str(folder))
    return Components(**found)


def _read_part(part: str, folder: Path, ignored: Ignored | None = None) -> nn.Module:
    """One network in its file's dtype, strictly."""
    config = _json(folder / "config.json")
    if part == "text_encoder":
        return _read_text(folder, config, ignored)
    library, name, _ = PARTS[part]
    assert library == "diffusers"
    found = str(config.get("_class_name"))
    home, cls = OWN_CLASSES.get(found, (part, getattr(diffusers, name)))
    if home != part or found not in (name, *OWN_CLASSES):
        raise UserError(f"{folder}: holds a {found}, expected a {name}")
    network = empty(lambda: cls.from_config(config))
    if part in ("unet", "appearance"):
        check_base(network, str(folder))
    weights = _read_weights(folder)
    names = {modern_attention(key): key for key in weights}
    modules = {child: child for child, _ in network.named_children()}
    origin = Origin(str(folder), names, ignored or Ignored())
    return fill(network, {name: weights[key] for name, key in names.items()}, modules, origin)


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    for name in WEIGHT_NAMES:
        for path in (folder / f"{name}.safetensors.index.json", folder / f"{name}.bin.index.json"):
            if path.is_file():
                shards = sorted(set(_json(path).get("weight_map", {}).values()))
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


def _read_text(folder: Path, config: Mapping[str, Any], ignored: Ignored | None) -> nn.Module:
    """CLIP's text tower, nested under `text_model` in the file or not; its pooled head and numbers are dead."""
    network = empty(lambda: CLIPTextModel(CLIPTextConfig.from_dict(_text_settings(config, folder))))
    weights = {key: value for key, value in _read_weights(folder).items() if not _DEAD_TEXT.fullmatch(key)}
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


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: missing or no JSON; download the whole folder") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no JSON object; download the whole folder")
    return content
