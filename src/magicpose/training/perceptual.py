"""ST-LPIPS (Ghildyal & Liu, ECCV 2022): shift-tolerant LPIPS, whole network and heads in one package.

Only the weights of `stlpips-pytorch` are used: its code needs torchvision and IPython, its wheel is pure data
otherwise. The network is AlexNet's five convolutions with blur-pooling.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magicpose.errors import UserError

PACKAGE = "stlpips_pytorch"
WEIGHTS = "weights/vST0.0/alex_shift_tolerant.pth"
_CONVOLUTIONS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
_PADDING = (2, 2, 1, 1, 1)


class ShiftTolerantLPIPS(nn.Module):
    """Perceptual distance of picture pairs [B, 3, H, W] in [-1, 1] -> [B]; gradients flow to both."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("shift", state["scaling_layer.shift"])
        self.register_buffer("scale", state["scaling_layer.scale"])
        self.convolutions = nn.ModuleList()
        for name, padding in zip(_CONVOLUTIONS, _PADDING, strict=True):
            weight = state[f"net.{name}.weight"]
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=padding)
            layer.load_state_dict({"weight": weight, "bias": state[f"net.{name}.bias"]})
            self.convolutions.append(layer)
        self.heads = nn.ParameterList([state[f"lin{k}.model.1.weight"] for k in range(len(_CONVOLUTIONS))])
        binomial = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("blur", torch.outer(binomial, binomial)[None, None] / 16)
        self.requires_grad_(False).eval()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """[B, 3, H, W] twice -> [B]"""
        distance = torch.zeros(len(first), device=first.device)
        for head, a, b in zip(self.heads, self._features(first), self._features(second), strict=True):
            difference = (F.normalize(a, eps=1e-10) - F.normalize(b, eps=1e-10)).square()
            distance = distance + F.conv2d(difference, head).mean(dim=(1, 2, 3))
        return distance

    def _features(self, images: Tensor) -> list[Tensor]:
        x = (images - self.get_buffer("shift")) / self.get_buffer("scale")
        first, second, *rest = self.convolutions
        features = [F.relu(self._halve(first(x)))]
        features.append(F.relu(second(self._halve(F.max_pool2d(features[-1], 3, stride=1)))))
        x = self._halve(F.max_pool2d(features[-1], 3, stride=1))
        for convolution in rest:
            x = F.relu(convolution(x))
            features.append(x)
        return [feature.float() for feature in features]

    def _halve(self, x: Tensor) -> Tensor:
        """Blur, then every second pixel: what makes the network tolerate shifts."""
        kernel = self.get_buffer("blur").to(x.dtype).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def load_perceptual() -> ShiftTolerantLPIPS:
    """The network with its published weights, found in the installed package without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / WEIGHTS if spec and spec.submodule_search_locations else None
    if path is None or not path.is_file():
        raise UserError(
            "the perceptual loss needs the weights in stlpips-pytorch: "
            "pip install --no-deps stlpips-pytorch, or set loss.perceptual_weight to 0"
        )
    return ShiftTolerantLPIPS(torch.load(path, map_location="cpu", weights_only=True))
