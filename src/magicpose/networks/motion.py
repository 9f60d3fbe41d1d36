"""Temporal modules (MagicPose App. C, AnimateDiff's layout): put into a UNet, taken out again without a trace.

The weights live in diffusers' `MotionAdapter`, so AnimateDiff v1/v2/v3 files and MotionAdapter folders fit. A module
stands after every transformer of the UNet (after the ResNet where a level has none), in the decoder before the
upsampler, and in the middle only if the weights have one there (AnimateDiff v2). It sees the batch as clips:
[clips * frames, C, h, w].

They are applied through PyTorch's public forward hooks. Nothing in the UNet changes: no weight, no processor, no
class, no `state_dict` key; `remove` takes the hooks away and leaves it as it was, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

from diffusers import MotionAdapter
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from magicpose.errors import UserError


class Insertion:
    """Motion modules at work in a UNet, until `remove` or the end of a `with` block."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Gives the UNet back as it was; a second call does nothing."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Insertion:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class MotionModules(nn.Module):
    """The temporal modules of one UNet.

    Args:
        adapter: diffusers' container of the weights, e.g. `MotionAdapter.from_pretrained(folder)`.
    """

    def __init__(self, adapter: MotionAdapter) -> None:
        super().__init__()
        self.adapter = adapter

    @classmethod
    def for_unet(cls, unet: Any, max_frames: int = 24) -> MotionModules:
        """Fresh modules of AnimateDiff v1's layout for `unet`; `proj_out` is zero, so at first they change nothing."""
        adapter = MotionAdapter(
            block_out_channels=tuple(unet.config.block_out_channels),
            motion_layers_per_block=unet.config.layers_per_block,
            motion_num_attention_heads=8,
            motion_max_seq_length=max_frames,
            use_motion_mid_block=False,
        )
        for name, parameter in adapter.named_parameters():
            if ".proj_out." in name:
                nn.init.zeros_(parameter)
        return cls(adapter.to(unet.device, unet.dtype))

    @property
    def max_frames(self) -> int:
        """Longest clip the position table reaches (24 in AnimateDiff v1, 32 in v2 and v3)."""
        return int(self.adapter.config.motion_max_seq_length)

    def insert(self, unet: Any, clip_frames: int | None = None) -> Insertion:
        """Lets the modules act in `unet` from now on; returns what takes them out.

        Args:
            clip_frames: frames of each clip in the batch [clips * clip_frames, ...]; None: the whole batch is one clip.

        The insertion holds the clip length, no module does: keep it until after the backward pass where gradient
        checkpointing runs blocks again, and make it before `torch.compile`.

        Raises:
            UserError: the modules belong to a UNet of another shape.
        """
        sites = list(_sites(unet, self.adapter))
        return Insertion([site.register_forward_hook(_hook(motion, clip_frames)) for site, motion in sites])


def _sites(unet: Any, adapter: Any) -> Iterator[tuple[nn.Module, nn.Module]]:
    """(module of the UNet, temporal module that follows it), in the order of the forward pass."""
    pairs = [*zip(unet.down_blocks, adapter.down_blocks), *zip(unet.up_blocks, adapter.up_blocks)]
    if adapter.mid_block is not None:
        pairs.append((unet.mid_block, adapter.mid_block))
    same_levels = len(unet.down_blocks) == len(adapter.down_blocks)
    widths = tuple(unet.config.block_out_channels), tuple(adapter.config.block_out_channels)
    for block, motion in pairs:
        before = getattr(block, "attentions", None) or block.resnets
        if not same_levels or widths[0] != widths[1] or len(before) != len(motion.motion_modules):
            raise UserError(
                f"motion modules of widths {list(widths[1])} do not fit a UNet of widths {list(widths[0])}: "
                "take modules trained on this base"
            )
        yield from zip(before, motion.motion_modules)


def _hook(motion: nn.Module, clip_frames: int | None) -> Any:
    """What runs after a UNet module: its output [clips * frames, C, h, w] goes through `motion`."""
    longest = motion.get_submodule("transformer_blocks.0.pos_embed").get_buffer("pe").shape[1]

    def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        states: Tensor = output[0] if isinstance(output, tuple) else output
        frames = clip_frames or len(states)
        if frames > longest or len(states) % frames:
            raise UserError(
                f"a batch of {len(states)} frames in clips of {frames} does not fit the motion modules: "
                f"clips must divide the batch and have at most {longest} frames; use windows"
            )
        moved = attend_over_time(motion, states, frames)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    return after


def attend_over_time(motion: Any, states: Tensor, frames: int) -> Tensor:
    """One temporal module: every place of the picture attends along its clip. [clips * frames, C, h, w] -> the same.

    As AnimateDiff trained it, the GroupNorm sees one frame at a time; diffusers' own forward takes its statistics over
    the whole clip, which moved the recorded block by 17 % (RMS).
    """
    channels, height, width = states.shape[1:]
    x = motion.norm(states).unflatten(0, (-1, frames))  # [clips, frames, C, h, w]
    x = x.permute(0, 3, 4, 1, 2).reshape(-1, frames, channels)  # [clips * h * w, frames, C]
    x = motion.proj_in(x)
    for block in motion.transformer_blocks:
        x = block(x)
    x = motion.proj_out(x).unflatten(0, (-1, height, width))
    return x.permute(0, 3, 4, 1, 2).reshape(states.shape) + states
