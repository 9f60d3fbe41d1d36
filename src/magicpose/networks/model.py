"""The three networks as one (MagicPose Fig. 2): frozen UNet, appearance control, pose ControlNet."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import Any

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.attention import KeysValues, Match, ReferenceBank, project_bank, use_multi_source_attention

PoseResiduals = tuple[list[Tensor], Tensor]  # ControlNet's additions to the skips and to the middle


class MagicPoseModel(nn.Module):
    """One forward for the whole system.

        reference latent ── AppearanceControl ── bank ─┐  (once per timestep)
                                                       ├─ UNet ── eps
        pose map ────────── ControlNet ── residuals ───┘

    Without bank and pose it is the plain UNet, bit for bit: that is the unconditional half of the guidance.

    Args:
        unet: the frozen Stable Diffusion UNet; its attention processors are replaced (`detach` puts them back).
        appearance: the appearance control, or None.
        pose_controlnet: a stock diffusers ControlNet, or None (stage 1).
        motion: temporal modules of AnimateDiff's layout, or None.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        appearance: AppearanceControl | None,
        pose_controlnet: ControlNetModel | None,
        motion: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.appearance = appearance
        self.pose_controlnet = pose_controlnet
        self.motion = motion
        self._stock_processors = use_multi_source_attention(unet)
        if pose_controlnet is not None:
            use_multi_source_attention(pose_controlnet)  # plain attention there; one text for all frames works

    def detach(self) -> UNet2DConditionModel:
        """Gives the UNet back as it was: same processors, same weights."""
        self.unet.set_attn_processor(self._stock_processors)
        return self.unet

    @property
    def hint_unshuffle(self) -> int:
        """Pixels per side that the ControlNet's first layer takes at once (1: a stock three-channel hint)."""
        assert self.pose_controlnet is not None
        return math.isqrt(self.pose_controlnet.config.conditioning_channels // 3)

    @property
    def pose_stride(self) -> int:
        """Pixels of the pose map per latent pixel (8 in SD 1.5)."""
        assert self.pose_controlnet is not None
        levels = len(self.pose_controlnet.config.conditioning_embedding_out_channels)
        return self.hint_unshuffle * 2 ** (levels - 1)

    def reference_bank(self, reference_latents: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Tensor]:
        """`reference_latents` [B, 4, h, w], `timestep` int64 [B], `context` [B, S, D] -> {layer: [B, R, C]}."""
        if self.appearance is None:
            raise ValueError("this model has no appearance control: load a stage-1 or stage-2 checkpoint")
        return self.appearance(reference_latents, timestep, context)

    def project_bank(self, bank: Mapping[str, Tensor]) -> dict[str, KeysValues]:
        """The bank's keys and values in the UNet, for the many calls that share one bank; the same numbers."""
        return project_bank(self.unet, bank)

    def hint(self, pose: Tensor) -> Tensor:
        """The hint encoder alone: `pose` [B, 3, s*h, s*w] in [0, 1] -> [B, C, h, w]; the same at every timestep."""
        if self.pose_controlnet is None:
            raise ValueError("this model has no pose ControlNet: load one, or call it without a pose")
        pose = nn.functional.pixel_unshuffle(pose, self.hint_unshuffle)
        embedded: Tensor = self.pose_controlnet.controlnet_cond_embedding(pose)
        return embedded

    def pose_residuals(self, latents: Tensor, timestep: Tensor, context: Tensor, hint: Tensor) -> PoseResiduals:
        """ControlNet residuals (Sec. 4.3) for an embedded `hint` [B, C, h, w]: 12 skips and the middle in SD 1.5."""
        assert self.pose_controlnet is not None
        return embedded_controlnet(self.pose_controlnet, latents, timestep, context, hint)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Tensor,
        bank: ReferenceBank | None = None,
        pose: Tensor | None = None,
        probe: MutableMapping[str, Match] | None = None,
    ) -> Tensor:
        """Predicts the noise (or v) in `latents` [B, 4, h, w].

        `timestep` int64 [B]; `context` [B or 1, S, D]; `bank` from `reference_bank` or `project_bank`, batch B or 1;
        `pose` [B, 3, s*h, s*w] in [0, 1] with s = `pose_stride`.
        """
        residuals = None
        if pose is not None:
            residuals = self.pose_residuals(latents, timestep, context, self.hint(pose))
        return self.denoise(latents, timestep, context, bank, residuals, probe)

    def denoise(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Tensor,
        bank: ReferenceBank | None = None,
        residuals: PoseResiduals | None = None,
        probe: MutableMapping[str, Match] | None = None,
    ) -> Tensor:
        """The UNet with whatever conditions are given; the part of `forward` that runs once per step and frame.

        `probe`, if given, receives what every self-attention compares with the bank.
        """
        skips, middle = residuals if residuals is not None else (None, None)
        attention = {"bank": bank} if probe is None else {"bank": bank, "probe": probe}
        noise: Tensor = self.unet(
            latents,
            timestep,
            context,
            cross_attention_kwargs=None if bank is None else attention,
            down_block_additional_residuals=skips,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return noise


def embedded_controlnet(
    controlnet: Any, latents: Tensor, timestep: Tensor, context: Tensor, hint: Tensor
) -> PoseResiduals:
    """diffusers' ControlNet forward from an already embedded `hint`, all residuals at weight 1.

    The hint encoder costs as much as a whole block and sees only the pose, so a clip runs it once per frame
    rather than once per step; diffusers' own `forward` offers no way in after it.
    """
    temb = controlnet.time_embedding(controlnet.time_proj(timestep.expand(len(latents))).to(latents.dtype))
    sample = controlnet.conv_in(latents) + hint
    skips = [sample]
    for block in controlnet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            sample, outputs = block(sample, temb, encoder_hidden_states=context)
        else:
            sample, outputs = block(sample, temb)
        skips.extend(outputs)
    sample = controlnet.mid_block(sample, temb, encoder_hidden_states=context)
    residuals = [zero_conv(skip) for zero_conv, skip in zip(controlnet.controlnet_down_blocks, skips, strict=True)]
    return residuals, controlnet.controlnet_mid_block(sample)
