"""The networks of a stage: made from nothing, taken from `init` folders, or copied from the UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magicpose.checkpoints.compatibility import check_fit
from magicpose.checkpoints.folder import part_folders, read_part
from magicpose.checkpoints.index import ModelSettings, is_our_folder, read_schedule, read_settings, write_index
from magicpose.checkpoints.parts import Parts
from magicpose.errors import UserError
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.schedule import NoiseSchedule, make_scheduler
from magicpose.training.config import NetworkConfig, TrainConfig
from magicpose.training.stages import PARTS, STAGES, Part, Stage
from magicpose.training.vocabulary import train_tokenizer


@dataclass
class Networks:
    """The parts of a stage by name, with the tokenizer and the noise schedule."""

    parts: dict[Part, Any] = field(default_factory=dict)
    tokenizer: Any = None
    scheduler: Any = None
    tied: bool = False
    settings: ModelSettings = field(default_factory=ModelSettings)  # of the model in `init`

    @property
    def whole(self) -> Parts:
        """All of it; in the joint stage the UNet is its own appearance branch."""
        parts: dict[str, Any] = {str(name): network for name, network in self.parts.items()}
        if self.tied:
            parts["appearance"] = parts["unet"]
        return Parts(**parts, tokenizer=self.tokenizer, scheduler=self.scheduler)

    @property
    def schedule(self) -> NoiseSchedule:
        """The training side of the scheduler."""
        return self.whole.schedule

    def model(self) -> MagicPoseModel:
        """The parts wired together."""
        return self.whole.model()

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """CLIP's last hidden states [B, S, D] of the padded prompts."""
        return self.whole.encode_text(prompts)


def build_networks(config: TrainConfig, stage: Stage, captions: list[str]) -> Networks:
    """All parts `stage` uses; `captions` give a fresh text encoder its vocabulary."""
    torch.manual_seed(config.seed)
    sources = _sources(config.init)
    networks = Networks(tied=stage.tied, settings=_settings(config.init))
    for part in PARTS:
        if part not in stage.uses:
            continue
        if part in sources and part not in stage.fresh:
            loaded = read_part(part, sources[part]).float()
            networks.parts[part] = widen_latents(loaded, config.network.widen_latents)
        else:
            networks.parts[part] = _make(part, networks, config.network)
    if "text_encoder" in networks.parts:
        if "tokenizer" in sources and "text_encoder" in sources:
            networks.tokenizer = _load_tokenizer(sources["tokenizer"])
        else:
            networks.tokenizer = train_tokenizer(captions, config.network.vocabulary, config.network.context_tokens)
            networks.parts["text_encoder"] = _make_text_encoder(networks.tokenizer, config.network)
    check_fit(networks.whole.present(), " + ".join(map(str, config.init)))
    if "scheduler" in sources:
        networks.scheduler = make_scheduler("ddim", read_schedule(sources["scheduler"].parent))
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
        found.update(part_folders(folder))
    return found


def _settings(folders: tuple[Path, ...]) -> ModelSettings:
    """Those of the last `init` folder that is a model; how parts were trained is known from all of them."""
    found = [read_settings(folder) for folder in folders if is_our_folder(folder)]
    trained = {part: how for settings in found for part, how in settings.trained.items()}
    return replace(found[-1], trained=trained) if found else ModelSettings()


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


def export_networks(networks: Networks, folder: Path, config: TrainConfig, steps: int) -> None:
    """Plain diffusers sub-folders and `model_index.json`, readable by `init`, the pipeline and diffusers.

    The frames have the size that was trained; all other settings are those of `init`.
    """
    for part, module in networks.parts.items():
        module.save_pretrained(folder / part)
    if networks.tied:
        networks.parts["unet"].save_pretrained(folder / "appearance")
    if networks.tokenizer is not None:
        networks.tokenizer.save_pretrained(folder / "tokenizer")
    if networks.scheduler is not None:
        solver = make_scheduler(networks.settings.solver or "ddim", networks.scheduler.config)
        solver.save_pretrained(folder / "scheduler")
    how = {"stage": config.stage, "steps": steps}
    parts = (*STAGES[config.stage].trains, *(("appearance",) if networks.tied else ()))
    trained: dict[str, Any] = {**networks.settings.trained, **dict.fromkeys(parts, how)}
    settings = replace(networks.settings, image_size=config.data.size_px, trained=trained)
    write_index(folder, settings, f"training, stage {config.stage}")
