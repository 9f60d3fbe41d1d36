"""`magicpose bench`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/speed.md."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("bench")
    """folder for bench.json and bench.png"""
    size: int = 512
    """side of the frames in pixels"""
    more_sizes: tuple[int, ...] = (256,)
    """further sizes, measured with one mode and one frame"""
    modes: tuple[str, ...] = ("original", "fp32", "fp32-winograd", "bf16", "bf16-int8")
    """which to compare, in turns; also bf16-nhwc, bf16-compiled"""
    batch: int = 4
    """frames per network call"""
    rounds: int = 2
    """turns of every mode; the best time of each part counts"""
    threads: int | None = None
    """CPU threads; default: torch's own choice"""
    seed: int = 0
    """of the random weights and inputs"""
    tiny: bool = False
    """a trial of the bench itself on tiny networks"""
    overwrite: bool = False
    """replace the results of an earlier run"""


def run(options: Options) -> None:
    import torch

    from magicpose.bench import BenchSettings, run_bench
    from magicpose.bench.report import output_paths, table, write

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    settings = BenchSettings(
        options.size,
        options.more_sizes,
        modes=options.modes,
        batch=options.batch,
        rounds=options.rounds,
        width="tiny" if options.tiny else "sd15",
        seed=options.seed,
    )
    paths = output_paths(options.output, options.overwrite)
    result = run_bench(settings, lambda line: print(line, file=sys.stderr, flush=True))
    print(table(result))
    write(result, paths)
    print(*paths, sep="\n", file=sys.stderr)
