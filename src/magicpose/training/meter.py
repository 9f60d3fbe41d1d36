"""Losses, time and memory between two lines of the log."""

from __future__ import annotations

import sys
import time
from collections import defaultdict

import torch
from torch import Tensor

GIB = 2**30


class Meter:
    """Collects losses without waiting for the device, until they are asked for."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.parts: dict[str, list[Tensor]] = defaultdict(list)
        self.steps = 0
        self.began = time.monotonic()

    def add(self, loss: Tensor, parts: dict[str, Tensor]) -> None:
        """The mean loss of a batch and parts of it."""
        self.losses.append(loss)
        for name, value in parts.items():
            self.parts[name].append(value)

    def means(self) -> dict[str, float]:
        """The mean of each part over the batches that had it."""
        return {name: float(torch.stack(values).mean()) for name, values in self.parts.items()}

    def seconds_per_step(self) -> float:
        """Since this meter was made."""
        return round((time.monotonic() - self.began) / max(1, self.steps), 3)


def peak_memory_gib(device: torch.device) -> float:
    """The most memory this process has used: on a GPU torch's allocations, else resident memory."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / GIB, 3)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / GIB, 3)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB, 3)
