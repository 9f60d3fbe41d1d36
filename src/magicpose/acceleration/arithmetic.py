"""How convolutions and linear layers are computed on a CPU: one row per way, see docs/speed.md for what each gives."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import nn

from magicpose.acceleration.int8 import use_int8
from magicpose.acceleration.packed import use_packed
from magicpose.acceleration.replacement import Replacement
from magicpose.acceleration.winograd import use_winograd
from magicpose.errors import UserError
from magicpose.networks.model import MagicPoseModel

Arithmetic = Literal["plain", "winograd", "int8"]


def use_arithmetic(arithmetic: Arithmetic, model: MagicPoseModel, vae: Any) -> Replacement:
    """Exchanges layers of what runs once per step and frame; the result puts them back.

    plain: torch's own. winograd: 3x3 convolutions with fewer products, the autoencoder's too, and linear layers with
    packed weights; float32, exact to rounding. int8: UNet and ControlNet in 8-bit integers; inexact, the autoencoder is
    left alone. The appearance branch runs once per timestep and is always left alone.

    Raises:
        UserError: an unknown name, or not for this device or dtype.
    """
    if arithmetic not in get_args(Arithmetic):
        raise UserError(f"unknown arithmetic {arithmetic!r}: choose one of {', '.join(get_args(Arithmetic))}")
    if arithmetic == "plain":
        return Replacement([])
    weight = next(model.unet.parameters())
    if weight.device.type != "cpu":
        raise UserError(f"arithmetic {arithmetic} is for CPUs; leave it out on {weight.device.type}")
    networks: list[nn.Module] = [model.unet]
    if model.pose_controlnet is not None:
        networks.append(model.pose_controlnet)
    if arithmetic == "int8":
        return use_int8(networks)
    if weight.dtype != torch.float32:
        raise UserError("arithmetic winograd is for float32; choose --dtype float32 or arithmetic int8")
    return use_winograd([*networks, vae]) + use_packed(networks)
