"""The parts of a model: whatever a checkpoint, a folder or a training stage holds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules
from magicpose.networks.schedule import NoiseSchedule
from magicpose.networks.text import encode_text

NETWORKS = ("unet", "appearance", "pose_controlnet", "vae", "text_encoder", "motion")


@dataclass(frozen=True)
class Parts:
    """Plain diffusers and transformers objects; a part that is absent is None.

    Args:
        unet, appearance: UNet2DConditionModel; the same object where one network is both.
        pose_controlnet: ControlNetModel.
        vae: AutoencoderKL or our PatchAutoencoder.
        text_encoder, tokenizer: CLIP.
        motion: MotionAdapter.
        scheduler: any diffusers scheduler; its betas and prediction type are the model's.
        unused: keys of an original file that nothing reads (schedule buffers, the appearance branch's hint encoder);
            kept so that writing gives back what was read; the hint encoder's under its stage-2 name. None: made anew on
            export.
    """

    unet: Any = None
    appearance: Any = None
    pose_controlnet: Any = None
    vae: Any = None
    text_encoder: Any = None
    motion: Any = None
    tokenizer: Any = None
    scheduler: Any = None
    unused: Mapping[str, Tensor] | None = field(default=None, repr=False)

    def present(self) -> dict[str, nn.Module]:
        """The networks that are there, by name."""
        found = {name: getattr(self, name) for name in NETWORKS}
        return {name: network for name, network in found.items() if network is not None}

    def model(self, kind: type[MagicPoseModel] = MagicPoseModel) -> MagicPoseModel:
        """UNet, appearance control, pose ControlNet and motion modules wired together."""
        assert self.unet is not None
        appearance = None if self.appearance is None else AppearanceControl(self.appearance)
        motion = None if self.motion is None else MotionModules(self.motion)
        return kind(self.unet, appearance, self.pose_controlnet, motion)

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Text states [B, S, D] of the prompts."""
        return encode_text(self.text_encoder, self.tokenizer, prompts)

    @property
    def schedule(self) -> NoiseSchedule:
        """How the scheduler's noise grows, and what the UNet predicts of it."""
        return NoiseSchedule.of(self.scheduler)
