"""Keys that the user names as of no use: a merging tool's leftovers do not cost the whole checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from magicpose.errors import UserError


class Ignored:
    """Patterns of unknown keys to leave out, and the keys they left out.

    Only what nothing else understands is asked about, so a pattern never takes a weight that is used.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self.keys: list[str] = []

    def rest(self, unknown: Iterable[str]) -> list[str]:
        """The unknown keys that no pattern names; the others are noted as left out."""
        refused = []
        for key in unknown:
            if any(fnmatchcase(key, pattern) for pattern in self.patterns):
                self.keys.append(key)
            else:
                refused.append(key)
        return refused

    def check_used(self) -> None:
        """Raises UserError for a pattern that named nothing: it was mistyped, or the key is a known one."""
        for pattern in self.patterns:
            if not any(fnmatchcase(key, pattern) for key in self.keys):
                raise UserError(f"--ignore-unknown {pattern}: the sources hold no such unknown key; leave it out")
