"""`torch.compile` for what runs once per step and frame: the blocks that UNet and ControlNet are made of.

Blocks, not whole networks: most of a network's blocks are alike, and so are those of both halves of the guidance and
of the ControlNet, so each kind is compiled once. Weights stay arguments: inductor keeps no graph on disk whose weights
are frozen into it, and a later start would compile again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from magicpose.caching import cache_folder
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel

_BLOCKS = (ResnetBlock2D, BasicTransformerBlock)
# Torch gives up a function, silently, after eight variants. These have one per shape, batch size and self-attention.
_VARIANTS = 256
KERNELS = "kernels"  # in the cache folder
_FOLDER = "TORCHINDUCTOR_CACHE_DIR"


def compile_networks(model: MagicPoseModel, backend: str = "inductor") -> None:
    """Compiles UNet and ControlNet in place, for inference; names, weights and results stay (to rounding).

    The first call of each kind takes a minute or more on a CPU, also after a change of batch size, frame size or dtype:
    prefer a `FramePlan.batch` that divides the clip. Later runs find the kernels in `cache_folder("kernels")`, or where
    the environment's `TORCHINDUCTOR_CACHE_DIR` says. The appearance branch is left alone: it runs once per timestep.
    Insert motion modules and load LoRAs before. `backend`: one of torch.compile's.

    Raises:
        UserError: no C++ compiler, which inductor needs on CPUs.
    """
    import torch._dynamo.config as limits  # takes a second, which those who do not compile should not wait

    if backend == "inductor" and next(model.unet.parameters()).device.type == "cpu" and not _compiler():
        raise UserError("compiling needs a C++ compiler: install g++, or name one in CXX, or leave it out")
    _choose_folder()
    limits.recompile_limit = max(limits.recompile_limit, _VARIANTS)
    for block in _blocks(model):
        block.compile(dynamic=False, backend=backend)


def restore_networks(model: MagicPoseModel) -> None:
    """Takes `compile_networks` back."""
    for block in _blocks(model):
        block._compiled_call_impl = None


def _choose_folder() -> None:
    """Where inductor keeps kernels, unless the user has said so; torch's own default does not count as the user's."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # torch writes its default into the environment as soon as parts of it are imported, long before this.
    told = os.environ.get(_FOLDER)
    if told is None or Path(told).resolve() == Path(default_cache_dir()).resolve():
        os.environ[_FOLDER] = str(cache_folder(KERNELS))


def _blocks(model: MagicPoseModel) -> Iterator[nn.Module]:
    for network in (model.unet, model.pose_controlnet):
        if network is not None:
            yield from (block for block in network.modules() if isinstance(block, _BLOCKS))


def _compiler() -> str | None:
    """One that inductor will find."""
    return next(filter(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++", "cl"))), None)
