"""A pipeline from a folder, the hub or a stock pipeline, and back into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging

from magicpose.checkpoints.compatibility import check_base, check_fit
from magicpose.checkpoints.folder import read_folder
from magicpose.checkpoints.hub import HubOptions, find_model
from magicpose.checkpoints.index import read_schedule, read_settings, write_index
from magicpose.checkpoints.original.weight_files import replacing_model
from magicpose.checkpoints.parts import NETWORKS
from magicpose.errors import UserError
from magicpose.networks.appearance import AppearanceControl
from magicpose.networks.schedule import SD15_SCHEDULE, make_scheduler

Dtype = torch.dtype | Mapping[str, torch.dtype] | None
_STOCK = logging.get_logger("diffusers.pipelines.pipeline_utils")  # says what was loaded where diffusers says it


def load_parts(
    cls: Any, source: str, device: torch.device, dtype: Dtype, variant: str | None, more: dict[str, Any]
) -> Any:
    """`MagicPosePipeline.from_pretrained`."""
    folder = find_model(source, HubOptions.taken_from(more))
    parts: dict[str, Any] = dict(read_folder(folder, variant=variant).present())
    settings, schedule = read_settings(folder), read_schedule(folder)
    parts["tokenizer"] = more["tokenizer"] if "tokenizer" in more else _tokenizer(folder)
    parts["scheduler"] = make_scheduler(settings.solver or "ddim", schedule)
    arguments = {**dict.fromkeys(NETWORKS), **parts, **asdict(settings)}
    unknown = sorted(set(more) - set(arguments))
    if unknown:
        raise UserError(
            f"from_pretrained has no argument {unknown[0]!r}: parts and settings are {', '.join(arguments)}"
        )
    arguments |= more
    for name in ("unet", "vae", "text_encoder"):
        if arguments[name] is None:
            raise UserError(f"{folder} has no {name}: convert it together with its Stable Diffusion 1.5 base")
    check_fit({name: arguments[name] for name in NETWORKS}, str(folder))
    for name in parts:
        _STOCK.info(f"Loaded {name} as {type(arguments[name]).__name__} from `{name}` subfolder of {folder}.")
    pipe = cls(**arguments)
    pipe.register_to_config(_name_or_path=source)
    return _placed(pipe, device, dtype)


def check_device(device: Any) -> torch.device:
    """UserError for what is no device, such as diffusers' device map "balanced"."""
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"unknown device {device!r}: choose cpu, cuda, cuda:1, mps, ...") from error


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    if not (folder / "tokenizer").is_dir():
        raise UserError(f"{folder} has no tokenizer: copy the one of its Stable Diffusion 1.5 base")
    return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)


def _placed(pipe: Any, device: torch.device, dtype: Dtype) -> Any:
    if isinstance(dtype, Mapping):
        for name in NETWORKS:
            network = getattr(pipe, name)
            if network is not None:
                network.to(dtype.get(name, dtype.get("default", torch.float32)))
        return pipe.to(device)
    if dtype is None and device.type == "cpu":
        dtype = torch.float32
    if all(getattr(pipe, name) is None or getattr(pipe, name).dtype == dtype for name in NETWORKS):
        dtype = None  # diffusers warns of every cast, of those that change nothing too
    return pipe.to(device, dtype, silence_dtype_warnings=True)


def plug_in(cls: Any, sd_pipe: Any, appearance: Any, pose_controlnet: Any, guidance_scale: float) -> Any:
    """`MagicPosePipeline.from_stable_diffusion`."""
    unet, kind = sd_pipe.unet, type(sd_pipe).__name__
    branch = appearance.unet if isinstance(appearance, AppearanceControl) else appearance
    check_base(unet, kind)
    check_fit({"unet": unet, "vae": sd_pipe.vae, "appearance": branch, "pose_controlnet": pose_controlnet}, kind)
    for network in (branch, pose_controlnet):
        if network is not None:
            network.to(unet.device, unet.dtype)
    config = sd_pipe.scheduler.config
    schedule = {**SD15_SCHEDULE, **{key: config[key] for key in SD15_SCHEDULE if key in config}}
    pipe = cls(
        unet=unet,
        appearance=branch,
        pose_controlnet=pose_controlnet,
        vae=sd_pipe.vae,
        text_encoder=sd_pipe.text_encoder,
        tokenizer=sd_pipe.tokenizer,
        scheduler=make_scheduler("ddim", schedule),
        guidance_scale=guidance_scale,
    )
    pipe.register_to_config(_name_or_path=str(getattr(sd_pipe.config, "_name_or_path", None) or kind))
    pipe.attach()  # the stock pipeline's networks are ours from here on, not only from the first run
    return pipe


def save(pipe: Any, folder: Path, safe_serialization: bool, variant: str | None, **more: Any) -> None:
    """`MagicPosePipeline.save_pretrained`: diffusers writes the parts, we the index; all of it or nothing."""
    with replacing_model(folder) as fresh:
        DiffusionPipeline.save_pretrained(pipe, fresh, safe_serialization, variant, **more)
        write_index(fresh, replace(pipe.settings, image_size=pipe.native_side), pipe.name)
