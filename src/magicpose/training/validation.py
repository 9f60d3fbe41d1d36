"""What a run looks like so far: a sheet of held-out clips and a few numbers, the same clips every time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from magicpose.networks.latents import decode, encode
from magicpose.sampling import sample
from magicpose.training.config import TrainConfig
from magicpose.training.data.batches import LatentClips, draw_maps
from magicpose.training.data.clips import ClipFolder
from magicpose.training.data.square import Square
from magicpose.training.networks import Networks


@torch.no_grad()
def validate(
    networks: Networks, clips: list[ClipFolder], latents: LatentClips | None, config: TrainConfig, sheet: Path
) -> dict[str, float]:
    """Writes `sheet` (a PNG) and returns numbers: PSNR in dB and mean absolute error in grey levels."""
    chosen = clips[: config.validation_clips]
    truth = torch.stack([_frame(clip, -1, config) for clip in chosen])
    if latents is None:
        decoded = _decode(networks, encode(networks.parts["vae"], truth))
        _write_sheet([truth, decoded], sheet)
        return _errors("", decoded, truth)
    return _validate_denoiser(networks, latents, truth, config, sheet)


def _validate_denoiser(
    networks: Networks, latents: LatentClips, truth: Tensor, config: TrainConfig, sheet: Path
) -> dict[str, float]:
    """Rows: reference, pose map, samples at each guidance scale, truth; one column per clip."""
    count = len(truth)
    model = networks.model()
    chosen = latents.clips[:count]
    references = torch.stack([clip[0].float() for clip in latents.latents[:count]])
    points = [Square.of(c.size).keypoints(c.keypoints[-1:], config.data.size_px) for c in chosen]
    device = next(model.parameters()).device
    pose = None
    if model.pose_controlnet is not None:
        pose = draw_maps(np.concatenate(points), config, latents.map_px, None).to(device)
    noise = torch.randn(references.shape, generator=torch.Generator().manual_seed(config.seed)).to(device)
    captions = [clip.caption for clip in chosen] if model.appearance is None and pose is None else [""]
    context = networks.encode_text(captions)
    rows = [torch.stack([_frame(clip, 0, config) for clip in chosen])]
    if pose is not None:
        rows.append(torch.nn.functional.interpolate(pose.cpu(), size=truth.shape[-2:], mode="area") * 2 - 1)
    numbers: dict[str, float] = {}
    for scale in config.guidance_scales:
        result = sample(
            model, noise, references.to(device) if model.appearance is not None else None, pose, context,
            steps=config.sampling_steps, guidance_scale=scale, scheduler=networks.scheduler,
        )  # fmt: skip
        rows.append(_decode(networks, result))
        numbers |= _errors(f"_s{scale:g}", rows[-1], truth)
    _write_sheet([*rows, truth], sheet)
    return numbers


def _frame(clip: ClipFolder, index: int, config: TrainConfig) -> Tensor:
    pixels = torch.from_numpy(Square.of(clip.size).image(clip.picture(index), config.data.size_px).copy())
    return pixels.permute(2, 0, 1).float() / 127.5 - 1


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
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    Image.fromarray(pixels).save(draft, format="PNG")
    draft.replace(path)
