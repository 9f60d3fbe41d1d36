"""`model_index.json`: which parts a model's folder holds, and how the model likes to be run. Its only owner.

The parts are written as diffusers writes them (`"unet": ["diffusers", "UNet2DConditionModel"]`, `[null, null]` for a
part that is absent), so `diffusers.DiffusionPipeline` reads the file as it is; the settings stand beside them and are
arguments of `MagicPosePipeline`. Reading imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from magicpose import __version__
from magicpose.errors import UserError
from magicpose.networks.schedule import SCHEDULERS, SD15_SCHEDULE, check_schedule

INDEX = "model_index.json"
PIPELINE = "MagicPosePipeline"  # the class that the index names
PAPER_GUIDANCE = 7.0
PAPER_TEMPERATURE = 1.0
_LARGEST = 1e6  # NaN and infinity, which Python's JSON reads, are not below it
_MOST_PIXELS, _MOST_STEPS = 8192, 1000

# every part, in the order in which the index names them
PARTS = ("unet", "appearance", "pose_controlnet", "vae", "text_encoder", "tokenizer", "scheduler", "motion")
_TRANSFORMERS = {"text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer"}


@dataclass(frozen=True)
class ModelSettings:
    """How a model likes to be run; each field is a key of `model_index.json`.

    Args:
        guidance_scale, temperature: strength of the image guidance (paper Sec. 4.4) and of the start noise.
        image_size: side of the training frames in pixels; None: by the UNet's `sample_size`.
        steps, solver: number of steps and name in `SCHEDULERS`; None: the model has no opinion.
        trained: how each part was trained, {part: {"stage": name, "steps": number}}, as far as it is known.
    """

    guidance_scale: float = PAPER_GUIDANCE
    temperature: float = PAPER_TEMPERATURE
    image_size: int | None = None
    steps: int | None = None
    solver: str | None = None
    trained: Mapping[str, Any] = field(default_factory=dict)


def read_settings(folder: Path) -> ModelSettings:
    """The settings in the index of `folder`, which may be any diffusers pipeline: what it does not say is the paper's.

    Raises UserError, naming file and key, for a value of the wrong type or range.
    """
    path = folder / INDEX
    index = _with_old_names(read_json(path))
    values = {name: index[name] for name in _CHECKS if index.get(name) is not None}
    for name, value in values.items():
        expected, fits = _CHECKS[name]
        if not fits(value):
            raise UserError(f"{path}: {name} must be {expected}, not {value!r}; correct it or download the model again")
    for name in ("guidance_scale", "temperature"):
        if name in values:
            values[name] = float(values[name])
    return ModelSettings(**values)


def read_schedule(folder: Path) -> dict[str, Any]:
    """The noise schedule in `folder`/scheduler; Stable Diffusion 1.5's where there is none."""
    path = folder / "scheduler" / "scheduler_config.json"
    return check_schedule(read_json(path), path) if path.is_file() else dict(SD15_SCHEDULE)


def write_index(folder: Path, settings: ModelSettings, made_from: str, ignored: Sequence[str] = ()) -> None:
    """Describes the part folders that stand in `folder` already; `made_from` says in words where they come from.

    `ignored`: keys of the sources that were left out because the user said so.
    """
    index: dict[str, Any] = {
        "_class_name": PIPELINE,
        "_diffusers_version": version("diffusers"),
        "_magicpose_version": __version__,
        "_made_from": made_from,
        **{part: _class_of(part, folder / part) for part in PARTS},
        **asdict(settings),
    }
    if ignored:
        index["_ignored_keys"] = list(ignored)
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def is_our_folder(folder: Path) -> bool:
    """Whether `folder` has an index that names our pipeline: only such an index holds settings of a model."""
    return (folder / INDEX).is_file() and read_json(folder / INDEX).get("_class_name") == PIPELINE


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model; UserError, naming the file, for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: missing or no JSON; download the whole folder") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no JSON object; download the whole folder")
    return content


def _with_old_names(index: dict[str, Any]) -> dict[str, Any]:
    """`index` with the keys that folders of earlier versions have under other names or in another form."""
    known = dict(index)
    if known.get("image_size") is None:
        known["image_size"] = index.get("size_px")
    if known.get("solver") is None and isinstance(index.get("scheduler"), str):
        known["solver"] = index["scheduler"]
    trained = known.get("trained")
    if isinstance(trained, dict) and isinstance(trained.get("stage"), str):
        known["trained"] = {"folder": trained}
    if trained is None and isinstance(index.get("made_by"), dict):
        known["trained"] = {part: {"stage": stage} for part, stage in index["made_by"].items()}
    return known


def _class_of(part: str, folder: Path) -> list[str | None]:
    """[library, class] of what stands in `folder`, as diffusers names it; nulls where nothing does."""
    if not folder.is_dir():
        return [None, None]
    if part in _TRANSFORMERS:
        return ["transformers", _TRANSFORMERS[part]]
    config = read_json(folder / ("scheduler_config.json" if part == "scheduler" else "config.json"))
    name = str(config.get("_class_name"))
    return [_own_module(name) or "diffusers", name]


def _own_module(class_name: str) -> str | None:
    """Where a class of this project lives: diffusers finds it there once the module is imported."""
    from magicpose.networks.autoencoder import PatchAutoencoder

    return PatchAutoencoder.__module__ if class_name == PatchAutoencoder.__name__ else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_solver(value: Any) -> bool:
    return isinstance(value, str) and value in SCHEDULERS


# setting -> (what it must be, whether a value is that)
_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "guidance_scale": ("a number", _is_number),
    "temperature": ("a number, 0 or more", lambda value: _is_number(value) and value >= 0),
    "image_size": (f"a whole number of pixels, 1 to {_MOST_PIXELS}", lambda value: _is_count(value, _MOST_PIXELS)),
    "steps": (f"a whole number, 1 to {_MOST_STEPS}", lambda value: _is_count(value, _MOST_STEPS)),
    "solver": (f"one of {', '.join(SCHEDULERS)}", _is_solver),
    "trained": ("an object", lambda value: isinstance(value, dict)),
}
