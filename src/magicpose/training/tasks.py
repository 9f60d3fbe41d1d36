"""The kinds of training, a row each: which batches there are, what is minimised, what is looked at and exported.

The loop knows none of them. A new kind of training is a class here and a row in `TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from magicpose.errors import UserError
from magicpose.progress import Reporter
from magicpose.training.config import TrainConfig
from magicpose.training.data.batches import LatentClips, gather_images, gather_latents, to_device
from magicpose.training.data.clips import ClipFolder, Clips
from magicpose.training.data.latents import Processes, encode_clips
from magicpose.training.data.plan import plan_images, plan_latents
from magicpose.training.networks import Networks
from magicpose.training.objective import AutoencoderObjective, DenoisingObjective
from magicpose.training.stages import Kind, Stage
from magicpose.training.validation import validate_autoencoder, validate_denoiser


class Task(Protocol):
    """One kind of training."""

    objective: nn.Module  # a batch in, `Losses` out

    def prepare(self, clips: Clips, device: torch.device, processes: Processes, report: Reporter) -> None:
        """What must be done once before the first batch; all processes take part."""

    def batch(self, number: int, rank: int) -> Any:
        """The batch of this number for one process, a function of both and the seed; in the host's memory."""

    def to_device(self, batch: Any, device: torch.device) -> Any:
        """The batch where the objective takes it."""

    def validate(self, sheet: Path) -> dict[str, float]:
        """Writes a sheet of pictures (PNG) and returns numbers."""

    def before_export(self) -> None:
        """The last change to the averaged networks."""


class AutoencoderTask:
    """The autoencoder learns to reconstruct single pictures."""

    def __init__(self, networks: Networks, stage: Stage, config: TrainConfig) -> None:
        del stage
        self.networks, self.config = networks, config
        _check_size(networks.parts["vae"], config.data.size_px)
        self.objective: nn.Module = AutoencoderObjective(networks, config.loss)

    def prepare(self, clips: Clips, device: torch.device, processes: Processes, report: Reporter) -> None:
        del device, processes, report
        self.clips, self.validation_clips = clips.train, clips.validation
        self.lengths = [len(clip.frames) for clip in clips.train]

    def batch(self, number: int, rank: int) -> Any:
        plan = plan_images(self.lengths, self.config, number, rank)
        return gather_images(self.clips, self.config.data.size_px, plan)

    def to_device(self, batch: Any, device: torch.device) -> Any:
        return to_device(batch, device)

    def validate(self, sheet: Path) -> dict[str, float]:
        return validate_autoencoder(self.networks, self.validation_clips, self.config, sheet)

    @torch.no_grad()
    def before_export(self) -> None:
        """Latents of unit variance in every channel, measured on training pictures, folded into the weights."""
        vae = self.networks.parts["vae"]
        batches = [self.batch(self.config.steps + k, 0).images for k in range(8)]
        latents = torch.cat([vae.encode(images.to(vae.device)).latent_dist.sample() for images in batches])
        vae.normalise_latents(latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)))


class DenoiserTask:
    """UNet, appearance control and ControlNet learn to denoise latents."""

    def __init__(self, networks: Networks, stage: Stage, config: TrainConfig) -> None:
        self.networks, self.stage, self.config = networks, stage, config
        self.model_stride = _check_size(networks.parts["vae"], config.data.size_px)
        objective = DenoisingObjective(networks, config.loss, config.data.size_px)
        if objective.model.appearance is not None and not stage.tied:
            objective.model.appearance.freeze_dead_parameters()
        self.model = objective.model
        self.objective: nn.Module = objective

    def prepare(self, clips: Clips, device: torch.device, processes: Processes, report: Reporter) -> None:
        config = self.config

        def encoded(chosen: list[ClipFolder], root: Path) -> LatentClips:
            vae, size_px = self.networks.parts["vae"], config.data.size_px
            folder = config.data.latents or root
            latents = encode_clips(chosen, vae, size_px, folder, device, processes, report)
            return LatentClips(chosen, latents, size_px, self._map_px())

        self.data = encoded(clips.train, config.data.train)
        self.validation_data = encoded(clips.validation, config.data.validation)
        self.lengths = [len(clip.frames) for clip in clips.train]
        if config.compile:
            compile_networks(self.model)

    def _map_px(self) -> int:
        """The side of pose maps; 0 where the stage has none."""
        if self.model.pose_controlnet is None:
            return 0
        return self.config.data.size_px // self.model_stride * self.model.pose_stride

    def batch(self, number: int, rank: int) -> Any:
        channels, height, width = self.data.latents[0].shape[1:]
        plan = plan_latents(self.lengths, (channels, height, width), self.stage, self.config, number, rank)
        return gather_latents(self.data, self.stage, self.config.loss.correspondence_weight > 0, plan)

    def to_device(self, batch: Any, device: torch.device) -> Any:
        return to_device(batch, device)

    def validate(self, sheet: Path) -> dict[str, float]:
        return validate_denoiser(self.networks, self.validation_data, self.config, sheet)

    def before_export(self) -> None:
        pass


TASKS: dict[Kind, Callable[[Networks, Stage, TrainConfig], Task]] = {
    "autoencoder": AutoencoderTask,
    "denoiser": DenoiserTask,
}


def compile_networks(model: Any) -> None:
    """torch.compile for each network by itself: one graph of all three takes far longer to make."""
    for network in (model.unet, model.pose_controlnet, model.appearance.unet if model.appearance else None):
        if network is not None:
            network.compile(dynamic=False)


def _check_size(vae: Any, size_px: int) -> int:
    """The pixels of a latent pixel; UserError where pictures of side `size_px` do not divide into them."""
    from magicpose.networks.autoencoder import stride

    pixels = stride(vae)
    if size_px % pixels:
        raise UserError(f"data.size_px must be a multiple of {pixels} for this autoencoder, not {size_px}")
    return pixels
