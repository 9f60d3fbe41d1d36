"""The machine a number was measured on, and the memory a piece of work took."""

from __future__ import annotations

import ctypes
import gc
import platform
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import torch

# Best first: what decides the speed of matrix products on x86.
_INSTRUCTION_SETS = ("amx_int8", "amx_bf16", "amx_fp16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
_SIDE = 2048  # of the matrices whose product is the peak
_FIRST_SIDE, _REPEATS = 256, 5
_PATIENCE_S = 4.0  # for one size
GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """`peak_gmacs`: measured rate of large matrix products by dtype, in thousand million multiply-adds a second."""

    cpu: str
    instructions: list[str]
    threads: int
    memory_gib: float
    torch: str
    peak_gmacs: dict[str, float]


def this_machine(dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16)) -> Machine:
    """Measures the peaks (a second or two) and looks up the rest."""
    peaks = {str(dtype).removeprefix("torch."): round(matrix_peak(dtype), 1) for dtype in dtypes}
    memory = psutil.virtual_memory().total / GIB
    return Machine(
        _cpu_fact("model name") or platform.processor() or platform.machine(),
        [name for name in _INSTRUCTION_SETS if name in _cpu_fact("flags").split()],
        torch.get_num_threads(),
        round(memory, 1),
        torch.__version__,
        peaks,
    )


def matrix_peak(dtype: torch.dtype, side: int = _SIDE) -> float:
    """Thousand million multiply-adds a second of `side` x `side` products, the best of a few.

    Smaller products where the processor is slow at them: without bfloat16 instructions one of 2048 takes 16 seconds.
    """
    size, rate = min(_FIRST_SIDE, side), 0.0
    while True:
        seconds = _product_seconds(dtype, size)
        rate = max(rate, size**3 / seconds / 1e9)
        if size >= side or 8 * _REPEATS * seconds > _PATIENCE_S:
            return rate
        size *= 2


def _product_seconds(dtype: torch.dtype, side: int) -> float:
    left, right = (torch.randn(side, side).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    return best


def _cpu_fact(name: str) -> str:
    """The first value under `name` in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


class PeakMemory:
    """Resident memory that a `with` block adds at its peak, `added_gib`; weights that exist before do not count."""

    def __init__(self, interval_s: float = 0.01) -> None:
        self.interval_s = interval_s
        self.added_gib = 0.0
        self._process = psutil.Process()
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        gc.collect()
        _give_back_free_memory()
        self._before = self._process.memory_info().rss
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._watcher.join()

    def _watch(self) -> None:
        while True:
            added = (self._process.memory_info().rss - self._before) / GIB
            self.added_gib = max(self.added_gib, added)
            if self._stop.wait(self.interval_s):
                return


def _give_back_free_memory() -> None:
    """Makes glibc release its unused memory, which would hide the next peak."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
