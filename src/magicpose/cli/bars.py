"""Progress bars with an estimate of the remaining time per stage; only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from magicpose.progress import Progress


class Bars:
    """A `magicpose.progress.Reporter` on stderr. Lines are always printed, bars only to a terminal."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        if not sys.stderr.isatty():
            yield lambda done, total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = ("{task.description:<9}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        left = (TextColumn("left"), TimeRemainingColumn())
        with Bar(*columns, *left, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)
