"""The parts of a pipeline and where they work: wiring, devices, quicker layers, memory, LoRA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin

from magicpose.acceleration.arithmetic import Arithmetic, use_arithmetic
from magicpose.acceleration.compiling import compile_networks, restore_networks
from magicpose.acceleration.offload import offload
from magicpose.acceleration.replacement import Replacement
from magicpose.checkpoints.index import PAPER_GUIDANCE, PAPER_TEMPERATURE, ModelSettings
from magicpose.checkpoints.parts import Parts
from magicpose.errors import UserError
from magicpose.networks.autoencoder import stride
from magicpose.networks.model import MagicPoseModel

STABLE_DIFFUSION_LATENT = 64  # side of a latent where a model does not say


class PipelineParts(DiffusionPipeline, StableDiffusionLoraLoaderMixin):
    """What `MagicPosePipeline` is made of.

    Args:
        unet, appearance, pose_controlnet, vae, text_encoder, tokenizer, motion: see `Parts`.
        scheduler: a diffusers scheduler; what is used unless a call names another.
        guidance_scale, temperature, image_size, steps, solver, trained: see `ModelSettings`.
    """

    _optional_components: ClassVar = ["pose_controlnet", "motion"]
    _lora_loadable_modules: ClassVar = ["unet", "text_encoder"]
    model_cpu_offload_seq = "text_encoder->vae->appearance->pose_controlnet->unet"

    def __init__(
        self,
        unet: Any,
        appearance: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        pose_controlnet: Any = None,
        motion: Any = None,
        guidance_scale: float = PAPER_GUIDANCE,
        temperature: float = PAPER_TEMPERATURE,
        image_size: int | None = None,
        steps: int | None = None,
        solver: str | None = None,
        trained: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            unet=unet,
            appearance=appearance,
            pose_controlnet=pose_controlnet,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            motion=motion,
        )
        self.register_to_config(
            guidance_scale=guidance_scale,
            temperature=temperature,
            image_size=image_size,
            steps=steps,
            solver=solver,
            trained=dict(trained or {}),
        )
        self.set_progress_bar_config(disable=None)  # only where somebody looks: on a terminal
        self._wired: MagicPoseModel | None = None
        self._arithmetic: Arithmetic = "plain"
        self._exchanged = Replacement([])
        self._compiled = False
        self._works_on: torch.device | None = None  # where weights are offloaded

    @property
    def settings(self) -> ModelSettings:
        """How the model likes to be run."""
        return ModelSettings(**{each.name: self.config[each.name] for each in fields(ModelSettings)})

    @property
    def name(self) -> str:
        """Where the model comes from, in words."""
        return str(self.config.get("_name_or_path") or "a model")

    @property
    def model(self) -> MagicPoseModel:
        """The networks wired together: made with the first use, and anew when a part is exchanged.

        UserError for a pipeline without UNet or appearance control.
        """
        for part in ("unet", "appearance"):
            if getattr(self, part) is None:
                raise UserError(f"this pipeline has no {part}: convert it together with one, or pass it to the class")
        whole = (self.unet, self.appearance, self.pose_controlnet, self.motion)
        if self._wired is None or any(new is not old for new, old in zip(whole, self._wired.parts(), strict=True)):
            unet, appearance, controlnet, motion = whole
            self._wired = Parts(unet, appearance, controlnet, motion=motion).model().eval()
        return self._wired

    def attach(self) -> None:
        """Puts our attention processors back after `detach`, or after somebody replaced them."""
        self.model.attach()

    def detach(self) -> UNet2DConditionModel:
        """Gives the base UNet back with the layers and attention processors it had; `attach` plugs in again."""
        self.set_arithmetic("plain")
        restore_networks(self.model)
        return self.model.detach()

    # ---- where and how ----------------------------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> PipelineParts:
        """Moves every network: `to(device)`, `to(dtype)`, `to(device, dtype)`, as in diffusers."""
        with self._own_layers():
            super().to(*args, **kwargs)
        return self

    @property
    def device(self) -> torch.device:
        """Where the work is done; offloaded weights are elsewhere."""
        return self._works_on or next(self.unet.parameters()).device

    @property
    def _execution_device(self) -> torch.device:
        return self.device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.unet.parameters()).dtype

    def set_arithmetic(self, arithmetic: Arithmetic) -> None:
        """Quicker layers on CPUs ("winograd", "int8"; see `use_arithmetic`), or the networks' own ("plain").

        They are made from the weights of the first call after this one: load LoRAs before. UserError where they do not
        fit: see `use_arithmetic`, and not together with `compile`.
        """
        if self._compiled and arithmetic != "plain":
            raise UserError(f"compiled networks have plain arithmetic: leave out compiling or arithmetic {arithmetic}")
        self._exchanged.remove()
        if arithmetic != "plain" or self._wired is not None:
            self._exchanged = use_arithmetic(arithmetic, self.model, self.vae)
        self._arithmetic = arithmetic

    @contextmanager
    def _own_layers(self) -> Iterator[None]:
        """The networks' own layers for a while."""
        self._exchanged.remove()
        yield
        self.set_arithmetic(self._arithmetic)

    def compile(self, backend: str = "inductor") -> None:
        """`torch.compile` for what runs once per step and frame, see `compile_networks`; the first call takes long.

        UserError without a C++ compiler, or with other than plain arithmetic.
        """
        if self._arithmetic != "plain":
            raise UserError(f"compiling is for plain arithmetic: leave out one of compiling and {self._arithmetic}")
        compile_networks(self.model, backend)
        self._compiled = True

    # ---- memory -----------------------------------------------------------------------------------------------

    def save_memory(self) -> None:
        """The autoencoder one frame and one tile at a time; on accelerators, weights wait in main memory (`offload`).

        Tiles are blended where they meet, so pictures larger than one (512 px) change a little. Offloading is for
        good, and has not been tried on a GPU.
        """
        self.enable_vae_slicing()
        self.enable_vae_tiling()
        if self.device.type != "cpu":
            self.enable_model_cpu_offload(device=self.device)

    def enable_vae_slicing(self, enable: bool = True) -> None:
        """The autoencoder takes one frame at a time; the embedded model's needs no such thing and stays as it is."""
        self._vae_option("slicing", enable)

    def enable_vae_tiling(self, enable: bool = True) -> None:
        """The autoencoder takes one tile at a time, likewise."""
        self._vae_option("tiling", enable)

    def disable_vae_slicing(self) -> None:
        """Takes `enable_vae_slicing` back."""
        self.enable_vae_slicing(False)

    def disable_vae_tiling(self) -> None:
        """Takes `enable_vae_tiling` back."""
        self.enable_vae_tiling(False)

    def _vae_option(self, name: str, enable: bool) -> None:
        change = getattr(self.vae, f"{'enable' if enable else 'disable'}_{name}", None)
        if change is not None:
            change()

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: torch.device | str | None = None) -> None:
        """Weights wait in main memory, layer by layer, not network by network: the fast path calls parts of networks.

        UserError where there is no accelerator. For good; has not been tried on a GPU.
        """
        if device is None:
            found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            device = found if found is None or gpu_id is None else torch.device(found.type, gpu_id)
        if device is None or torch.device(device).type == "cpu":
            raise UserError("offloading is for accelerators: without one, all weights are in main memory already")
        if self._works_on is None:
            offload((self.model, self.vae, self.text_encoder), torch.device(device))
            self._works_on = torch.device(device)

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: torch.device | str | None = None
    ) -> None:
        """The same as `enable_model_cpu_offload`, which works layer by layer."""
        self.enable_model_cpu_offload(gpu_id, device)

    def set_attention_slice(self, slice_size: Any) -> None:
        """Nothing: the attention here takes its own slices where memory is short, at any `slice_size`.

        diffusers' sliced processors would take the place of ours, and lose the reference.
        """

    def load_lora_weights(self, *args: Any, **kwargs: Any) -> None:
        """As for a Stable Diffusion pipeline; needs peft. The appearance branch is left alone."""
        with self._own_layers():
            super().load_lora_weights(*args, **kwargs)

    def unload_lora_weights(self) -> None:
        """The base as it was."""
        with self._own_layers():
            super().unload_lora_weights()

    # ---- sizes ------------------------------------------------------------------------------------------------

    @property
    def stride(self) -> int:
        """Pixels of a frame per latent pixel; sizes are multiples of it."""
        return stride(self.vae)

    @property
    def native_side(self) -> int:
        """Side in pixels of the square frames the model was trained on."""
        own: int | None = self.config.image_size
        return own or int(self.unet.config.sample_size or STABLE_DIFFUSION_LATENT) * self.stride
