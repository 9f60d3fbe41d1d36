"""State dict with the original's keys -> networks: every key has a home, every weight arrives in its shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from magicpose.checkpoints.compatibility import check_fit
from magicpose.checkpoints.original import keys
from magicpose.checkpoints.original.dialects import Names, State, canonical
from magicpose.checkpoints.original.families import DEAD, SD15_FAMILY, check_family
from magicpose.checkpoints.original.ignored import Ignored
from magicpose.checkpoints.original.plans import PLANS
from magicpose.checkpoints.original.weight_files import check_finite
from magicpose.errors import UserError


@dataclass(frozen=True)
class Origin:
    """Where weights come from: the file's name, its own names for our keys, and the keys it may hold besides."""

    source: str
    names: Names = field(default_factory=dict)
    ignored: Ignored = field(default_factory=Ignored)

    def named(self, key: str) -> str:
        """`key` as the file spells it."""
        return self.names.get(key, key)


def read_networks(state: State, source: str, ignored: Ignored | None = None) -> tuple[dict[str, nn.Module], State]:
    """The networks of a checkpoint by their name in `Components`, and its dead keys; they share its memory.

    Raises:
        UserError: a foreign file, a key that nobody knows and `ignored` does not name, or weights that are missing,
            misshapen or no numbers.
    """
    check_family(state, source)
    state, names = canonical(state, source)
    origin = Origin(source, names, ignored or Ignored())
    groups = split(state, origin)
    networks = _build(groups, origin)
    used = {origin.named(key): value for key, value in state.items()}
    check_finite({key: value for key, value in used.items() if key not in origin.ignored.keys}, source)
    return networks, groups.unused


# ---- which network a key belongs to ----------------------------------------------------------------------------


_TEMPORAL = re.compile(r".*_motion_module\.|(down_blocks|up_blocks|mid_block)\..*motion_modules\.")


@dataclass(frozen=True)
class Groups:
    """A file's tensors by network, keys without prefix; `prefixes` puts them back for messages."""

    weights: dict[str, State]
    prefixes: dict[str, str]
    unused: State


def split(state: State, origin: Origin) -> Groups:
    """Sorts the original's keys into networks; refuses keys without a home."""
    groups = Groups({}, part_prefixes(state), {})
    homeless = []
    for key, value in state.items():
        part, name = _home(key, groups.prefixes)
        if part == "appearance" and name.startswith("input_hint_block."):
            groups.unused[keys.APPEARANCE + name] = value
        elif DEAD.match(key):
            groups.unused[key] = value
        elif part is None:
            homeless.append(origin.named(key))
        else:
            groups.weights.setdefault(part, {})[name] = value
    if not groups.weights:
        raise UserError(f"{origin.source}: no checkpoint of ours (its first key is {homeless[:1]}); {SD15_FAMILY}")
    _refuse(origin.source, {"unknown": origin.ignored.rest(homeless)})
    return groups


def _home(key: str, prefixes: Mapping[str, str]) -> tuple[str | None, str]:
    """(network or None, key without the network's prefix); temporal modules also live inside the UNet."""
    part = next((part for part, prefix in prefixes.items() if prefix and key.startswith(prefix)), None)
    name = key.removeprefix(prefixes[part]) if part else key
    if part in ("unet", None) and _TEMPORAL.match(name):
        part = "motion"
    return part, name


def part_prefixes(state: Iterable[str]) -> dict[str, str]:
    """Prefix of every network; `control_model.` is the appearance branch if it has a decoder, else a ControlNet."""
    decoder = any(key.startswith(keys.CONTROL + "output_blocks.") for key in state)
    published = any(key.startswith(keys.CONTROL) for key in state)
    return {
        "unet": keys.UNET,
        "appearance": keys.CONTROL if decoder else keys.APPEARANCE,
        "pose_controlnet": keys.CONTROL if published and not decoder else keys.POSE,
        "vae": keys.VAE,
        "text_encoder": keys.TEXT,
        "motion": "",
    }


def _refuse(source: str, problems: Mapping[str, list[str]]) -> None:
    """One sentence with the first offending keys, if there are any."""
    said = [f"{len(found)} {what} ({', '.join(found[:3])})" for what, found in problems.items() if found]
    if said:
        only_unknown = not any(found for what, found in problems.items() if what != "unknown")
        other = ", or leave the unknown out with --ignore-unknown KEY" if only_unknown else ""
        raise UserError(f"{source}: {'; '.join(said)}; use a complete, unmodified checkpoint of this family{other}")


# ---- building --------------------------------------------------------------------------------------------------


def _build(groups: Groups, origin: Origin) -> dict[str, nn.Module]:
    """The networks, in the order of the table."""
    built: dict[str, Any] = {}
    for part, weights in groups.weights.items():
        network, modules = PLANS[part](weights, origin.source)
        own = ("conv_norm_out.", "conv_out.") if part == "appearance" else ()
        built[part] = fill(network, weights, modules, origin, groups.prefixes[part], own)
    unet, appearance = built.get("unet"), built.get("appearance")
    if appearance is not None:  # its own output layers were never stored: nothing reads them
        for layer in ("conv_norm_out", "conv_out"):
            given = getattr(unet if unet is not None else appearance, layer).state_dict()
            getattr(appearance, layer).load_state_dict({k: _real(v) for k, v in given.items()}, assign=True)
    check_fit(built, origin.source)
    return built


def _real(value: Tensor) -> Tensor:
    return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value.detach().clone()


def fill(
    network: nn.Module,
    weights: State,
    modules: keys.Modules,
    origin: Origin,
    prefix: str = "",
    absent: tuple[str, ...] = (),
) -> nn.Module:
    """Puts `weights` (their keys, as `modules` has them) into `network`, which has none yet.

    Refuses any difference in keys or shapes, except that our keys starting with one of `absent` may be missing.
    """
    table, expected = keys.reverse(modules), network.state_dict()
    ours: State = {}
    unknown, misshapen = [], []
    for key, value in weights.items():
        name = keys.translate(key, table)
        if name is None or name not in expected:
            unknown.append(origin.named(prefix + key))
            continue
        wanted = expected[name].shape
        if value.ndim == 4 and len(wanted) == 2 and value.shape[2:] == (1, 1):  # the VAE's attention: 1x1 convolutions
            value = value[:, :, 0, 0]
        if value.shape != wanted:
            misshapen.append(f"{origin.named(prefix + key)} is {list(value.shape)}, not {list(wanted)}")
        ours[name] = value
    lost = [name for name in expected if name not in ours and not name.startswith(absent)]
    missing = [prefix + (keys.translate(name, modules) or name) for name in lost]
    unknown = origin.ignored.rest(unknown)
    _refuse(origin.source, {"unknown": unknown, "missing": missing, "of another shape": misshapen})
    network.load_state_dict(ours, strict=not absent, assign=True)
    _restore_position_ids(network)
    return network.eval()


def _restore_position_ids(network: nn.Module) -> None:
    """CLIP's position numbers are no weights, so no file brings them to a network built without storage."""
    for module in network.modules():
        numbers = getattr(module, "position_ids", None)
        if isinstance(numbers, Tensor) and numbers.is_meta:
            module.register_buffer("position_ids", torch.arange(numbers.shape[-1])[None], persistent=False)
