"""What the bench found, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from magicpose.bench.measure import PARTS, PER_STEP, PER_TIMESTEP
from magicpose.bench.run import SHARING_FRAMES
from magicpose.errors import UserError
from magicpose.files import replacing

Result = dict[str, Any]

_WIDTH, _ROW, _LEFT, _RIGHT = 960, 44, 190, 190  # pixels
_COLOURS = {
    "step": "#888888",
    "bank": "#b07aa1",
    "pose": "#f28e2b",
    "conditional": "#4e79a7",
    "unconditional": "#76b7b2",
}


def table(result: Result) -> str:
    """For people."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    machine, settings = result["machine"], result["settings"]
    peaks = ", ".join(f"{dtype} {rate:.0f}" for dtype, rate in machine["peak_gmacs"].items())
    instructions = "/".join(machine["instructions"])
    yield f"{machine['cpu']}, {machine['threads']} threads, {instructions}, torch {machine['torch']}"
    yield f"measured peak of matrix products, G multiply-adds/s: {peaks}"
    yield f"{settings['size_px']} px, batch {settings['batch']}; a bank shared by {SHARING_FRAMES} frames"
    yield ""
    yield f"{'mode':<15}{'s/step':>8}{'faster':>8}{'of peak':>9}{'weights':>9}{'+ peak':>8} GiB {'PSNR':>7}"
    for name, row in result["modes"].items():
        faster = f"{row['times_faster']:.2f}x" if "times_faster" in row else "-"
        yield (
            f"{name:<15}{row['step_s']:>8.2f}{faster:>8}{row['share_of_peak']:>8.0%} {row['weights_gib']:>8.1f}"
            f"{row['added_gib']:>8.1f}     {row['psnr_db']:>6.1f}"
        )
    yield ""
    for name, row in result["modes"].items():
        parts = ", ".join(f"{part} {row['seconds'][part]:.2f}" for part in ("step", *PARTS) if part in row["seconds"])
        yield f"{name}: {parts} s"
        if "step_s_by_frames" in row:
            yield "  per step by frames: " + ", ".join(f"{n}: {s:.2f} s" for n, s in row["step_s_by_frames"].items())
    yield ""
    for name, presets in result["presets"].items():
        costs = (
            f"{preset} {row['seconds']:.0f} s" + (f" ({row['times_faster']:.1f}x)" if "times_faster" in row else "")
            for preset, row in presets.items()
        )
        yield f"finished frame, {name}: " + ", ".join(costs)
    for size, row in result["sizes"].items():
        yield f"{size} px, {settings['sizes_mode']}, one frame at a time: {row['step_s']:.2f} s/step"


def output_paths(folder: Path, overwrite: bool = False) -> tuple[Path, Path]:
    """`bench.json` and `bench.png` in `folder`; UserError if they are there and must not be replaced."""
    paths = folder / "bench.json", folder / "bench.png"
    for path in paths:
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists: choose another folder, or pass --overwrite")
    return paths


def write(result: Result, paths: tuple[Path, Path]) -> None:
    """The JSON and the picture, whole or not at all."""
    with replacing(paths[0]) as numbers, replacing(paths[1]) as picture:
        numbers.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        plot(result).save(picture, format="PNG")


def plot(result: Result) -> Image.Image:
    """Seconds per guided step and frame, one bar a mode, coloured by part."""
    modes = result["modes"]
    longest = max(row["step_s"] for row in modes.values())
    picture = Image.new("RGB", (_WIDTH, _ROW * (len(modes) + 2)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    machine = result["machine"]
    heading = f"{machine['cpu']}, {machine['threads']} threads, {result['settings']['size_px']} px: s per guided step"
    pen.text((12, 12), heading, "black", font)
    for index, (name, row) in enumerate(modes.items(), start=1):
        top = index * _ROW
        left = float(_LEFT)
        pen.text((12, top + 8), name, "black", font)
        for part, seconds in _step_parts(row):
            right = left + seconds / longest * (_WIDTH - _LEFT - _RIGHT)
            pen.rectangle((left, top + 2, right, top + _ROW - 10), _COLOURS[part])
            left = right
        faster = f"  {row['times_faster']:.1f}x" if "times_faster" in row else ""
        pen.text((left + 10, top + 8), f"{row['step_s']:.2f} s{faster}", "black", font)
    left = float(_LEFT)
    for part in (*PER_TIMESTEP, *PER_STEP):
        pen.rectangle((left, picture.height - 30, left + 14, picture.height - 16), _COLOURS[part])
        pen.text((left + 20, picture.height - 34), part, "black", font)
        left += 150
    return picture


def _step_parts(row: Result) -> list[tuple[str, float]]:
    """Where the seconds of one step go; the bank's are shared."""
    seconds = row["seconds"]
    if "step" in seconds:
        return [("step", seconds["step"])]
    return [("bank", seconds["bank"] / SHARING_FRAMES), *((part, seconds[part]) for part in PER_STEP)]
