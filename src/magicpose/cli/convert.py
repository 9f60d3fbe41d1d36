"""`magicpose convert`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Options:
    """What the command line takes; see docs/cli.md."""

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE...")]
    """checkpoint files of the original, Stable Diffusion 1.5, ControlNet, AnimateDiff or LoRA files, or diffusers
    folders; together they make one model, the last one that has a part wins"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """a name ending in .safetensors, .ckpt, .pth or .th: one file with the original's keys; any other: a folder"""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """default: as in the sources"""
    lora_scale: float = 1.0
    """strength of every LoRA"""
    overwrite: bool = False
    """replace the output if it exists"""
    ignore_unknown: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY")] = ()
    """a key that nothing knows, or a pattern ("*.extra"), to leave out; the output records it; may be repeated"""


def run(options: Options) -> None:
    from magicpose.checkpoints.original.paths import check_paths

    check_paths(options.sources, options.output, options.overwrite)
    from magicpose.checkpoints.convert import convert

    written = convert(
        options.sources, options.output, options.dtype, options.lora_scale, options.overwrite, options.ignore_unknown
    )
    print(f"{written} written", file=sys.stderr)
