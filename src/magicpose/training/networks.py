"""The networks of a stage: made from nothing, taken from `init` folders, or copied from the UNet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magicpose.errors import UserError
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.model import MagicPoseModel
from magicpose.sampling import make_scheduler
from magicpose.training.config import NetworkConfig, TrainConfig
from magicpose.training.loss import NoiseSchedule
from magicpose.training.stages import PARTS, Part, Stage
from magicpose.training.vocabulary import train_tokenizer


@dataclass
class Networks:
    """The parts of a stage by name, with the tokenizer and the noise schedule."""

    parts: dict[Part, Any] = field(default_factory=dict)
    tokenizer: Any = None
    scheduler: Any = None
    tied: bool = False

    @property
    def schedule(self) -> NoiseSchedule:
        """The training side of the scheduler."""
        return NoiseSchedule(self.scheduler.alphas_cumprod, self.scheduler.config.prediction_type)

    def model(self) -> MagicPoseModel:
        """The parts wired together; in the joint stage the UNet is its own appearance branch."""
        unet = self.parts["unet"]
        branch = unet if self.tied else self.parts.get("appearance")
        appearance = None if branch is None else AppearanceControl(branch)
        return MagicPoseModel(unet, appearance, self.parts.get("pose_controlnet"))

    def encode_text(self, prompts: Iterable[str]) -> Tensor:
        """CLIP's last hidden states [B, S, D] of the padded prompts."""
        encoder = self.parts["text_encoder"]
        ids = self.tokenizer(
            list(prompts),
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        states: Tensor = encoder(ids.to(encoder.device)).last_hidden_state
        return states


def build_networks(config: TrainConfig, stage: Stage, captions: list[str]) -> Networks:
    """All parts `stage` uses; `captions` give a fresh text encoder its vocabulary."""
    torch.manual_seed(config.seed)
    sources = _sources(config.init)
    networks = Networks(tied=stage.tied)
    for part in PARTS:
        if part not in stage.uses:
            continue
        if part in sources and part not in stage.fresh:
            loaded = _load(part, sources[part])
            networks.parts[part] = widen_latents(loaded, config.network.widen_latents)
        else:
            networks.parts[part] = _make(part, networks, config.network)
    if "text_encoder" in networks.parts:
        if "tokenizer" in sources and "text_encoder" in sources:
            networks.tokenizer = _load_tokenizer(sources["tokenizer"])
        else:
            networks.tokenizer = train_tokenizer(captions, config.network.vocabulary, config.network.context_tokens)
            networks.parts["text_encoder"] = _make_text_encoder(networks.tokenizer, config.network)
    if "scheduler" in sources:
        import diffusers

        networks.scheduler = diffusers.DDIMScheduler.from_pretrained(sources["scheduler"])
    elif "unet" in networks.parts:
        networks.scheduler = make_scheduler(
            "ddim", {"prediction_type": config.network.prediction_type, "timestep_spacing": "trailing"}
        )
    return networks


def _sources(folders: tuple[Path, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"init folder {folder} does not exist: run the stage that makes it first")
        found.update({child.name: child for child in sorted(folder.iterdir()) if child.is_dir()})
    return found


def _load(part: Part, folder: Path) -> nn.Module:
    import diffusers
    import transformers

    from magicpose.networks.autoencoder import PatchAutoencoder

    about = json.loads((folder / "config.json").read_text())
    name = about.get("_class_name") or about["architectures"][0]
    classes = {
        "PatchAutoencoder": PatchAutoencoder,
        "AutoencoderKL": diffusers.AutoencoderKL,
        "UNet2DConditionModel": diffusers.UNet2DConditionModel,
        "ControlNetModel": diffusers.ControlNetModel,
        "CLIPTextModel": transformers.CLIPTextModel,
    }
    if name not in classes:
        raise UserError(f"{folder}/config.json names {name}, which is no {part} of this project")
    loaded: nn.Module = classes[name].from_pretrained(folder, torch_dtype=torch.float32)
    return loaded


_LATENT_SIZES = {  # what a configuration calls the channels of latents
    "PatchAutoencoder": ("latent_channels",),
    "UNet2DConditionModel": ("in_channels", "out_channels"),
    "ControlNetModel": ("in_channels",),
}


def widen_latents(module: Any, channels: int | None) -> Any:
    """`module` for latents of `channels` channels, where it was made for fewer.

    New inputs have weight zero, so nothing it made of the old channels changes, and its new outputs are zero; only an
    encoder's new outputs start at random, for a decoder that ignored silence would never learn to listen.
    """
    keys = _LATENT_SIZES.get(type(module).__name__, ())
    if channels is None or all(module.config[key] >= channels for key in keys):
        return module
    settings = {key: value for key, value in module.config.items() if not key.startswith("_")}
    wider: Any = type(module).from_config(settings | dict.fromkeys(keys, channels))
    weights = wider.state_dict()
    with torch.no_grad():
        for name, old in module.state_dict().items():
            new = weights[name]
            if new.shape != old.shape and not name.startswith("encoder."):
                new.zero_()
            new[tuple(slice(size) for size in old.shape)] = old
    return wider


def _make(part: Part, networks: Networks, sizes: NetworkConfig) -> Any:
    import diffusers

    from magicpose.networks.autoencoder import PatchAutoencoder

    if part == "vae":
        return PatchAutoencoder(sizes.latent_channels, sizes.patch, sizes.vae_channels, sizes.vae_layers)
    if part == "unet":
        levels = len(sizes.unet_channels)
        return diffusers.UNet2DConditionModel(
            in_channels=sizes.latent_channels,
            out_channels=sizes.latent_channels,
            down_block_types=("CrossAttnDownBlock2D",) * levels,
            up_block_types=("CrossAttnUpBlock2D",) * levels,
            block_out_channels=sizes.unet_channels,
            layers_per_block=sizes.unet_layers,
            cross_attention_dim=sizes.context_dim,
            attention_head_dim=sizes.heads,
            norm_num_groups=sizes.norm_groups,
        )
    unet = networks.parts.get("unet")
    if part == "appearance":
        return AppearanceControl.from_unet(unet).unet
    if part == "pose_controlnet":
        return diffusers.ControlNetModel.from_unet(
            unet,
            conditioning_channels=3 * sizes.hint_unshuffle**2,
            conditioning_embedding_out_channels=sizes.hint_channels,
        )
    return None  # the text encoder waits for its tokenizer


def _load_tokenizer(folder: Path) -> Any:
    import transformers

    return transformers.CLIPTokenizer.from_pretrained(folder)


def _make_text_encoder(tokenizer: Any, sizes: NetworkConfig) -> Any:
    import transformers

    return transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.context_dim,
            intermediate_size=4 * sizes.context_dim,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=4,
            max_position_embeddings=sizes.context_tokens,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def export_networks(networks: Networks, folder: Path, about: dict[str, Any]) -> None:
    """Plain diffusers sub-folders and `model_index.json`, readable by `init`, the pipeline and diffusers."""
    for part, module in networks.parts.items():
        module.save_pretrained(folder / part)
    if networks.tied:
        networks.parts["unet"].save_pretrained(folder / "appearance")
    if networks.tokenizer is not None:
        networks.tokenizer.save_pretrained(folder / "tokenizer")
    if networks.scheduler is not None:
        networks.scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MagicPosePipeline", **about}, indent=1))
