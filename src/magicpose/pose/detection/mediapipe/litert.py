"""One `.tflite` network of the package, run by LiteRT on the CPU."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FOLDER = resources.files("magicpose") / "weights" / "mediapipe"


def available_cores() -> int:
    """Cores this process may use, at most four: these small nets gain nothing from more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


class Network:
    """`name`.tflite with one picture as input; loaded when first called. Not for several threads at once."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def _interpreter(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        content = (FOLDER / f"{self.name}.tflite").read_bytes()
        with _without_chatter():
            interpreter = Interpreter(model_content=content, num_threads=available_cores())
            interpreter.allocate_tensors()
        return interpreter

    @cached_property
    def size_px(self) -> int:
        """Side of the square input."""
        return int(self._interpreter.get_input_details()[0]["shape"][1])

    def __call__(self, picture: Any, low: float = 0.0) -> list[Floats]:
        """The outputs in file order for an RGB picture [size_px, size_px, 3] whose 0..255 becomes low..1."""
        pixels = np.asarray(picture, np.float32) * ((1 - low) / 255) + low
        net = self._interpreter
        net.set_tensor(net.get_input_details()[0]["index"], pixels[None])
        net.invoke()
        return [np.array(net.get_tensor(output["index"])[0]) for output in net.get_output_details()]


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep back what LiteRT writes to the error stream at level INFO, for which it has no switch."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not line.startswith(b"INFO:")))


def fingerprint() -> str:
    """A short hash of all networks in the folder: results made by other weights are other results."""
    digest = hashlib.sha256()
    for item in sorted(FOLDER.iterdir(), key=lambda item: item.name):
        if item.name.endswith(".tflite"):
            digest.update(hashlib.sha256(item.read_bytes()).digest())
    return digest.hexdigest()[:12]
