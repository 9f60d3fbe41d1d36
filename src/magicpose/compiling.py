"""`torch.compile` for the networks that run once per step and frame."""

from __future__ import annotations

from magicpose.model import MagicPoseModel

# Weights become constants of the graph: laid out once for the kernels that read them.
_OPTIONS = {"freezing": True}


def compile_networks(model: MagicPoseModel) -> None:
    """Compiles UNet and ControlNet in place, for inference; names, weights and results stay (to rounding).

    The first call at each shape takes minutes on a CPU; later runs find the kernels in inductor's cache on disk
    (`TORCHINDUCTOR_CACHE_DIR`) and take half of that. Every batch size is a shape: prefer a
    `FramePlan.batch` that divides the clip.
    The appearance branch is left alone: it runs once per timestep. Insert motion modules and load LoRA before.
    """
    model.unet.compile(options=_OPTIONS)
    if model.pose_controlnet is not None:
        for block in (*model.pose_controlnet.down_blocks, model.pose_controlnet.mid_block):
            block.compile(options=_OPTIONS)
