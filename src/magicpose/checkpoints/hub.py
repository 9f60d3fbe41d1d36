"""Where models come from: the package itself, a folder, or the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from magicpose.acceleration.capacity import free_bytes
from magicpose.errors import UserError

WEIGHTS = Path(__file__).parents[1] / "weights"
DOWNLOADED = ("*.safetensors", "*.json", "*.txt")  # never pickles
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside the package."""

    folder: Path
    about: str


EMBEDDED = {
    "tiny": EmbeddedModel(
        WEIGHTS / "tiny", "small network for synthetic people, made by this project; runs on a laptop, offline"
    ),
}


def find_model(source: str) -> Path:
    """The folder of an embedded model's name, a folder's path, or a hub id (downloaded once, then cached)."""
    embedded = EMBEDDED.get(source)
    if embedded is not None:
        if not (embedded.folder / "model_index.json").is_file():
            raise UserError(f"this copy of magicpose holds no weights for {source!r}; pass --model FOLDER or a hub id")
        return embedded.folder
    if Path(source).is_dir():
        return Path(source)
    if Path(source).is_file():
        raise UserError(f"{source} is a single file; run `magicpose convert {source} -o FOLDER` and name the folder")
    if not _HUB_ID.fullmatch(source):
        raise UserError(
            f"unknown model {source!r}: choose {', '.join(EMBEDDED)}, a folder, or a Hugging Face id (owner/name)"
        )
    return _download(source)


# what `animate` needs of a model: folders under any of these names -> what to say they are
_NEEDED = {
    ("unet",): "UNet",
    ("vae",): "VAE",
    ("text_encoder",): "text encoder",
    ("appearance",): "appearance control",
    ("pose_controlnet", "controlnet"): "pose ControlNet",
}


def check_complete(folder: Path, name: str, available_bytes: int | None = None) -> None:
    """Raises UserError for a model that lacks a network, or is larger than the memory; reads no weights."""
    for places, what in _NEEDED.items():
        if not any((folder / place).is_dir() for place in places):
            raise UserError(f"model {name} has no {what}: convert it together with one")
    needed = sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))
    free = free_bytes() if available_bytes is None else available_bytes
    if needed > free:
        raise UserError(
            f"model {name} needs {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free: "
            "close other programs, or convert it with --dtype float16 and pass --dtype bfloat16"
        )


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(DOWNLOADED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"model {hub_id!r} is no folder here and cannot be fetched from huggingface.co "
            f"({type(error).__name__}); embedded models: {', '.join(EMBEDDED)}"
        ) from error
