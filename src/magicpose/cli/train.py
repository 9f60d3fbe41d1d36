"""`magicpose train`"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from magicpose.errors import UserError


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/training.md."""

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """a YAML file such as those in configs/"""
    overrides: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE...")] = ()
    """settings that win over the file, such as optimizer.learning_rate=1e-4"""
    seed: int | None = None
    """of all that is drawn at random, in place of the file's"""
    dry_run: bool = False
    """say what would be trained (data, parameters, memory, steps) and write nothing"""
    export_only: bool = False
    """make no step, only turn the newest checkpoint of an unfinished run into networks"""


def run(options: Options) -> None:
    from magicpose.cli.arguments import parse_overrides
    from magicpose.errors import require
    from magicpose.training.config import load_config

    require("accelerate", "yaml")
    overrides = parse_overrides(options.overrides) | ({} if options.seed is None else {"seed": options.seed})
    config = load_config(options.config, overrides)  # before the seconds that torch takes to load
    check_exist({"data.train": config.data.train, "data.validation": config.data.validation})
    check_exist({f"init[{n}]": folder for n, folder in enumerate(config.init)})
    if options.dry_run:
        from magicpose.training.dry_run import describe

        print("\n".join(describe(config)))
        return
    from magicpose.cli.bars import Bars
    from magicpose.training.loop import train

    folder = train(config, options.export_only, Bars())
    print(f"{folder} holds the trained networks", file=sys.stderr)


def check_exist(paths: Mapping[str, Path]) -> None:
    """Raises UserError, by the setting's name, for a path that is not there; before torch is imported."""
    for setting, path in paths.items():
        if not path.exists():
            raise UserError(f"{setting}: there is no {path}; name a folder that exists")


def interrupted(options: Options) -> str:
    """What to say after Ctrl-C."""
    return "stopped; run the same command again to go on from the newest checkpoint"
