"""The output folder of a run: its settings, log, checkpoints, sheets and export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicpose.errors import UserError
from magicpose.files import replacing, replacing_folder
from magicpose.media.files import explained
from magicpose.training.checkpoint import latest_checkpoint
from magicpose.training.config import TrainConfig, as_plain, build

# Settings that change neither the weights nor what is logged about them.
_MAY_CHANGE = {"compile", "checkpoint_minutes", "output", "log_steps", "validation_steps", "gradient_checkpointing"}


@dataclass(frozen=True)
class RunFolder:
    """`config.yaml` (resolved), `log.jsonl`, `checkpoints/`, `sheets/`, `export/`."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def newest(self) -> Path | None:
        """The newest complete checkpoint."""
        return latest_checkpoint(self.checkpoints)

    def sheet(self, step: int) -> Path:
        """Where the validation pictures of a step go."""
        return self.path / "sheets" / f"step-{step:06d}.png"

    def check(self, config: TrainConfig) -> None:
        """UserError where the folder holds the checkpoints of a run with other settings."""
        stored = self.path / "config.yaml"
        if not stored.exists() or self.newest() is None:
            return
        import yaml

        # Settings that did not exist then have their defaults.
        then = as_plain(build(TrainConfig, yaml.safe_load(stored.read_text()), str(stored)))
        now = as_plain(config)
        changed = [key for key in now if key not in _MAY_CHANGE and then[key] != now[key]]
        if changed:
            raise UserError(
                f"{self.path} holds a run with another {changed[0]!r}: use its settings, or another output folder"
            )

    def write_config(self, config: TrainConfig) -> None:
        """The resolved settings."""
        import yaml

        target = self.path / "config.yaml"
        with explained(target), replacing(target) as draft:
            draft.write_text(yaml.safe_dump(as_plain(config), sort_keys=False))

    def log(self, line: dict[str, Any]) -> None:
        """One more line of `log.jsonl`."""
        with (self.path / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def trim_log(self, step: int) -> None:
        """Drops lines after `step`: these steps are made again."""
        path = self.path / "log.jsonl"
        if not path.exists():
            return
        lines = path.read_text().splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        with replacing(path) as draft:
            draft.write_text("".join(line + "\n" for line in kept))

    def export(self, write: Callable[[Path], None]) -> Path:
        """`export/` as `write` fills it, put in place at once."""
        target = self.path / "export"
        for leftover in self.path.glob(".export.*.part"):  # of a process that was killed while it wrote
            shutil.rmtree(leftover, ignore_errors=True)
        with explained(target), replacing_folder(target) as draft:
            write(draft)
        return target
