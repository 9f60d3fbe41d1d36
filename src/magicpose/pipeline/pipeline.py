"""People, poses and pixels in; frames out: the paper's networks as one `diffusers.DiffusionPipeline`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from PIL import Image
from torch import Tensor

from magicpose.checkpoints.index import PAPER_GUIDANCE
from magicpose.media.canvas import Size
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.latents import BATCH
from magicpose.pipeline.folder import check_device, load_parts, plug_in, save
from magicpose.pipeline.output import (
    OutputType,
    PipelineOutput,
    Poses,
    as_frames,
    as_pictures,
    check_output_type,
)
from magicpose.pipeline.stages import PipelineStages
from magicpose.pipeline.steps import StepEnd, Steps, check_generators
from magicpose.progress import Progress
from magicpose.sampling.guidance import Guidance
from magicpose.sampling.options import SamplerOptions
from magicpose.sampling.windows import FramePlan

Pictures = Image.Image | Sequence[Image.Image]
USUAL_STEPS = 20  # where neither the call nor the model says


class MagicPosePipeline(PipelineStages):
    """One person in new poses; a `DiffusionPipeline` whose parts and settings `PipelineParts` lists."""

    _callback_tensor_inputs: ClassVar = ["latents"]

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = "tiny",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | Mapping[str, torch.dtype] | None = None,
        variant: str | None = None,
        **more: Any,
    ) -> MagicPosePipeline:
        """The embedded model ("tiny"), a folder of ours, or a Hugging Face model id (downloaded once).

        Args:
            dtype: of all parts, or by part with "default" for the others; None: as on disk, but float32 on CPUs, which
                are slow and inexact in half precision. `torch_dtype`, diffusers' older name, is understood, and
                `device_map` for `device`.
            variant: files named for it ("fp16") are preferred.
            more: `revision, cache_dir, local_files_only, token, force_download` for the hub; and parts or settings that
                take the place of the folder's, by name.

        Raises UserError for an unknown name, an incomplete folder, or an argument nobody knows.
        """
        place, kind = more.pop("device_map", None) or device, more.pop("torch_dtype", dtype)
        return load_parts(cls, str(source), check_device(place), kind, variant, more)

    @classmethod
    def from_stable_diffusion(
        cls,
        sd_pipe: Any,
        appearance: AppearanceControl | UNet2DConditionModel,
        pose_controlnet: ControlNetModel | None = None,
        guidance_scale: float = PAPER_GUIDANCE,
    ) -> MagicPosePipeline:
        """Plugs into a loaded stock Stable Diffusion 1.5 pipeline, sharing its networks; `detach` unplugs.

        `appearance` and `pose_controlnet` are brought to the device and dtype of the pipeline's UNet. Without a pose
        ControlNet, `poses=None` paints the reference's appearance alone. The scheduler is DDIM on the pipeline's
        noise schedule; assign another to `.scheduler`. UserError for another family, or networks of another shape.
        """
        return plug_in(cls, sd_pipe, appearance, pose_controlnet, guidance_scale)

    def save_pretrained(
        self, save_directory: str | Path, safe_serialization: bool = True, variant: str | None = None, **kwargs: Any
    ) -> None:
        """Plain diffusers sub-folders and `model_index.json`, in one step; an existing model is replaced.

        `kwargs`: `max_shard_size`, as in diffusers.
        """
        with self._own_layers():
            save(self, Path(save_directory), safe_serialization, variant, **kwargs)

    # ---- the work ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        reference: Pictures,
        poses: Poses | None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int = 0,
        scheduler: str | Any = None,
        prompt: str = "",
        size: int | Size | None = None,
        guidance: Guidance | None = None,
        plan: FramePlan | None = None,
        progress: Progress | None = None,
        temperature: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepEnd | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> PipelineOutput:
        """Frames of the person in `reference` in the poses of `poses`.

        Args:
            reference: one picture, or several of the same person.
            poses: a track on the reference's picture (see `retarget`), a `Pose` or several on it, or pose maps, one or
                several, as pictures or uint8 [F, H, W, 3]; maps of another shape than the frames are placed by the rule
                of `Canvas`. None, without a pose ControlNet: one frame of the appearance alone.
            num_inference_steps: None takes the model's own, else 20.
            guidance_scale: None takes the model's own; `guidance` gives an interval instead.
            seed: of the shared start noise and the reference latents; the same on any device.
            scheduler: a name in `SCHEDULERS`, or a diffusers scheduler; None: the pipeline's `scheduler`.
            size: (width, height) of the frames, or the side of a square of that area in the reference's shape; None:
                the side the model was trained at.
            plan: frames per network call and per group; changes no frame.
            progress: called with (frame-steps done, in all), in place of diffusers' bar.
            temperature: see `prepare`.
            generator: in place of `seed`; a list gives every frame start noise of its own.
            latents: the start noise, [1 or F, C, h, w], in place of what `seed` gives.
            output_type: "pil", "np", "pt" or "latent", see `PipelineOutput`.
            return_dict: False gives the tuple (frames, poses, timings).
            callback_on_step_end: `(pipe, step, timestep, {"latents": ...}) -> dict`, after every step; what it
                returns as "latents" goes on, `pipe._guidance_scale` may be changed, `pipe._interrupt = True` ends the
                work with what there is.
        """
        check_output_type(output_type)
        pictures = as_pictures(reference)
        self.model.check_ready()
        clock = [time.perf_counter()]
        canvas = self.canvas(pictures[0].size, size)
        maps = None if poses is None and self.pose_controlnet is None else self.draw(poses, canvas, pictures[0].size)
        frames = 1 if maps is None else len(maps)
        generators = check_generators(generator, seed, frames)
        given = self.prepare(pictures, canvas, prompt, temperature=temperature, generator=generators, latents=latents)
        clock.append(time.perf_counter())
        chosen = guidance or Guidance(self.settings.guidance_scale if guidance_scale is None else guidance_scale)
        steps = self.settings.steps or USUAL_STEPS if num_inference_steps is None else num_inference_steps
        template = self._scheduler(scheduler)
        with Steps(self, template, steps, frames, chosen, progress) as run:
            run.listen(callback_on_step_end, callback_on_step_end_tensor_inputs)
            told = SamplerOptions(generators[0].initial_seed(), run.guidance, plan or FramePlan(), run.progress)
            clean = self.denoise(given, maps, steps, template, told, run.on_step)
        clock.append(time.perf_counter())
        painted = clean if output_type == "latent" else as_frames(self._decoded(clean, BATCH), output_type)
        clock.append(time.perf_counter())
        timings = dict(zip(("prepare", "denoise", "decode"), np.diff(clock).tolist()))
        out = PipelineOutput(painted, maps, timings)
        return out if return_dict else out.to_tuple()

    @property
    def schedule(self) -> Mapping[str, Any]:
        """The noise schedule the model was trained on, as a diffusers scheduler's configuration."""
        return dict(self.scheduler.config)

    @property
    def guidance_scale(self) -> float:
        """That of the run in progress, or of the last one; a callback may change `_guidance_scale`."""
        return float(getattr(self, "_guidance_scale", self.settings.guidance_scale))

    @property
    def num_timesteps(self) -> int:
        """Steps of the run in progress, or of the last one."""
        return int(getattr(self, "_num_timesteps", 0))


# diffusers finds the class that a model_index.json names among its own attributes, and has no register for others'.
diffusers.MagicPosePipeline = MagicPosePipeline
