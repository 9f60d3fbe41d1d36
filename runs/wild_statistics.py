"""How near the styles of `synthetic_people` are to photographs, those of scikit-image's wheel: docs/data.md's table."""

from __future__ import annotations

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from skimage import data

from synthetic_people.clip import render_clip

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
FRAMINGS = ("half", "bust", "head", "bust", "full")
FIRST_SEED = 9_000_000


def photographs(size: int) -> list[NDArray[np.uint8]]:
    found = []
    for name in PHOTOGRAPHS:
        whole = getattr(data, name)()
        side = min(whole.shape[:2])
        top, left = (whole.shape[0] - side) // 2, (whole.shape[1] - side) // 2
        square = cv2.resize(whole[top : top + side, left : left + side], (2 * size,) * 2, interpolation=cv2.INTER_AREA)
        found.append(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
        found += [square[y : y + size, x : x + size] for y in (0, size) for x in (0, size)]
    return found


def measure(picture: NDArray[np.uint8]) -> dict[str, float]:
    grey, n = picture.astype(float) @ [0.299, 0.587, 0.114], len(picture)
    window = np.outer(np.hanning(n), np.hanning(n))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    reach = np.hypot(np.fft.fftfreq(n), np.fft.fftfreq(n)[:, None]) * n
    rings = [(reach >= r) & (reach < r * 1.25) for r in np.geomspace(3, 0.4 * n, 14)]
    x, y = (np.log([a[ring].mean() for ring in rings]) for a in (reach, power + 1e-3))
    slope = np.polyfit(x, y, 1)[0]
    colours = np.bincount((picture // 32).astype(int).reshape(-1, 3) @ [64, 8, 1], minlength=512) / n**2
    mean, square = (cv2.blur(g, (9, 9)) for g in (grey, grey**2))
    laplace = cv2.filter2D(grey, -1, np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]))
    return {
        "slope of the power spectrum": slope,
        "colours (2^entropy of 512)": 2 ** -(colours[colours > 0] @ np.log2(colours[colours > 0])),
        "local contrast": float((np.sqrt((square - mean**2).clip(0)) / (mean + 8)).mean()),
        "noise, grey levels": float(np.median(np.abs(laplace)) / 0.6745 / 6),  # after Immerkaer 1996
    }


def main(pictures: int = 120, size: int = 128) -> None:
    rows = {"photographs": photographs(size)}
    for style in ("plain", "full", "wild"):
        clips = (render_clip(FIRST_SEED + k, 1, size, FRAMINGS[k % 5], style) for k in range(pictures))  # type: ignore[arg-type]
        rows[style] = [clip.frames[0] for clip in clips]
    for name, shown in rows.items():
        found = [measure(picture) for picture in shown]
        columns = [[row[key] for row in found] for key in found[0]]
        cells = " | ".join(f"{np.mean(c):.2f} ± {np.std(c):.2f}" for c in columns)
        print(f"| {name} ({len(shown)}) | {cells} |")


if __name__ == "__main__":
    tyro.cli(main)
