"""Every frame through the frozen autoencoder once, kept on disk for all stages that share it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from magicpose.files import replacing
from magicpose.media.files import explained
from magicpose.networks.latents import encode
from magicpose.progress import Reporter
from magicpose.training.data.clips import ClipFolder
from magicpose.training.data.square import Square

_PIXELS_AT_ONCE = 8 * 512 * 512  # a batch that Stable Diffusion's encoder takes in about 4 GB


class Processes(Protocol):
    """The processes of a run; `accelerate.Accelerator` is one."""

    process_index: int
    num_processes: int

    def wait_for_everyone(self) -> None:
        """Returns once every process has called it."""


def encode_clips(
    clips: list[ClipFolder], vae: Any, size_px: int, cache: Path, device: Any, processes: Processes, report: Reporter
) -> list[Tensor]:
    """Latents of all frames, [frames, C, h, w] float16 for each clip, scaled by the autoencoder's factor.

    They are kept in `cache`, named by the content of the frames and the weights of the autoencoder. Each process
    encodes its share of the clips, then all of them read all.

    Raises UserError where a frame cannot be read or `cache` cannot be written.
    """
    folder = cache / f"latents-{size_px}-{weights_hash(vae)}"
    mine = range(processes.process_index, len(clips), processes.num_processes)
    paths: dict[int, Path] = {}
    with report.stage("latents") as progress:
        for done, index in enumerate(mine, 1):
            digest = _content_hash(clips[index])
            paths[index] = folder / f"{digest}.safetensors"
            if _read(paths[index], clips[index]) is None:
                _write(paths[index], _encode(clips[index], vae, size_px, device, digest))
            progress(done, len(mine))
    everywhere = _gather(paths, processes)
    return [_stored(everywhere[index], clip) for index, clip in enumerate(clips)]


def _gather(paths: dict[int, Path], processes: Processes) -> dict[int, Path]:
    """What every process found, once all of them are done."""
    from accelerate.utils import gather_object

    processes.wait_for_everyone()
    return dict(gather_object(list(paths.items()))) if processes.num_processes > 1 else paths


@torch.no_grad()
def _encode(clip: ClipFolder, vae: Any, size_px: int, device: Any, digest: str) -> Tensor:
    crop, at_once = Square.of(clip.size), max(1, _PIXELS_AT_ONCE // size_px**2)
    generator = torch.Generator().manual_seed(int(digest[:15], 16))  # the same latents whoever makes them
    encoded = []
    for first in range(0, len(clip.frames), at_once):
        batch = range(first, min(first + at_once, len(clip.frames)))
        pixels = torch.from_numpy(np.stack([crop.image(clip.picture(index), size_px) for index in batch]))
        images = (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).to(device)
        with torch.autocast(images.device.type, torch.bfloat16):
            encoded.append(encode(vae, images, generator, at_once).half().cpu())
    return torch.cat(encoded).contiguous()


def _write(path: Path, latents: Tensor) -> None:
    with explained(path), replacing(path) as draft:
        save_file({"latents": latents}, draft)


def _read(path: Path, clip: ClipFolder) -> Tensor | None:
    """The latents kept at `path`; None where there are none that fit."""
    try:
        latents = load_file(path)["latents"]
    except (OSError, KeyError, SafetensorError):
        return None
    return latents if len(latents) == len(clip.frames) else None


def _stored(path: Path, clip: ClipFolder) -> Tensor:
    latents = _read(path, clip)
    assert latents is not None, f"{path} was written and cannot be read"
    return latents


def _content_hash(clip: ClipFolder) -> str:
    """32 hex digits that change with any frame."""
    digest = hashlib.sha256()
    for frame in clip.frames:
        digest.update(hashlib.sha256(frame.read_bytes()).digest())
    return digest.hexdigest()[:32]


def weights_hash(module: torch.nn.Module) -> str:
    """Eight hex digits that change with any weight."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
