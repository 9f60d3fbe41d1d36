"""The stages of a run, one method each: canvas, maps, noise and references, denoising, decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from magicpose.errors import UserError
from magicpose.media.canvas import Canvas, Size
from magicpose.networks.latents import BATCH, decode, encode
from magicpose.networks.schedule import check_temperature, make_scheduler
from magicpose.networks.text import encode_text
from magicpose.pipeline.output import Conditions, Maps, Poses, as_pil, pose_maps
from magicpose.pipeline.parts import PipelineParts
from magicpose.pipeline.steps import draw_noise
from magicpose.sampling.loop import sample_groups
from magicpose.sampling.options import SamplerOptions, StepHook


class PipelineStages(PipelineParts):
    """What `MagicPosePipeline` does, stage by stage, for whoever drives them one by one."""

    def canvas(self, picture: Size, size: int | Size | None = None) -> Canvas:
        """The frames' size for a reference of size `picture`; `size` as in `Canvas`, None: the model's own."""
        return Canvas.for_reference(picture, size or self.native_side, self.stride)

    def map_canvas(self, canvas: Canvas) -> Canvas:
        """The size of the pose maps for frames of size `canvas`; some models read finer maps than they paint."""
        if self.pose_controlnet is None:
            raise UserError(
                "there is no pose ControlNet, so no pose can be followed: pass pose_controlnet=, or poses=None"
            )
        scale = self.model.pose_stride
        return Canvas(canvas.width // self.stride * scale, canvas.height // self.stride * scale)

    def draw(self, poses: Poses | None, canvas: Canvas, picture: Size | None = None) -> Maps:
        """The maps the ControlNet reads, [F, H, W, 3] of `map_canvas`; see `pose_maps`.

        `picture`: the size of the picture that a bare `Pose` lies on; None: that of the frames.
        """
        return pose_maps(poses, self.map_canvas(canvas), picture or canvas.size)

    def _scheduler(self, scheduler: str | Any | None) -> Any:
        """What was asked for by name or object, else the pipeline's own."""
        own = self.scheduler if scheduler is None else scheduler
        return make_scheduler(own, self.scheduler.config) if isinstance(own, str) else own

    def denoise(
        self,
        conditions: Conditions,
        maps: Maps | None,
        steps: int,
        scheduler: str | Any = None,
        options: SamplerOptions | None = None,
        on_step: StepHook | None = None,
    ) -> Tensor:
        """Clean latents [F, C, h, w] for the pose maps [F, H, W, 3] of a clip; see `sample`."""
        groups = self.denoise_groups(conditions, maps, steps, scheduler, options, on_step)
        return torch.cat([latents for _, latents in groups])

    def denoise_groups(
        self,
        conditions: Conditions,
        maps: Maps | None,
        steps: int,
        scheduler: str | Any = None,
        options: SamplerOptions | None = None,
        on_step: StepHook | None = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """`denoise`, one group of `FramePlan.groups` after the other; see `sample_groups`.

        Without `options.guidance` the model's own scale holds for all steps.
        """
        if steps < 1:
            raise UserError(f"the number of steps must be at least 1, not {steps}")
        pose = None
        if maps is not None:
            pose = torch.from_numpy(maps).permute(0, 3, 1, 2).to(self.device).to(self.dtype) / 255
        return sample_groups(
            self.model,
            conditions.noise,
            conditions.references,
            pose,
            conditions.context,
            steps,
            self.settings.guidance_scale,
            self._scheduler(scheduler),
            options,
            on_step,
        )

    @torch.no_grad()
    def prepare(
        self,
        pictures: Sequence[Image.Image],
        canvas: Canvas,
        prompt: str = "",
        seed: int = 0,
        temperature: float | None = None,
        generator: Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
    ) -> Conditions:
        """Noise, reference latents and text for frames of size `canvas`.

        Random numbers are drawn on the CPU, the start noise first, so they depend on `seed` and the size alone.

        `temperature` scales the start noise; None takes the model's own. At 1, the paper's, a frame is one of all that
        the model holds possible; below, it is nearer to their mean: fewer accidents, and less detail where the model
        is unsure. UserError below 0, or where it is no number. `generator`: one for all frames, or one per frame, in
        place of `seed`; `latents`: the noise itself.
        """
        temperature = self.settings.temperature if temperature is None else temperature
        check_temperature(temperature)
        generators = generator or [torch.Generator().manual_seed(seed)]
        shape = (int(self.unet.config.in_channels), canvas.height // self.stride, canvas.width // self.stride)
        noise = draw_noise(shape, generators, latents, temperature).to(self.device, self.dtype)
        placed = [canvas.place(picture.size).apply(picture.convert("RGB")) for picture in pictures]
        references = [self._encode(picture, generators[0]) for picture in placed]
        context = encode_text(self.text_encoder, self.tokenizer, [prompt], self.device)
        return Conditions(noise, references, context.to(self.device, self.dtype))

    def _encode(self, picture: Image.Image, generator: torch.Generator) -> Tensor:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(self.device)
        return encode(self.vae, pixels / 127.5 - 1, generator, device=self.device).to(self.dtype)

    def _decoded(self, latents: Tensor, batch: int) -> Iterator[Tensor]:
        return decode(self.vae, latents, batch, self.device)

    def decode(self, latents: Tensor, batch: int = BATCH) -> Iterator[Image.Image]:
        """Frames of clean latents [F, C, h, w], `batch` at a time."""
        for images in self._decoded(latents, batch):
            yield from as_pil(images)
