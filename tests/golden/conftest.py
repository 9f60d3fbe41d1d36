"""The recorded tensors as fixtures."""

from __future__ import annotations

import json

import pytest
import torch
from recorded import DATA, FULL, Golden
from safetensors.torch import load_file
from torch import Tensor

from magicpose.checkpoints.original.read import load_original


@pytest.fixture(scope="session")
def golden() -> Golden:
    if not (FULL / "tiny_public.safetensors").is_file():
        pytest.skip("the recorded tensors (../shared/golden/tiny_public.safetensors) are not beside this checkout")
    tensors = load_file(FULL / "tiny_public.safetensors")
    facts = json.loads((FULL / "tiny_public.json").read_text())
    weights = {key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}
    return Golden(tensors, facts, load_original(weights, dtype=torch.float32))


@pytest.fixture(scope="session")
def subset() -> dict[str, Tensor]:
    """What fits into the repository: the first bank entries and one motion module, with their weights."""
    return load_file(DATA / "tiny_subset.safetensors")
