"""Layers of a network exchanged for quicker ones with the same weights, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType

from torch import nn


class Replacement:
    """Other layers at work in a network, until `remove` or the end of a `with` block."""

    def __init__(self, taken: list[tuple[nn.Module, str, nn.Module]]) -> None:
        self._taken = taken

    def __len__(self) -> int:
        """How many layers were exchanged."""
        return len(self._taken)

    def __add__(self, later: Replacement) -> Replacement:
        """Both as one, to be used in their place."""
        return Replacement(self._taken + later._taken)

    def remove(self) -> None:
        """Gives the network its own layers back; a second call does nothing."""
        while self._taken:
            parent, name, layer = self._taken.pop()
            setattr(parent, name, layer)

    def __enter__(self) -> Replacement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def replace_layers(networks: Iterable[nn.Module], make: Callable[[nn.Module], nn.Module | None]) -> Replacement:
    """Puts `make(layer)` in the place of every layer of `networks`, except where it is None.

    New layers should hold the same parameters under the same names: then `state_dict` and saving stay as they were.
    """
    taken = []
    for network in networks:
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                quicker = make(layer)
                if quicker is not None:
                    quicker.train(layer.training)
                    setattr(parent, name, quicker)
                    taken.append((parent, name, layer))
    return Replacement(taken)
