"""People, poses and pixels in, frames out: the diffusers pipeline of this project."""

from magicpose.pipeline.output import Conditions, PipelineOutput
from magicpose.pipeline.pipeline import MagicPosePipeline

__all__ = ["Conditions", "MagicPosePipeline", "PipelineOutput"]
