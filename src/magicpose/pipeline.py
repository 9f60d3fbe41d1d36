"""People, poses and pixels in; frames out: the three networks with their autoencoder, text encoder and settings."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from magicpose.acceleration.arithmetic import Arithmetic, use_arithmetic
from magicpose.acceleration.compiling import compile_networks, restore_networks
from magicpose.acceleration.offload import offload
from magicpose.acceleration.replacement import Replacement
from magicpose.animation.presets import check_temperature
from magicpose.checkpoints.compatibility import check_base, check_fit
from magicpose.checkpoints.folder import read_folder, write_folder
from magicpose.checkpoints.hub import find_model
from magicpose.checkpoints.original.cast import cast
from magicpose.checkpoints.original.read import Components
from magicpose.checkpoints.original.weight_files import replacing_folder
from magicpose.checkpoints.settings import PAPER_GUIDANCE, ModelSettings
from magicpose.errors import UserError
from magicpose.media.canvas import Canvas, Size
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.autoencoder import stride
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules
from magicpose.pose.drawing.draw import draw_poses
from magicpose.pose.keypoints import PoseTrack
from magicpose.sampling import SD15_SCHEDULE, FramePlan, Guidance, Progress, make_scheduler, sample

Pictures = Image.Image | Sequence[Image.Image]
Maps = NDArray[np.uint8]  # [F, H, W, 3]
DECODE_BATCH = 8
BLACK = (0, 0, 0)
STABLE_DIFFUSION_LATENT = 64  # side of a latent where a model does not say


@dataclass(frozen=True)
class Conditions:
    """What all frames of a clip share, on the model's device, in its dtype.

    `noise` [1, C, h, w]; `references` one [1, C, h, w] each; `context` [1, S, D].
    """

    noise: Tensor
    references: list[Tensor]
    context: Tensor


@dataclass(frozen=True)
class PipelineOutput:
    """`frames` of one size; `poses` the maps that were used, uint8 [F, H, W, 3]; `timings` seconds by stage."""

    frames: list[Image.Image]
    poses: Maps
    timings: dict[str, float]


class MagicPosePipeline:
    """One person in new poses.

    Args:
        model: UNet, appearance control, pose ControlNet, and motion modules where there are any.
        vae: diffusers' AutoencoderKL or our PatchAutoencoder.
        text_encoder, tokenizer: CLIP, as in Stable Diffusion.
        settings: name, default guidance and temperature, noise schedule.
    """

    def __init__(
        self, model: MagicPoseModel, vae: Any, text_encoder: Any, tokenizer: Any, settings: ModelSettings
    ) -> None:
        self.model = model
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.settings = settings
        self._arithmetic: Arithmetic = "plain"
        self._exchanged = Replacement([])
        self._compiled = False
        self._works_on: torch.device | None = None  # where weights are offloaded

    # ---- coming and going --------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, source: str | Path = "tiny", device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> MagicPosePipeline:
        """The embedded model ("tiny"), a folder of ours, or a Hugging Face model id (downloaded once).

        `dtype` None: as on disk, but float32 on CPUs, which are slow and inexact in half precision.
        Raises UserError for an unknown name or an incomplete folder.
        """
        from transformers import CLIPTokenizer

        folder = find_model(str(source))
        parts = read_folder(folder)
        for name in ("unet", "vae", "text_encoder"):
            if getattr(parts, name) is None:
                raise UserError(f"{folder} has no {name}: convert it together with its Stable Diffusion 1.5 base")
        if not (folder / "tokenizer").is_dir():
            raise UserError(f"{folder} has no tokenizer: copy the one of its Stable Diffusion 1.5 base")
        assert parts.unet is not None
        model = MagicPoseModel(
            parts.unet,
            None if parts.appearance is None else AppearanceControl(parts.appearance),
            parts.pose_controlnet,
            None if parts.motion is None else MotionModules(parts.motion),
        )
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        settings = ModelSettings.read(folder, str(source))
        pipe = cls(model.eval(), parts.vae, parts.text_encoder, tokenizer, settings)
        if dtype is None and torch.device(device).type == "cpu":
            dtype = torch.float32
        return pipe.to(device, dtype)

    @classmethod
    def from_stable_diffusion(
        cls,
        sd_pipe: Any,
        appearance: AppearanceControl | UNet2DConditionModel,
        pose_controlnet: ControlNetModel | None = None,
        guidance_scale: float = PAPER_GUIDANCE,
    ) -> MagicPosePipeline:
        """Plugs into a loaded stock Stable Diffusion 1.5 pipeline, sharing its networks; `detach` unplugs.

        `appearance` and `pose_controlnet` are brought to the device and dtype of the pipeline's UNet. UserError for
        another family, or networks of another shape.
        """
        unet = sd_pipe.unet
        branch = appearance if isinstance(appearance, AppearanceControl) else AppearanceControl(appearance)
        added = {"appearance": branch.unet, "pose_controlnet": pose_controlnet}
        check_base(unet, type(sd_pipe).__name__)
        check_fit({"unet": unet, "vae": sd_pipe.vae} | added, type(sd_pipe).__name__)
        for network in (branch, pose_controlnet):
            if network is not None:
                cast(network, unet.device, unet.dtype)
        model = MagicPoseModel(unet, branch, pose_controlnet)
        schedule = {**SD15_SCHEDULE, **{k: v for k, v in sd_pipe.scheduler.config.items() if k in SD15_SCHEDULE}}
        name = str(getattr(sd_pipe.config, "_name_or_path", None) or type(sd_pipe).__name__)
        settings = ModelSettings(name, guidance_scale, schedule=schedule)
        return cls(model, sd_pipe.vae, sd_pipe.text_encoder, sd_pipe.tokenizer, settings)

    def detach(self) -> UNet2DConditionModel:
        """Gives the base UNet back with the layers and attention processors it had; this pipeline is then unusable."""
        self.set_arithmetic("plain")
        restore_networks(self.model)
        return self.model.detach()

    def save_pretrained(self, folder: str | Path) -> None:
        """Plain diffusers sub-folders and `model_index.json`, in one step; an existing folder is replaced."""
        parts = Components(
            unet=self.model.unet,
            appearance=None if self.model.appearance is None else self.model.appearance.unet,
            pose_controlnet=self.model.pose_controlnet,
            vae=self.vae,
            text_encoder=self.text_encoder,
            motion=self.model.motion.adapter if isinstance(self.model.motion, MotionModules) else None,
        )
        with tempfile.TemporaryDirectory() as scratch, replacing_folder(Path(folder)) as fresh:
            copied = {name: Path(scratch) / name for name in ("tokenizer", "scheduler")}
            self.tokenizer.save_pretrained(copied["tokenizer"])
            make_scheduler("ddim", self.settings.schedule).save_pretrained(copied["scheduler"])
            write_folder(parts, fresh, copied, self.settings.name)
            replace(self.settings, image_size=self.native_side).write(fresh)

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> MagicPosePipeline:
        """Moves every network; `dtype` None keeps theirs."""
        self._exchanged.remove()
        for network in (self.model, self.vae, self.text_encoder):
            cast(network, device, dtype)
        self.set_arithmetic(self._arithmetic)
        return self

    def set_arithmetic(self, arithmetic: Arithmetic) -> None:
        """Quicker layers on CPUs ("winograd", "int8"; see `use_arithmetic`), or the networks' own ("plain").

        They are made from the weights of the first call after this one: load LoRAs before. UserError where they do not
        fit: see `use_arithmetic`, and not together with `compile`.
        """
        if self._compiled and arithmetic != "plain":
            raise UserError(f"compiled networks have plain arithmetic: leave out compiling or arithmetic {arithmetic}")
        self._exchanged.remove()
        self._exchanged = use_arithmetic(arithmetic, self.model, self.vae)
        self._arithmetic = arithmetic

    def compile(self, backend: str = "inductor") -> None:
        """`torch.compile` for what runs once per step and frame, see `compile_networks`; the first call takes long.

        UserError without a C++ compiler, or with other than plain arithmetic.
        """
        if self._arithmetic != "plain":
            raise UserError(f"compiling is for plain arithmetic: leave out one of compiling and {self._arithmetic}")
        compile_networks(self.model, backend)
        self._compiled = True

    def save_memory(self) -> None:
        """The autoencoder one frame and one tile at a time; on accelerators, weights wait in main memory (`offload`).

        Tiles are blended where they meet, so pictures larger than one (512 px) change a little. Offloading is for
        good, and has not been tried on a GPU.
        """
        for name in ("enable_slicing", "enable_tiling"):
            if hasattr(self.vae, name):  # the embedded model's has neither, and needs none
                getattr(self.vae, name)()
        device = self.device
        if device.type != "cpu" and self._works_on is None:
            offload((self.model, self.vae, self.text_encoder), device)
            self._works_on = device

    @property
    def device(self) -> torch.device:
        """Where the work is done; offloaded weights are elsewhere."""
        if self._works_on is not None:
            return self._works_on
        return next(self.model.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.unet.parameters()).dtype

    # ---- the canvas --------------------------------------------------------------------------------------------

    @property
    def stride(self) -> int:
        """Pixels of a frame per latent pixel; sizes are multiples of it."""
        return stride(self.vae)

    @property
    def native_side(self) -> int:
        """Side in pixels of the square frames the model was trained on."""
        if self.settings.image_size is not None:
            return self.settings.image_size
        return int(self.model.unet.config.sample_size or STABLE_DIFFUSION_LATENT) * self.stride

    def canvas(self, picture: Size, size: int | Size | None = None) -> Canvas:
        """The frames' size for a reference of size `picture`; `size` as in `Canvas`, None: the model's own."""
        return Canvas.for_reference(picture, size or self.native_side, self.stride)

    def map_canvas(self, canvas: Canvas) -> Canvas:
        """The size of the pose maps for frames of size `canvas`; some models read finer maps than they paint."""
        scale = self.model.pose_stride
        return Canvas(canvas.width // self.stride * scale, canvas.height // self.stride * scale)

    def draw(self, poses: PoseTrack | Maps | Sequence[Image.Image], canvas: Canvas) -> Maps:
        """The maps the ControlNet reads, [F, H, W, 3] of `map_canvas`; placed like a reference of their size."""
        canvas = self.map_canvas(canvas)
        if len(poses) == 0:
            raise UserError("there are no poses: give at least one pose or pose map")
        if isinstance(poses, PoseTrack):
            points = canvas.place(poses.size).forward(poses.stacked()).astype(np.float32)
            return draw_poses(PoseTrack.from_stacked(points, canvas.size))
        pictures = [p.convert("RGB") if isinstance(p, Image.Image) else Image.fromarray(p) for p in poses]
        return np.stack([np.asarray(canvas.place(picture.size).apply(picture, BLACK)) for picture in pictures])

    # ---- the work ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        reference: Pictures,
        poses: PoseTrack | Maps | Sequence[Image.Image],
        num_inference_steps: int = 20,
        guidance_scale: float | None = None,
        seed: int = 0,
        scheduler: str | Any = "ddim",
        prompt: str = "",
        size: int | Size | None = None,
        guidance: Guidance | None = None,
        plan: FramePlan | None = None,
        progress: Progress | None = None,
        temperature: float | None = None,
    ) -> PipelineOutput:
        """Frames of the person in `reference` in the poses of `poses`.

        Args:
            reference: one picture, or several of the same person.
            poses: a track on the reference's picture (see `retarget`), or pose maps; maps and pictures of another
                shape than the frames are placed by the rule of `Canvas`.
            guidance_scale: None takes the model's own; `guidance` gives an interval instead.
            seed: of the shared start noise and the reference latents; the same on any device.
            scheduler: a name in `magicpose.sampling.SCHEDULERS`, or a diffusers scheduler.
            size: (width, height) of the frames, or the side of a square of that area in the reference's shape; None:
                the side the model was trained at.
            plan: frames per network call and per group; changes no frame.
            progress: called with (frame-steps done, in all).
            temperature: see `prepare`.
        """
        pictures = [reference] if isinstance(reference, Image.Image) else list(reference)
        if not pictures:
            raise UserError("there is no reference: give at least one picture of the person")
        clock = [time.perf_counter()]
        canvas = self.canvas(pictures[0].size, size)
        maps = self.draw(poses, canvas)
        conditions = self.prepare(pictures, canvas, prompt, seed, temperature)
        clock.append(time.perf_counter())
        guidance = guidance or Guidance(self.settings.guidance_scale if guidance_scale is None else guidance_scale)
        latents = self.denoise(conditions, maps, num_inference_steps, guidance, scheduler, seed, plan, progress)
        clock.append(time.perf_counter())
        frames = list(self.decode(latents))
        clock.append(time.perf_counter())
        timings = dict(zip(("prepare", "denoise", "decode"), np.diff(clock).tolist()))
        return PipelineOutput(frames, maps, timings)

    def denoise(
        self,
        conditions: Conditions,
        maps: Maps,
        steps: int,
        guidance: Guidance,
        scheduler: str | Any = "ddim",
        seed: int = 0,
        plan: FramePlan | None = None,
        progress: Progress | None = None,
        on_step: Callable[[slice, Tensor], None] | None = None,
    ) -> Tensor:
        """Clean latents [F, C, h, w] for the pose maps [F, H, W, 3]; frames of one clip may come in several calls.

        `on_step` as in `sample`: `LatentPreview` makes pictures of what it receives.
        """
        if steps < 1:
            raise UserError(f"the number of steps must be at least 1, not {steps}")
        return sample(
            self.model,
            conditions.noise,
            conditions.references,
            torch.from_numpy(maps).permute(0, 3, 1, 2).to(self.device).to(self.dtype) / 255,
            conditions.context,
            steps=steps,
            guidance=guidance,
            scheduler=make_scheduler(scheduler, self.settings.schedule) if isinstance(scheduler, str) else scheduler,
            plan=plan,
            seed=seed,
            progress=progress,
            on_step=on_step,
        )

    @torch.no_grad()
    def prepare(
        self,
        pictures: Sequence[Image.Image],
        canvas: Canvas,
        prompt: str = "",
        seed: int = 0,
        temperature: float | None = None,
    ) -> Conditions:
        """Noise, reference latents and text for frames of size `canvas`.

        Random numbers are drawn on the CPU, the start noise first, so they depend on `seed` and the size alone.

        `temperature` scales the start noise; None takes the model's own. At 1, the paper's, a frame is one of all that
        the model holds possible; below, it is nearer to their mean: fewer accidents, and less detail where the model
        is unsure. UserError below 0, or where it is no number.
        """
        temperature = self.settings.temperature if temperature is None else temperature
        check_temperature(temperature)
        generator = torch.Generator().manual_seed(seed)
        channels = int(self.model.unet.config.in_channels)
        shape = (1, channels, canvas.height // self.stride, canvas.width // self.stride)
        noise = (torch.randn(shape, generator=generator) * temperature).to(self.device, self.dtype)
        placed = [canvas.place(picture.size).apply(picture.convert("RGB")) for picture in pictures]
        references = [self._encode(picture, generator) for picture in placed]
        return Conditions(noise, references, self._text(prompt))

    def _encode(self, picture: Image.Image, generator: torch.Generator) -> Tensor:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(self.device)
        vae_dtype = next(self.vae.parameters()).dtype
        posterior = self.vae.encode(pixels.to(vae_dtype) / 127.5 - 1).latent_dist
        latents: Tensor = posterior.sample(generator) * self.vae.config.scaling_factor
        return latents.to(self.dtype)

    def _text(self, prompt: str) -> Tensor:
        """Last hidden state of the padded prompt: [1, S, D]."""
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        states: Tensor = self.text_encoder(tokens.to(self.device))[0]
        return states.to(self.device, self.dtype)

    @torch.no_grad()
    def decode(self, latents: Tensor, batch: int = DECODE_BATCH) -> Iterator[Image.Image]:
        """Frames of clean latents [F, C, h, w], `batch` at a time."""
        weights: nn.Parameter = next(self.vae.parameters())
        for chunk in torch.split(latents, batch):
            scaled = chunk.to(self.device, weights.dtype) / self.vae.config.scaling_factor
            with torch.no_grad():  # the decorator does not reach into a generator that is resumed later
                pixels = self.vae.decode(scaled).sample
            pixels = (pixels.float().permute(0, 2, 3, 1) * 127.5 + 127.5).round().clamp(0, 255)
            yield from (Image.fromarray(frame) for frame in pixels.to("cpu", torch.uint8).numpy())
