"""Stages of a long job: who listens, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from magicpose.progress import Progress, Reporter


@dataclass(frozen=True)
class Work:
    """The listener, and seconds by stage."""

    reporter: Reporter
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A stage runs inside the `with` block and tells its progress to what it is given."""
        began = time.perf_counter()
        with self.reporter.stage(name) as progress:
            yield progress
        self.timings[name] = time.perf_counter() - began

    def say(self, line: str) -> None:
        """Something worth one line."""
        self.reporter.say(line)
