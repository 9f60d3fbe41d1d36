"""The training curve of the embedded model: `pip install matplotlib`, then

    python runs/training_curve.py OUT.png out/tiny/joint out/tiny/pose ...

One panel of losses (means of the logged steps) and one of the validation people's PSNR, the runs one after the other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure


def main(target: Path, runs: list[Path]) -> None:
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    losses, quality = figure.subplots(1, 2)
    first = 0
    for run in runs:
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        steps = [first + line["step"] for line in log if "loss" in line]
        losses.plot(steps, [line["loss"] for line in log if "loss" in line], label=run.name)
        scored = [line for line in log if any(key.startswith("psnr_s") for key in line)]
        for key in sorted({key for line in scored for key in line if key.startswith("psnr_s")}):
            at = [first + line["step"] for line in scored]
            quality.plot(at, [line[key] for line in scored], "o-", label=f"{run.name}, guidance {key[6:]}")
        first += max(line["step"] for line in log)
    losses.set(xlabel="step", ylabel="loss (v-prediction)", yscale="log")
    quality.set(xlabel="step", ylabel="PSNR of 8 held-out people, dB")
    for panel in (losses, quality):
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
