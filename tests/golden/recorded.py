"""Tensors recorded from the original implementation at tiny width; the full set lies beside the project, not in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magicpose.networks.model import MagicPoseModel

ROOT = Path(__file__).parents[2]
FULL = ROOT.parent / "shared" / "golden"
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Golden:
    """Recorded tensors, what is known about them, and the model with the recorded weights in float32."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    model: MagicPoseModel

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def original(self) -> dict[str, Tensor]:
        """The original state dict, in the half precision it is stored in."""
        return {key[3:]: value for key, value in self.tensors.items() if key.startswith("sd.")}

    def check(self, name: str, actual: Tensor) -> None:
        """`actual` within the tolerance that was recorded with the tensor `name`."""
        tolerances = self.facts["suggested_max_abs_tolerance"]
        key = name if name in tolerances else f"{name.rsplit('.', 1)[0]}.*"
        torch.testing.assert_close(actual, self[name], rtol=0, atol=tolerances[key])
