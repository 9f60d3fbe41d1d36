"""Every frame through the frozen autoencoder once, kept on disk for all stages that share it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from magicpose.networks.latents import encode
from magicpose.training.data import ClipFolder, LatentClips, Square
from magicpose.training.progress import progress_bar


@torch.no_grad()
def encode_clips(clips: list[ClipFolder], vae: Any, size_px: int, map_px: int, cache: Path, device: Any) -> LatentClips:
    """Latents of all frames, scaled by the autoencoder's factor; cached under `cache` by the weights' hash."""
    store = cache / f"latents-{size_px}-{weights_hash(vae)}"
    store.mkdir(parents=True, exist_ok=True)
    latents: list[Tensor] = []
    with progress_bar("latents", len(clips)) as advance:
        for clip in clips:
            path = store / f"{clip.folder.name}.safetensors"
            if not path.exists():
                _encode(clip, vae, size_px, path, device)
            latents.append(load_file(path)["latents"])
            advance(1)
    return LatentClips(clips, latents, map_px)


def _encode(clip: ClipFolder, vae: Any, size_px: int, path: Path, device: Any) -> None:
    crop = Square.of(clip.size)
    pixels = torch.from_numpy(np.stack([crop.image(frame, size_px) for frame in clip.frames]))
    images = (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).to(device)
    with torch.autocast(images.device.type, torch.bfloat16):
        encoded = encode(vae, images)
    draft = path.with_suffix(".part")
    save_file({"latents": encoded.half().cpu().contiguous()}, draft)
    draft.replace(path)


def weights_hash(module: torch.nn.Module) -> str:
    """Eight hex digits that change with any weight."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
