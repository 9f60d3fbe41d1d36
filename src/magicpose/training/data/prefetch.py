"""Batches made ahead by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def prefetch(make: Callable[[int], T], first: int, last: int, ahead: int = 4) -> Iterator[tuple[int, T]]:
    """`(step, make(step))` for first <= step < last, prepared by a thread a few steps ahead.

    An exception of `make` is raised where its step would have come.
    """
    ready: queue.Queue[tuple[int, T] | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: tuple[int, T] | BaseException) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for step in range(first, last):
                put((step, make(step)))
                if stop.is_set():
                    return
        except Exception as error:  # handed to the training thread, which raises it
            put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(first, last):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
