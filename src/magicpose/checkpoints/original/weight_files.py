"""Reading and writing weight files that nobody vouches for.

Nothing here runs code from a file: pickles go through `torch.load(weights_only=True)`, mapped into memory where the
format allows it. Whatever is wrong with a file becomes one `UserError` sentence before anything long starts.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magicpose.acceleration.capacity import free_bytes
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.paths import check_weight_file
from magicpose.errors import UserError

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
GIB = 2**30
# What training scripts put a state dict under, and what data parallelism and torch.compile put into its keys.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "params_ema", "params")
_WRAPPED = re.compile(r"(?:^state_dict\.|(?:^|(?<=\.))(?:module|_orig_mod)\.)+")


def read_state_dict(path: str | Path, ignored: Ignored | None = None) -> dict[str, Tensor]:
    """All tensors of a weight file by key, wrappers of training scripts taken off (see `unwrap`).

    Raises:
        UserError: missing, damaged, larger than the memory at hand, holding anything but tensors, or a pickle that
            would run code.
    """
    path = Path(path)
    check_weight_file(path)
    check_memory(path.stat().st_size, str(path))
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickle(path)
    return unwrap(content, str(path), ignored)


def unwrap(content: Any, source: str, ignored: Ignored | None = None) -> dict[str, Tensor]:
    """The flat state dict inside `content`: out of `{"state_dict": ...}` and the like, without `module.` in its keys.

    Raises:
        UserError: an entry that is no tensor and that `ignored` does not name; two keys that differ in `module.` only.
    """
    while isinstance(content, Mapping) and (name := next((w for w in WRAPPERS if _wraps(content.get(w))), None)):
        content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{source}: holds {_kind(content)}, not a state dict of named tensors")
    allowed = ignored or Ignored()
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or (not isinstance(value, Tensor) and allowed.rest([key])):
            raise UserError(
                f"{source}: {key!r} is {_kind(value)}, not a tensor; save the model's state_dict() alone, "
                f"or pass --ignore-unknown {key}"
            )
        name = _WRAPPED.sub("", key)
        if name in state:
            raise UserError(f"{source}: holds {name} twice, with and without 'module.'; get another copy of the file")
        if isinstance(value, Tensor):
            state[name] = value
    return state


def _wraps(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _kind(value: Any) -> str:
    return "nothing" if value is None or value == {} else f"a {type(value).__name__}"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged or cut off ({_line(error)}); download it again") from error


def _read_pickle(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)
    if mapped:
        with zipfile.ZipFile(path) as archive:  # torch stores plainly; compression could unfold without bound
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise UserError(f"{path}: a compressed zip archive, not a torch checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(path, str(error))) from error
    except (RuntimeError, EOFError, KeyError, ValueError, IndexError, MemoryError, OSError) as error:
        message = f"{path}: damaged or cut off, or no torch checkpoint ({_line(error)}); download it again"
        raise UserError(message) from error


def _refusal(path: Path, message: str) -> str:
    """Names what a pickle wanted besides tensors."""
    found = re.search(r"GLOBAL ([\w.]+)|`?([\w]+(?:\.[\w]+)+)`? (?:was not|is not) an allowed", message)
    if found is None:
        found = re.search(r"class (\S+)|Unsupported (?:operand|class) (\S+)|type (\S+)", message)
    if found is None:
        return f"{path}: not a torch checkpoint ({_line(message)}); download it again or use the .safetensors version"
    name = next(group for group in found.groups() if group)
    return f"{path}: refused, it holds more than weights ({name}), which could run code; use its .safetensors version"


def _line(error: object) -> str:
    return str(error).strip().split("\n")[0][:120]


def check_memory(needed_bytes: int, source: str, available_bytes: int | None = None) -> None:
    """Refuses early what would not fit. `available_bytes`: default, what the machine has free now."""
    if available_bytes is None:
        available_bytes = free_bytes()
    if needed_bytes > available_bytes:
        raise UserError(
            f"{source}: needs {needed_bytes / GIB:.1f} GiB of memory, {available_bytes / GIB:.1f} GiB are free; "
            "close other programs or use the fp16 version of the file"
        )


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Refuses weights that are not numbers, naming the key; tensors without storage (meta) pass."""
    for key, value in state.items():
        if value.is_meta or not value.is_floating_point():
            continue
        if value.dtype not in FLOATS:
            raise UserError(f"{source}: {key} is {value.dtype}; use the fp16 or fp32 version of the file")
        if not bool(value.isfinite().all()):
            raise UserError(f"{source}: {key} holds NaN or infinite weights; the file is broken, get another copy")


def tensor_bytes(state: Mapping[str, Tensor]) -> int:
    """Memory that the tensors take once all are real."""
    return sum(value.numel() * value.element_size() for value in state.values() if not value.is_meta)


def write_state_dict(state: Mapping[str, Tensor], path: Path, made_from: str, ignored: Sequence[str] = ()) -> None:
    """One weight file, atomically; pickled formats are wrapped as `{"state_dict": ...}` like the original's.

    `made_from` and the keys of the sources that were left out (`ignored`) stand beside the weights.
    """
    from safetensors.torch import save_file

    left_out = {"ignored_keys": json.dumps(list(ignored))} if ignored else {}
    with replacing(path) as temporary:
        if path.suffix.lower() == ".safetensors":
            save_file(
                {key: value.contiguous() for key, value in state.items()},
                temporary,
                metadata={"format": "pt", "made_from": made_from, **left_out},
            )
        else:
            torch.save({"state_dict": dict(state), "made_from": made_from, **left_out}, temporary)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place only if all goes well."""
    with _scratch(path) as scratch:
        yield scratch / path.name
        (scratch / path.name).replace(path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder: no half-written one is ever left, and an old one goes only once the new one stands.

    Raises:
        UserError: `path` holds something else than a model folder, which must not be lost.
    """
    if path.exists() and not (path / "model_index.json").is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path}: holds something else than a model, which would be lost; choose another name")
    with _scratch(path) as scratch:
        fresh, old = scratch / "new", scratch / "old"
        fresh.mkdir()
        yield fresh
        if path.exists():
            path.replace(old)
        fresh.replace(path)


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A hidden folder on the same disk as `path`, gone afterwards whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)
