"""What each kind of LoRA makes of a weight, in float32: LoRA, LoCon, DoRA, LoHa, LoKr, (IA)3, and plain differences.

A rank-r LoRA adds alpha / r * up @ down (Hu et al. 2021); LoHa multiplies two such products (Hyeon-Woo et al. 2022),
LoKr takes a Kronecker product (Edalati et al. 2022, as LyCORIS writes it), DoRA gives the sum another length per
output (Liu et al. 2024, eq. 5, as PEFT merges it: `scale` acts on the direction, the magnitude is the file's), and
(IA)3 multiplies inputs or outputs (Liu et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
_BIAS = frozenset({"diff_b", "b_norm", "up_bias"})


class Misfit(ValueError):
    """Tensors that do not go with the layer; the message says which."""


class Broken(Misfit):
    """Tensors that do not go with each other, whatever the layer."""


@dataclass(frozen=True)
class Kind:
    """Tensors that must be there, that may be, and their new weight (weight, tensors, scale, alpha / rank)."""

    needs: frozenset[str]
    may: frozenset[str]
    merge: Callable[[Tensor, Tensors, float, float | None], Tensor]


def merged(weight: Tensor, bias: Tensor | None, tensors: Tensors, scale: float, ratio: float | None) -> list[Tensor]:
    """A layer's new weight, and its new bias where it has one.

    Args:
        weight: of a linear layer, a convolution or a norm, any dtype.
        bias: the layer's, or None.
        tensors: of one layer by what they are (`lora_layers`).
        scale: the strength that the user wants.
        ratio: alpha / rank where the file says it elsewhere than in an `alpha` of the layer.

    Raises:
        Misfit: a tensor is of a shape that does not fit; `Broken` where one is missing, superfluous or senseless.
    """
    exact = {name: value.to(torch.promote_types(value.dtype, torch.float32)) for name, value in tensors.items()}
    own = {name: value for name, value in exact.items() if name not in _BIAS}
    if set(own) == {"alpha"} and len(exact) > 1:  # a bias alone is changed
        own = {}
    base = weight.to(torch.promote_types(weight.dtype, torch.float32))
    new = _kind(own).merge(base, own, scale, ratio) if own else base
    results = [new.to(weight.dtype)]
    new_bias = _bias(bias, exact, scale, ratio)
    return results if new_bias is None else [*results, new_bias]


def _kind(tensors: Tensors) -> Kind:
    given = set(tensors)
    for kind in KINDS:
        if kind.needs <= given:
            if given - kind.needs - kind.may:
                raise Broken(f"{min(given - kind.needs - kind.may)} does not belong to its other tensors")
            return kind
    kind = max(KINDS, key=lambda kind: len(kind.needs & given) - len(given - kind.needs - kind.may))
    raise Broken(f"its {min(kind.needs - given)} is missing")


def alpha_over_rank(tensors: Tensors, rank: int | None, given: float | None) -> float:
    """alpha / rank; `given`, else 1, where the layer has no alpha. Misfit for an alpha that is zero or no number."""
    if "alpha" not in tensors:
        return 1.0 if given is None else given
    alpha = tensors["alpha"]
    if alpha.numel() != 1 or not bool(alpha.isfinite().all()) or float(alpha) == 0:
        shown = float(alpha) if alpha.numel() == 1 else f"{list(alpha.shape)}"
        raise Broken(f"its alpha is {shown}, so the layer would not be changed as it was trained")
    return float(alpha) / rank if rank else 1.0


def _scaled(delta: Tensor, tensors: Tensors, rank: int | None, given: float | None) -> Tensor:
    scalar = tensors.get("scalar", torch.ones(())).reshape(())
    return delta * (alpha_over_rank(tensors, rank, given) * scalar)


def _added(weight: Tensor, delta: Tensor, tensors: Tensors, scale: float) -> Tensor:
    """weight + scale * delta, at the length that DoRA's tensors say."""
    new = weight + scale * delta.to(weight.dtype)
    if "magnitude" in tensors:
        return new * _per_output(tensors["magnitude"].reshape(-1), new) / _lengths(new, 0)
    if "dora_scale" in tensors:
        length = tensors["dora_scale"]
        if length.numel() == len(new) and (length.ndim == 1 or length.shape[0] == len(new)):
            return new * _per_output(length.reshape(-1), new) / _lengths(new, 0)
        if new.ndim > 1 and length.ndim > 1 and length.numel() == length.shape[1] == new.shape[1]:
            return new * length.reshape(1, -1, *[1] * (new.ndim - 2)) / _lengths(new, 1)
        raise Misfit(f"its dora_scale is {list(length.shape)}, the weight {list(new.shape)}")
    return new


def _lengths(weight: Tensor, axis: int) -> Tensor:
    """L2 norm of what belongs to one output (axis 0) or one input (axis 1)."""
    others = tuple(n for n in range(weight.ndim) if n != axis)
    return torch.linalg.vector_norm(weight, dim=others, keepdim=True)


def _per_output(values: Tensor, weight: Tensor) -> Tensor:
    if len(values) != len(weight):
        raise Misfit(f"its magnitude has {len(values)} numbers, the weight {len(weight)} outputs")
    return values.reshape(-1, *[1] * (weight.ndim - 1))


def _shaped(delta: Tensor, weight: Tensor, flat: bool = False) -> Tensor:
    """`delta` as `weight` has it: a linear layer is a 1x1 convolution; `flat`: the kernel may be in the columns."""
    same = _kernelless(delta.shape) == _kernelless(weight.shape)
    if same or (flat and delta.ndim == 2 and len(delta) == len(weight) and delta.numel() == weight.numel()):
        return delta.reshape(weight.shape)
    raise Misfit(f"it changes {list(delta.shape)}, the weight is {list(weight.shape)}")


def _kernelless(shape: torch.Size) -> tuple[int, ...]:
    return tuple(shape[:2]) if len(shape) == 4 and shape[2:] == (1, 1) else tuple(shape)


def _matrix(tensor: Tensor) -> Tensor:
    """[a, b] of a linear layer's factor or of a 1x1 convolution's."""
    if tensor.ndim < 2 or tensor.flatten(1).shape[1] != tensor.shape[1]:
        raise Broken(f"a factor is {list(tensor.shape)}, so no matrix")
    return tensor.flatten(1)


# ---- the kinds -------------------------------------------------------------------------------------------------


def _lora(weight: Tensor, t: Tensors, scale: float, ratio: float | None) -> Tensor:
    up, down, rank = _matrix(t["up"]), t["down"], len(t["down"])
    if rank == 0:
        raise Broken("its rank is 0")
    if "mid" in t:
        delta = torch.einsum("ijkl,pi,jr->prkl", t["mid"], up, _matrix(down))
    else:
        delta = (up @ down.flatten(1)).reshape(len(up), *down.shape[1:])
    return _added(weight, _scaled(_shaped(delta, weight), t, rank, ratio), t, scale)


def _loha(weight: Tensor, t: Tensors, scale: float, ratio: float | None) -> Tensor:
    if ("hada_t1" in t) != ("hada_t2" in t):
        raise Broken("one of hada_t1 and hada_t2 is missing")
    first, second = (_factored(t[f"hada_w{n}_a"], t[f"hada_w{n}_b"], t.get(f"hada_t{n}")) for n in "12")
    delta = _shaped(first * second, weight, flat=True)
    return _added(weight, _scaled(delta, t, len(t["hada_w1_b"]), ratio), t, scale)


def _factored(a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    """a @ b, or Tucker's form with a core [r, r, kh, kw]; then `a` is [r, out]."""
    return a @ b if core is None else torch.einsum("ijkl,ip,jr->prkl", core, a, b).contiguous()  # `kron` views it


def _lokr(weight: Tensor, t: Tensors, scale: float, ratio: float | None) -> Tensor:
    rank = next((len(t[name]) for name in ("lokr_w1_b", "lokr_w2_b") if name in t), None)
    first, second = _kronecker_factor(t, "lokr_w1"), _kronecker_factor(t, "lokr_w2")
    delta = torch.kron(first[..., None, None] if second.ndim == 4 else first, second)
    return _added(weight, _scaled(_shaped(delta, weight, flat=True), t, rank, ratio), t, scale)


def _kronecker_factor(t: Tensors, name: str) -> Tensor:
    parts = {f"{name}_a", f"{name}_b"} & set(t)
    if (name in t) == bool(parts) or len(parts) == 1:
        raise Broken(f"{name} must be there whole or as {name}_a and {name}_b")
    return t[name] if name in t else _factored(t[f"{name}_a"], t[f"{name}_b"], t.get(name.replace("_w", "_t")))


def _difference(weight: Tensor, t: Tensors, scale: float, ratio: float | None) -> Tensor:
    del ratio
    return weight + scale * _shaped(t["diff"] if "diff" in t else t["w_norm"], weight)


def _ia3(weight: Tensor, t: Tensors, scale: float, ratio: float | None) -> Tensor:
    """LyCORIS: the factor minus one, of the inputs or the outputs as `on_input` says."""
    del ratio
    axis = int(bool(t["on_input"].reshape(())))
    values = t["ia3"].reshape(-1)
    if weight.ndim < 2 or len(values) != weight.shape[axis]:
        raise Misfit(f"it multiplies {len(values)} channels, the weight has {list(weight.shape)}")
    return weight * (1 + scale * values.reshape(*[1] * axis, -1, *[1] * (weight.ndim - 1 - axis)))


def _ia3_of_peft(weight: Tensor, t: Tensors, scale: float, ratio: float | None) -> Tensor:
    """The factor itself, of a linear layer: [out, 1] or [1, in]."""
    del ratio
    factor = t["ia3_l"]
    if weight.ndim != 2:  # one number a channel: whether of the inputs or the outputs stands in PEFT's settings only
        raise Misfit("its ia3_l may be of the inputs or of the outputs; merge it with PEFT")
    if factor.shape not in ((len(weight), 1), (1, weight.shape[1])):
        raise Misfit(f"its ia3_l is {list(factor.shape)}, the weight {list(weight.shape)}")
    return weight * (1 + scale * (factor - 1))


def _bias(bias: Tensor | None, t: Tensors, scale: float, ratio: float | None) -> Tensor | None:
    """The new bias; None where it stays."""
    given = [name for name in ("diff_b", "b_norm", "up_bias") if name in t]
    outputs = "ia3_l" in t and len(t["ia3_l"]) != 1  # PEFT's (IA)3 of a linear layer's outputs: its bias too
    if not given and not (outputs and bias is not None):
        return None
    if bias is None or any(t[name].shape != bias.shape for name in given):
        raise Misfit(f"its {given[0]} has no bias of {list(t[given[0]].shape)} to go to")
    new = bias.to(torch.promote_types(bias.dtype, torch.float32))
    if outputs:
        new = new * (1 + scale * (t["ia3_l"].reshape(new.shape) - 1))
    for name in given:
        if name == "up_bias" and "down" not in t:
            raise Broken("its down is missing")
        factor = alpha_over_rank(t, len(t["down"]), ratio) if name == "up_bias" else 1.0
        new = new + scale * factor * t[name]
    return new.to(bias.dtype)


_LENGTH = frozenset({"alpha", "scalar", "dora_scale"})
_HADAMARD = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
_KRONECKER = frozenset({"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"})

KINDS = (
    Kind(frozenset({"down", "up"}), _LENGTH | {"mid", "magnitude"}, _lora),
    Kind(_HADAMARD, _LENGTH | {"hada_t1", "hada_t2"}, _loha),
    Kind(frozenset({"lokr_w1"}), _LENGTH | _KRONECKER, _lokr),
    Kind(frozenset({"lokr_w1_a"}), _LENGTH | _KRONECKER, _lokr),
    Kind(frozenset({"ia3", "on_input"}), frozenset(), _ia3),
    Kind(frozenset({"ia3_l"}), frozenset(), _ia3_of_peft),
    Kind(frozenset({"diff"}), frozenset({"alpha"}), _difference),
    Kind(frozenset({"w_norm"}), frozenset({"alpha"}), _difference),
)
