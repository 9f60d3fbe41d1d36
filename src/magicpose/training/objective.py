"""What a stage minimises, as one module: a batch in, a loss for each picture out."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from magicpose.networks.attention import QueryKey
from magicpose.networks.model import MagicPoseModel
from magicpose.training.config import LossConfig
from magicpose.training.correspondence import correspondence_loss
from magicpose.training.data.batches import ImageBatch, LatentBatch
from magicpose.training.loss import denoising_loss, face_crops, reconstruction_loss, region_weights
from magicpose.training.networks import Networks
from magicpose.training.perceptual import ShiftTolerantLPIPS, load_perceptual


class Losses(NamedTuple):
    """The loss of each picture, [B], and parts of the mean loss for the log, without gradients."""

    per_picture: Tensor
    parts: dict[str, Tensor]


class AutoencoderObjective(nn.Module):
    """Reconstruction of a noised latent: L1, edges, and the distance of faces in a perceptual network."""

    def __init__(self, networks: Networks, settings: LossConfig) -> None:
        super().__init__()
        self.vae = networks.parts["vae"]
        self.settings = settings
        self.frozen_copy = copy.deepcopy(self.vae).requires_grad_(False) if settings.kept_channels else None
        self.perceptual: ShiftTolerantLPIPS | None = load_perceptual() if settings.perceptual_weight else None

    def forward(self, batch: ImageBatch) -> Losses:
        images, settings = batch.images, self.settings
        latents = self.vae.encode(images).latent_dist.sample().float()
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(batch.seed)).to(latents.device)
        decoded = self.vae.decode(latents + settings.latent_noise * noise).sample.float()
        side = images.shape[-1]
        weight = region_weights(batch.keypoints, side, side // 4, settings.face_weight, settings.hand_weight)
        loss = reconstruction_loss(decoded, images, weight.to(images.device), settings)
        loss = loss + 1e-3 * latents.square().mean(dim=(1, 2, 3))  # bounds the scale, against which the noise is fixed
        if self.frozen_copy is not None:
            kept = settings.kept_channels
            drift = latents[:, :kept] - self.frozen_copy.encode(images).latent_dist.mode()[:, :kept].float()
            loss = loss + drift.square().mean(dim=(1, 2, 3))
        if self.perceptual is not None:
            first, second = (face_crops(x, batch.keypoints, settings.perceptual_crop_px) for x in (decoded, images))
            loss = loss + settings.perceptual_weight * self.perceptual(first, second)
        return Losses(loss, {})


class DenoisingObjective(nn.Module):
    """The paper's Eq. 4 for every denoising stage; the batch decides which conditions are given."""

    def __init__(self, networks: Networks, settings: LossConfig, image_px: int) -> None:
        super().__init__()
        self.networks = networks
        self.model: MagicPoseModel = networks.model()
        self.text_encoder = networks.parts["text_encoder"]
        self.schedule = networks.schedule
        self.settings = settings
        self.image_px = image_px

    def forward(self, batch: LatentBatch) -> Losses:
        targets = len(batch.latents) // len(batch.timesteps)
        timesteps = batch.timesteps.repeat_interleave(targets)
        noisy, target = self.schedule.noisy(batch.latents, batch.noise, timesteps)
        context = self.networks.encode_text(batch.captions or ("",))
        bank = None
        if batch.reference is not None:
            bank = self.model.reference_bank(batch.reference, batch.timesteps, context)
            bank = {name: states.repeat_interleave(targets, 0) for name, states in bank.items()}
        if len(context) > 1:
            context = context.repeat_interleave(targets, 0)
        probe: dict[str, QueryKey] | None = None if batch.matching is None else {}
        prediction = self.model(noisy, timesteps, context, bank=bank, pose=batch.pose, probe=probe)
        loss = denoising_loss(prediction, target, self._weight(batch))
        if self.settings.snr_gamma is not None:
            loss = loss * self.schedule.min_snr_weight(timesteps, self.settings.snr_gamma)
        if probe is None or batch.matching is None:
            return Losses(loss, {})
        surprise = correspondence_loss(probe, batch.matching)
        loss = loss + self.settings.correspondence_weight * surprise
        return Losses(loss, {"correspondence": surprise.detach().mean()})

    def _weight(self, batch: LatentBatch) -> Tensor | None:
        if self.settings.face_weight == 1.0 and self.settings.hand_weight == 1.0:
            return None
        cells, settings = batch.latents.shape[-1], self.settings
        weight = region_weights(batch.keypoints, self.image_px, cells, settings.face_weight, settings.hand_weight)
        return weight.to(batch.latents.device)
