"""How many frames fit into one network call: free memory against what a frame needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # `free_bytes` is asked before torch is needed
    import torch

    from magicpose.networks.model import MagicPoseModel

# Peak of what lives at once while a frame passes through the networks, in copies of the widest feature map of the
# first level. Measured for Stable Diffusion 1.5 (512 px, bfloat16): each frame adds 66 in the ControlNet and 39 in the
# conditional UNet beside the 6 of its residuals; buffers that do not grow with the frames take 0.16 GiB more.
_MAPS_AT_ONCE = 75
_SHARE = 0.7  # of the free memory: the rest is the bank, the caller's frames, and other programs

# limit, usage, statistics, and what the statistics call pages of files (given up as soon as memory is wanted)
_CGROUP_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", ("active_file", "inactive_file")),  # version 2
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        ("total_active_file", "total_inactive_file"),
    ),  # version 1
)


def free_bytes(device: torch.device | None = None, cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that can still be had on `device` (None: the CPU's); on CPUs the container's own limit counts too."""
    if device is not None and device.type == "cuda":
        return _free_on_gpu(device)
    free = int(psutil.virtual_memory().available)
    for limit_name, usage_name, statistics, pages_of_files in _CGROUP_LIMITS:
        limit, usage = _number(cgroup / limit_name), _number(cgroup / usage_name)
        if limit is not None and usage is not None:
            reclaimable = _sum_of(cgroup / statistics, pages_of_files)
            free = min(free, max(limit - max(usage - reclaimable, 0), 0))
    return free


def _free_on_gpu(device: torch.device) -> int:
    """Free memory of the device, and what torch's allocator holds but nobody uses."""
    import torch

    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + cached)


def _sum_of(path: Path, names: tuple[str, ...]) -> int:
    """The named numbers of a control group's `memory.stat`, added up; 0 where there is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(line[1]) for line in lines if len(line) == 2 and line[0] in names and line[1].isdecimal())


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such control group, or "max": no limit
        return None


def frame_bytes(model: MagicPoseModel, height: int, width: int) -> int:
    """Estimated peak of one frame of latents [height, width] in the networks, their weights apart."""
    weight = next(model.unet.parameters())
    channels = int(model.unet.config.block_out_channels[0])
    return _MAPS_AT_ONCE * channels * height * width * weight.element_size()


def frames_that_fit(model: MagicPoseModel, height: int, width: int) -> int:
    """Frames of latents [height, width] that one call may hold now; at least 1."""
    device = next(model.unet.parameters()).device
    return max(1, int(_SHARE * free_bytes(device)) // frame_bytes(model, height, width))
