"""Strengths that PEFT and diffusers write beside the tensors: `adapter_config.json`, or a safetensors file's header."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magicpose.errors import UserError
from magicpose.media.files import MediaWarning

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_HEADER = "lora_adapter_metadata"
_PARTS = {"unet": "unet", "text_encoder": "text_encoder"}
_MERGED = ("LORA", "LOHA", "LOKR", "IA3")
_MOVED_BASE = ("pissa", "olora", "loftq", "corda")  # starts that take something off the base first


@dataclass(frozen=True)
class Strength:
    """PEFT's settings of one network."""

    rank: float
    alpha: float
    rank_pattern: Mapping[str, float] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    rank_stabilised: bool = False

    def ratio(self, path: str) -> float:
        """What the product of the factors is multiplied with, for the layer `path`."""
        rank = _patterned(self.rank_pattern, path, self.rank)
        return _patterned(self.alpha_pattern, path, self.alpha) / (rank**0.5 if self.rank_stabilised else rank)


def adapter_file(folder: Path) -> Path | None:
    """The weights in a folder that PEFT wrote; None for any other folder."""
    if not (folder / CONFIG).is_file():
        return None
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def read_strengths(path: Path, names: list[str]) -> dict[str, Strength]:
    """Settings by network ("": of all) for a LoRA file with the keys `names`; empty where the keys say it all.

    Raises:
        UserError: settings that cannot be read, or that cannot be merged into an unchanged base.
    """
    header = _header(path)
    if header is not None:
        found = {part: _below(header, part) for part in _PARTS}
        return {part: _strength(settings, path) for part, settings in found.items() if "r" in settings}
    beside = path.with_name(CONFIG)
    if path.name in WEIGHTS and beside.is_file():
        settings = _object(beside.read_bytes(), beside)
        return {} if settings.get("peft_type") == "IA3" else {"": _strength(settings, beside)}
    if any(name.startswith("base_model.model.") for name in names) and not any(n.endswith(".alpha") for n in names):
        warnings.warn(
            f"{path} lies without its {CONFIG}, which holds its strength (lora_alpha); it is taken as the rank",
            MediaWarning,
            stacklevel=2,
        )
    return {}


def _header(path: Path) -> dict[str, Any] | None:
    """What diffusers writes into a safetensors file's header."""
    if path.suffix.lower() != ".safetensors":
        return None
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_HEADER)
    return None if text is None else _object(text.encode(), path)


def _below(settings: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {key.removeprefix(f"{part}."): v for key, v in settings.items() if key.startswith(f"{part}.")}


def _object(text: bytes, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: the settings of its LoRA are no JSON; get another copy") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: the settings of its LoRA are no JSON object; get another copy")
    return content


def _strength(settings: Mapping[str, Any], path: Path) -> Strength:
    kind, start = settings.get("peft_type", "LORA"), settings.get("init_lora_weights")
    if kind not in _MERGED:
        raise UserError(f"{path}: an adapter of the kind {kind}; merge it with PEFT (merge_and_unload)")
    if isinstance(start, str) and start.lower().startswith(_MOVED_BASE):
        raise UserError(f"{path}: a LoRA that began as {start} fits only the base it changed; merge it with PEFT")
    rank = _number(settings.get("r", 8), path)
    alpha = _number(settings.get("lora_alpha", settings.get("alpha", rank)), path)
    ranks, alphas = (_patterns(settings.get(name) or {}, path) for name in ("rank_pattern", "alpha_pattern"))
    return Strength(rank, alpha, ranks, alphas, bool(settings.get("use_rslora")))


def _patterns(patterns: Any, path: Path) -> dict[str, float]:
    """Numbers by the ends of module paths; PEFT allows any expression there, which is not run from a file."""
    if not isinstance(patterns, dict) or not all(re.fullmatch(r"[\w.]+", str(name)) for name in patterns):
        raise UserError(f"{path}: its LoRA names layers by expressions; merge it with PEFT (merge_and_unload)")
    return {str(name): _number(value, path) for name, value in patterns.items()}


def _number(value: Any, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise UserError(f"{path}: a rank or alpha of {value!r} in the settings of its LoRA; get another copy")
    return float(value)


def _patterned(patterns: Mapping[str, float], path: str, default: float) -> float:
    """The value of the pattern that `path` ends with, as PEFT matches them."""
    return next((v for name, v in patterns.items() if path == name or path.endswith("." + name)), default)
