"""Settings of a training run: frozen dataclasses, read from YAML, unknown keys refused."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from magicpose.errors import UserError, require


@dataclass(frozen=True)
class DataConfig:
    """Where the clips are; a clip is a folder with numbered frames and `keypoints.npz` or a pose document."""

    train: Path = Path("data/train")
    validation: Path = Path("data/validation")
    size_px: int = 128
    """Side of the square crop that reference, target and pose map share."""
    latents: Path | None = None
    """Folder in which encoded frames are kept; null: with the clips."""
    flip: bool = True
    """Mirror half of the training pictures (autoencoder only)."""


@dataclass(frozen=True)
class BatchConfig:
    """One step sees `clips` x `targets` frames; the targets of a clip share reference and timestep."""

    clips: int = 6
    targets: int = 4
    accumulate: int = 1
    """A step sums the gradients of so many batches before it moves the weights: as one large batch, in the memory of a
    small one."""


@dataclass(frozen=True)
class OptimizerConfig:
    """The rate rises over `warmup_steps`, stays, and falls to zero over the last `decay_fraction`."""

    kind: Literal["adamw", "muon"] = "adamw"
    """`muon`: matrices and convolutions by orthogonalised momentum, the rest by AdamW (`training/muon.py`)."""
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    warmup_steps: int = 0
    decay_fraction: float = 0.0


@dataclass(frozen=True)
class LossConfig:
    """How errors are weighted."""

    snr_gamma: float | None = None
    """min-SNR weighting of the denoising loss; None: the paper's plain mean."""
    face_weight: float = 1.0
    """Weight of pixels or latents in the face box."""
    hand_weight: float = 1.0
    correspondence_weight: float = 0.0
    """Weight of telling attention which cell of the reference shows the same piece of the person (stages with reference
    and pose; clips rendered with `--places`). 0: the paper's loss."""
    gradient_weight: float = 0.25
    """Autoencoder: weight of the error of finite differences."""
    perceptual_weight: float = 0.0
    """Autoencoder: weight of ST-LPIPS on a face-centred crop."""
    perceptual_crop_px: int = 64
    latent_noise: float = 0.1
    """Autoencoder: standard deviation of the noise added to latents, in place of a KL term."""
    kept_channels: int = 0
    """Autoencoder: so many latent channels, the first ones, stay what the encoder of `init` makes of a picture, and a
    denoiser trained on them stays of use while the others learn."""


@dataclass(frozen=True)
class ConditionConfig:
    """How often the denoiser is given its conditions."""

    drop: float = 0.15
    """Share of steps without reference and pose: the plain UNet, which may be given a caption (joint stage)."""
    caption: float = 0.7
    """In those steps: share of steps with the clip's caption; the rest see the empty prompt."""
    face_mask: float = 0.2
    hand_mask: float = 0.5
    """Probability that the face, and each hand, is left out of the pose map (paper Sec. 5.4)."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of networks a stage makes from nothing; parts that `init` brings have theirs, but for `widen_latents`."""

    vae_channels: tuple[int, ...] = (64, 128, 192)
    vae_layers: int = 2
    patch: int = 2
    latent_channels: int = 8
    widen_latents: int | None = None
    """Parts of `init` with fewer latent channels get this many; at first the new ones change nothing."""
    unet_channels: tuple[int, ...] = (128, 192)
    unet_layers: int = 1
    heads: int = 4
    norm_groups: int = 16
    context_dim: int = 128
    context_tokens: int = 40
    text_layers: int = 2
    vocabulary: int = 512
    hint_unshuffle: int = 4
    hint_channels: tuple[int, ...] = (48, 96, 192)
    prediction_type: str = "v_prediction"


@dataclass(frozen=True)
class TrainConfig:
    """One run of one stage."""

    stage: str = "pose"
    """A row of `magicpose.training.stages.STAGES`."""
    output: Path = Path("out/train")
    init: tuple[Path, ...] = ()
    """Folders in our format; each part is taken from the last one that has it."""
    trained: tuple[str, ...] = ()
    """Patterns of parameter names (`*appearance*attn1*`): of what the stage trains, only these. (): all of it."""
    steps: int = 1000
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    conditions: ConditionConfig = field(default_factory=ConditionConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ema_decay: float = 0.999
    rounding: float = 0.0
    """Matrices and convolutions learn to be multiples of (about) their deviation over this, and are exported so: at 2 a
    file compresses to a third. For weights that are trained already; 0: exact."""
    rounding_begins: int = 0
    """The step from which the networks run rounded."""
    precision: Literal["bf16", "no"] = "bf16"
    """Mixed precision of the forward pass (autocast); weights stay float32."""
    gradient_checkpointing: bool = False
    """Activations are computed again in the backward pass: a third more time, a fraction of the memory."""
    compile: bool = False
    """torch.compile each network; minutes before the first step, worth it in runs of hours."""
    log_steps: int = 50
    checkpoint_minutes: float = 5.0
    validation_steps: int = 1000
    validation_clips: int = 8
    sampling_steps: int = 20
    guidance_scales: tuple[float, ...] = (1.0, 2.0)


def check_counts(config: TrainConfig) -> None:
    """UserError for a setting that must be at least 1 and is not."""
    names = ("steps", "log_steps", "validation_steps", "validation_clips", "sampling_steps")
    counts = {name: getattr(config, name) for name in names}
    counts |= {f"batch.{name}": value for name, value in dataclasses.asdict(config.batch).items()}
    for name, value in {**counts, "data.size_px": config.data.size_px}.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")


def load_config(path: Path | str, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Reads YAML; `overrides` are dotted keys (`optimizer.learning_rate`) that win over the file.

    Raises UserError for a missing file, broken YAML, or a key or value that does not fit.
    """
    require("yaml")
    import yaml

    path = Path(path)
    try:
        settings = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise UserError(f"no such training configuration: {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path} must hold keys and values, as the files in configs/ do")
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        target = settings
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return build(TrainConfig, settings, where=str(path))


def build(kind: Any, settings: Mapping[str, Any], where: str) -> Any:
    """A dataclass from nested mappings, every key and type checked; errors name the dotted key."""
    if not isinstance(settings, Mapping):
        raise UserError(f"{where}: expected keys and values, got {settings!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(settings) - set(hints))
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r}; known keys are {', '.join(sorted(hints))}")
    return kind(**{key: _convert(hints[key], value, f"{where}: {key}") for key, value in settings.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, where)
    if origin is Literal:
        value = "no" if value is False else value  # YAML 1.1 reads a bare no as false
        if value in arguments:
            return value
        raise UserError(f"{where} must be one of {', '.join(arguments)}, got {value!r}")
    if origin is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        kinds = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(items):
            raise UserError(f"{where} takes {len(kinds)} values, got {value!r}")
        return tuple(_convert(kind, item, where) for kind, item in zip(kinds, items))
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-4 as a string
        try:
            return float(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{where} must be of type {getattr(hint, '__name__', hint)}, got {value!r}")


def as_plain(config: Any) -> dict[str, Any]:
    """The settings as JSON-like values, for the resolved YAML and for comparison on resume."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return plain
