"""Stepping down when memory runs out."""

from __future__ import annotations

import pytest
import torch

from magicpose.acceleration.less_memory import is_out_of_memory, with_less_memory
from magicpose.errors import UserError

CPU_COMPLAINT = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError(CPU_COMPLAINT), torch.OutOfMemoryError("CUDA out of memory.")]
)
def test_half_the_batch_each_time(error: Exception) -> None:
    tried, said = [], []

    def attempt(batch: int) -> str:
        tried.append(batch)
        if batch > 2:
            raise error
        return "done"

    assert with_less_memory(attempt, 8, said.append) == "done"
    assert tried == [8, 4, 2]
    assert said == ["out of memory: going on with 4 at a time", "out of memory: going on with 2 at a time"]


def test_then_the_last_resort_once_then_a_sentence() -> None:
    tried, said = [], []

    def attempt(batch: int) -> None:
        tried.append(batch)
        raise MemoryError

    with pytest.raises(UserError, match="--size"):
        with_less_memory(attempt, 2, said.append, lambda: "tiles")
    assert tried == [2, 1, 1]
    assert said[-1].endswith("tiles")


def test_other_errors_pass() -> None:
    def attempt(batch: int) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        with_less_memory(attempt, 8, lambda line: None)


def test_a_real_refusal_of_the_cpu_allocator_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
