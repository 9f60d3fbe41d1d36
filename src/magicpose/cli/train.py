"""`magicpose train`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/training.md."""

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """a YAML file such as those in configs/"""
    overrides: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE...")] = ()
    """settings that win over the file, such as optimizer.learning_rate=1e-4"""
    export_only: bool = False
    """make no step, only turn the newest checkpoint of an unfinished run into networks"""


def run(options: Options) -> None:
    from magicpose.cli.arguments import parse_overrides
    from magicpose.errors import require
    from magicpose.training.config import load_config

    require("accelerate", "yaml")
    config = load_config(options.config, parse_overrides(options.overrides))  # before the seconds that torch takes
    from magicpose.training.loop import train

    folder = train(config, options.export_only)
    print(f"{folder} holds the trained networks", file=sys.stderr)


def interrupted(options: Options) -> str:
    """What to say after Ctrl-C."""
    return "stopped; run the same command again to go on from the newest checkpoint"
