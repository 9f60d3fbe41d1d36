"""Where models come from: the package itself, a folder, or the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from magicpose.errors import UserError

WEIGHTS = Path(__file__).with_name("weights")
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
