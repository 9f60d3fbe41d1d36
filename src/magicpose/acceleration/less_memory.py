"""Going on when memory runs out: fewer frames at a time, then one last resort."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from magicpose.errors import UserError

Result = TypeVar("Result")

# what the allocators of CPUs and Apple GPUs say; CUDA has its own exception
_COMPLAINTS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is some allocator's way of saying so."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _COMPLAINTS)
    )


def with_less_memory(
    attempt: Callable[[int], Result],
    batch: int,
    say: Callable[[str], None],
    last_resort: Callable[[], str | None] = lambda: None,
) -> Result:
    """`attempt(batch)`, again with half the batch each time memory runs out, down to 1, then after `last_resort`.

    `last_resort` switches something on and says what, or None where there is nothing left to try. `attempt` must go
    on where it stopped, or start anew. Raises UserError when even that is too much.
    """
    resort_left = True
    while True:
        try:
            return attempt(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        _release()  # after the `except` block: until here the traceback keeps the failed attempt's tensors alive
        if batch > 1:
            batch //= 2
            say(f"out of memory: going on with {batch} at a time")
        elif resort_left and (what := last_resort()) is not None:
            resort_left = False
            say(f"out of memory: going on with {what}")
        else:
            raise UserError("not enough memory for even one frame: choose a smaller --size or close other programs")


def _release() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
