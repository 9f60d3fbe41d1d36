"""What a stage minimises, as one module: a batch in, a loss per picture out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from magicpose.networks.attention import Match
from magicpose.networks.model import MagicPoseModel
from magicpose.training.config import LossConfig
from magicpose.training.correspondence import correspondence_loss
from magicpose.training.data import Batch
from magicpose.training.loss import denoising_loss, face_crops, reconstruction_loss, region_weights
from magicpose.training.networks import Networks
from magicpose.training.perceptual import ShiftTolerantLPIPS, load_perceptual


class AutoencoderObjective(nn.Module):
    """Reconstruction of a noised latent: L1, edges, and how the face looks to a perceptual network."""

    def __init__(self, networks: Networks, settings: LossConfig) -> None:
        super().__init__()
        self.vae = networks.parts["vae"]
        self.settings = settings
        self.before = copy.deepcopy(self.vae).requires_grad_(False) if settings.kept_channels else None
        self.watched: dict[str, Tensor] = {}
        self.perceptual: ShiftTolerantLPIPS | None = load_perceptual() if settings.perceptual_weight else None

    def forward(self, batch: Batch) -> Tensor:
        """[B]"""
        assert batch.images is not None and batch.keypoints is not None and batch.noise is not None
        images = batch.images
        latents = self.vae.encode(images).latent_dist.sample().float()
        seed = int(batch.noise.view(torch.int32)[0]) & 0x7FFFFFFF
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents.device)
        decoded = self.vae.decode(latents + self.settings.latent_noise * noise).sample.float()
        side = images.shape[-1]
        weight = region_weights(batch.keypoints, side, side // 4, self.settings.face_weight, self.settings.hand_weight)
        loss = reconstruction_loss(decoded, images, weight.to(images.device), self.settings)
        loss = loss + 1e-3 * latents.square().mean(dim=(1, 2, 3))  # keeps the scale against the noise in bounds
        if self.before is not None:
            kept = self.settings.kept_channels
            drift = latents[:, :kept] - self.before.encode(images).latent_dist.mode()[:, :kept].float()
            loss = loss + drift.square().mean(dim=(1, 2, 3))
        if self.perceptual is not None:
            crop = self.settings.perceptual_crop_px
            pair = (face_crops(x, batch.keypoints, crop) for x in (decoded, images))
            loss = loss + self.settings.perceptual_weight * self.perceptual(*pair)
        return loss


class DenoisingObjective(nn.Module):
    """The paper's Eq. 4 for every denoising stage: what conditions there are, the batch tells."""

    def __init__(self, networks: Networks, settings: LossConfig, image_px: int) -> None:
        super().__init__()
        self.networks = networks
        self.model: MagicPoseModel = networks.model()
        self.text_encoder = networks.parts["text_encoder"]
        self.schedule = networks.schedule
        self.settings = settings
        self.image_px = image_px
        self.watched: dict[str, Tensor] = {}  # parts of the last batch's loss, for the log

    def forward(self, batch: Batch) -> Tensor:
        """[B]"""
        assert batch.latents is not None and batch.timesteps is not None and batch.noise is not None
        self.watched = {}
        groups = len(batch.timesteps)
        targets = len(batch.latents) // groups
        timesteps = batch.timesteps.repeat_interleave(targets)
        noisy, target = self.schedule.noisy(batch.latents, batch.noise, timesteps)
        context = self.networks.encode_text(batch.captions or ("",))
        bank = None
        if batch.reference is not None:
            bank = self.model.reference_bank(batch.reference, batch.timesteps, context)
            bank = {name: states.repeat_interleave(targets, 0) for name, states in bank.items()}
        if len(context) > 1:
            context = context.repeat_interleave(targets, 0)
        probe: dict[str, Match] | None = None if batch.matches is None else {}
        prediction = self.model(noisy, timesteps, context, bank=bank, pose=batch.pose, probe=probe)
        loss = denoising_loss(prediction, target, self._weight(batch))
        if self.settings.snr_gamma is not None:
            loss = loss * self.schedule.min_snr_weight(timesteps, self.settings.snr_gamma)
        if probe is not None and batch.matches is not None:
            surprise = correspondence_loss(probe, batch.matches)
            self.watched = {"correspondence": surprise.detach().mean()}
            loss = loss + self.settings.correspondence_weight * surprise
        return loss

    def _weight(self, batch: Batch) -> Tensor | None:
        if self.settings.face_weight == 1.0 and self.settings.hand_weight == 1.0:
            return None
        assert batch.keypoints is not None and batch.latents is not None
        cells = batch.latents.shape[-1]
        settings = self.settings
        weight = region_weights(batch.keypoints, self.image_px, cells, settings.face_weight, settings.hand_weight)
        return weight.to(batch.latents.device)
