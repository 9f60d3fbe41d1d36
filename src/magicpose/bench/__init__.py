"""Speed and memory, measured: the original's loop, re-created, against ours, on this machine."""

from magicpose.bench.run import BenchSettings, run_bench

__all__ = ["BenchSettings", "run_bench"]
