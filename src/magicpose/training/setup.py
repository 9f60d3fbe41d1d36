"""What a run is made of before its first step: clips, networks, task and the parameters it moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from magicpose.errors import UserError
from magicpose.training.config import TrainConfig
from magicpose.training.data.clips import Clips, find_clips
from magicpose.training.networks import Networks, build_networks
from magicpose.training.optimiser import trained_parameters
from magicpose.training.stages import STAGES, Stage
from magicpose.training.tasks import TASKS, Task


@dataclass(frozen=True)
class Setup:
    """A run before its first step."""

    clips: Clips
    networks: Networks
    task: Task
    trained: dict[str, nn.Parameter]


def set_up(config: TrainConfig, device: torch.device) -> Setup:
    """Reads clips and networks; nothing is written. Raises UserError for what cannot be used."""
    stage = STAGES[config.stage]
    clips = Clips(find_clips(config.data.train), find_clips(config.data.validation))
    networks = build_networks(config, stage, [clip.caption for clip in clips.train])
    for part, module in networks.parts.items():
        module.to(device, memory_format=torch.channels_last)
        module.requires_grad_(part in stage.trains)
    if config.gradient_checkpointing:
        _checkpoint_gradients(networks, config.stage)
    task = TASKS[stage.kind](networks, stage, config)
    return Setup(clips, networks, task, trained_parameters(task.objective, config.trained))


def _checkpoint_gradients(networks: Networks, stage: str) -> None:
    """Activations of UNet, appearance branch and ControlNet are computed again in the backward pass."""
    able = [part for part in networks.parts.values() if getattr(part, "_supports_gradient_checkpointing", False)]
    denoisers = [part for part in able if part is not networks.parts.get("vae")]
    if not denoisers:
        raise UserError(f"gradient_checkpointing: no part of stage {stage} can do it; set it to false")
    for module in denoisers:
        if hasattr(module, "enable_gradient_checkpointing"):
            module.enable_gradient_checkpointing()


def make_accelerator(stage: Stage) -> Any:
    """Accelerate's view of this process and its fellows."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    # In dropped steps the ControlNet gets no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=stage.drops)
    # One process may have much more to encode than another, and one validates while the others wait.
    patient = InitProcessGroupKwargs(timeout=timedelta(hours=6))
    # Without a GPU Accelerate must be told so, or each of several processes takes itself for the only one.
    return Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[unused, patient])
