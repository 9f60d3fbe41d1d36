"""How long work reports its progress, whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Progress = Callable[[int, int], None]  # (done, in all)


class Reporter(Protocol):
    """A listener: the command line shows bars, a library call usually nothing."""

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """A stage of the work runs inside the `with` block and calls what it is given."""

    def say(self, line: str) -> None:
        """Shows one line of text."""


class Silent:
    """A listener that ignores everything."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        yield lambda done, total: None

    def say(self, line: str) -> None:
        pass
