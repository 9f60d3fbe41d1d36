"""The state of a run: a sheet of held-out clips and a few numbers, the same clips every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from magicpose.files import replacing
from magicpose.networks.latents import decode, encode
from magicpose.sampling.loop import sample
from magicpose.training.config import TrainConfig
from magicpose.training.data.batches import LatentClips, draw_maps
from magicpose.training.data.clips import ClipFolder
from magicpose.training.data.square import Square
from magicpose.training.networks import Networks


@torch.no_grad()
def validate_autoencoder(
    networks: Networks, clips: Sequence[ClipFolder], config: TrainConfig, sheet: Path
) -> dict[str, float]:
    """Rows: truth, reconstruction; a column for each clip. Returns PSNR in dB, mean absolute error in grey levels."""
    truth = _frames(clips[: config.validation_clips], -1, config)
    decoded = _decode(networks, encode(networks.parts["vae"], truth))
    _write_sheet([truth, decoded], sheet)
    return _errors("", decoded, truth)


@torch.no_grad()
def validate_denoiser(networks: Networks, data: LatentClips, config: TrainConfig, sheet: Path) -> dict[str, float]:
    """Rows: reference, pose map, samples at each guidance scale, truth; numbers as above for each scale."""
    clips = data.clips[: config.validation_clips]
    model = networks.model()
    device = next(model.parameters()).device
    truth, reference = _frames(clips, -1, config), _frames(clips, 0, config)
    latents = torch.stack([clip[0].float() for clip in data.latents[: len(clips)]])
    pose = None
    if model.pose_controlnet is not None:
        points = [data.keypoints(index, np.array([len(clip.frames) - 1])) for index, clip in enumerate(clips)]
        pose = draw_maps(np.concatenate(points), data.size_px, data.map_px).to(device)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(config.seed)).to(device)
    captions = [clip.caption for clip in clips] if model.appearance is None and pose is None else [""]
    context = networks.encode_text(captions)
    given = latents.to(device) if model.appearance is not None else None
    rows = [reference] if pose is None else [reference, _enlarged(pose, truth)]
    numbers: dict[str, float] = {}
    for scale in config.guidance_scales:
        result = sample(
            model, noise, given, pose, context,
            steps=config.sampling_steps, guidance_scale=scale, scheduler=networks.scheduler,
        )  # fmt: skip
        rows.append(_decode(networks, result))
        numbers |= _errors(f"_s{scale:g}", rows[-1], truth)
    _write_sheet([*rows, truth], sheet)
    return numbers


def _frames(clips: Sequence[ClipFolder], index: int, config: TrainConfig) -> Tensor:
    """Frame `index` of each clip: [N, 3, H, W] in [-1, 1]."""
    side = config.data.size_px
    pixels = np.stack([Square.of(clip.size).image(clip.picture(index), side) for clip in clips])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def _enlarged(pose: Tensor, pictures: Tensor) -> Tensor:
    """Pose maps as pictures of the size of `pictures`."""
    return torch.nn.functional.interpolate(pose.cpu(), size=pictures.shape[-2:], mode="area") * 2 - 1


def _decode(networks: Networks, latents: Tensor) -> Tensor:
    return torch.cat([images.clamp(-1, 1).cpu() for images in decode(networks.parts["vae"], latents)])


def _errors(suffix: str, result: Tensor, truth: Tensor) -> dict[str, float]:
    squared = (result - truth).square().mean(dim=(1, 2, 3)) / 4  # of the range
    psnr = float((-10 * torch.log10(squared)).mean())
    mae = float((result - truth).abs().mean() * 127.5)
    return {f"psnr{suffix}": round(psnr, 3), f"mae{suffix}": round(mae, 3)} if math.isfinite(psnr) else {}


def _write_sheet(rows: list[Tensor], path: Path) -> None:
    """Rows of [N, 3, H, W] in [-1, 1], one under the other."""
    grid = torch.cat([torch.cat(list(row.cpu()), dim=2) for row in rows], dim=1)
    pixels = ((grid * 127.5 + 127.5).round().clamp(0, 255)).to(torch.uint8).permute(1, 2, 0).numpy()
    with replacing(path) as draft:
        Image.fromarray(pixels).save(draft, format="PNG")
