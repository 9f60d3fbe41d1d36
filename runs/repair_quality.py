"""What repair does to tracks that the embedded detector really made: docs/retargeting.md's last table.

    python runs/repair_quality.py [--clips 24] [--frames 24] [--size 256]

Synthetic people at 24 frames per second, whose keypoints are known exactly. PCK@0.2 of the visible body joints
(unit: the trunk, as in runs/detector_quality.py), and the mean acceleration of the points that were seen in three
frames in a row, raw and repaired, beside that of the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from detector_quality import _eyes, _palm, _trunk
from numpy.typing import NDArray

from magicpose.pose.detection.mediapipe.body import MediaPipeDetector
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.repair import repair
from synthetic_people.clip import render_clip

FRAMINGS = ("full", "half", "bust", "head")
PARTS = {"body": slice(0, 18), "hands": slice(18, 60), "face": slice(60, 130)}
SEEN = 0.3


def acceleration(points: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """|x[t-1] - 2 x[t] + x[t+1]| in pixels for [T, K, 3], where `seen` [T, K] holds in all three frames."""
    second = np.linalg.norm(points[:-2, :, :2] - 2.0 * points[1:-1, :, :2] + points[2:, :, :2], axis=-1)
    values: NDArray[np.float64] = second[seen[:-2] & seen[1:-1] & seen[2:]]
    return values


def errors(points: NDArray[np.float32], seen: NDArray[np.bool_], truth: Iterable[Pose]) -> dict[str, list[float]]:
    """Per part, mean distances to the truth in its unit, one per frame that shows it: [T, 130, 3] and `seen` [T, 130].

    Units and the visible share that is asked for as in runs/detector_quality.py.
    """
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for t, pose in enumerate(truth):
        units = (("body", 0, _trunk(pose)), ("hands", 18, _palm(pose.left_hand)), ("hands", 39, _palm(pose.right_hand)))
        for part, start, unit in (*units, ("face", 60, _eyes(pose))):
            rows = slice(start, start + {"body": 18, "hands": 21, "face": 70}[part])
            real = pose.stacked()[rows]
            visible = real[:, 2] > 0.5
            there = visible & seen[t, rows]
            if there.any() and unit >= 2 and (part == "body" or visible.mean() > 0.6):
                away = np.linalg.norm(points[t, rows, :2] - real[:, :2], axis=1)
                found[part].append(float(away[there].mean()) / unit)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=10_700_000)
    arguments = parser.parse_args()
    right: dict[str, list[bool]] = {"raw": [], "repaired": []}
    away: dict[str, dict[str, list[float]]] = {name: {part: [] for part in PARTS} for name in right}
    moved: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        part: {"raw": [], "repaired": [], "truth": []} for part in PARTS
    }
    for n in range(arguments.clips):
        clip = render_clip(arguments.seed + n, arguments.frames, arguments.size, FRAMINGS[n % len(FRAMINGS)], fps=24.0)
        detector = MediaPipeDetector(max_people=1, follow=True)
        found = [people[0] if people else Pose() for people in map(detector, clip.frames)]
        raw = PoseTrack(tuple(found), clip.track.size, 24.0)
        tracks = {"raw": raw.stacked(), "repaired": repair(raw).stacked(), "truth": clip.track.stacked()}
        both = (tracks["raw"][..., 2] >= SEEN) & (tracks["repaired"][..., 2] >= SEEN)
        for part, rows in PARTS.items():
            for name, points in tracks.items():
                moved[part][name].append(acceleration(points[:, rows], both[:, rows]))
        for name in right:
            for part, values in errors(tracks[name], both, clip.track).items():
                away[name][part] += values
            right[name] += correct(tracks[name], clip.track)
    shares = {name: float(np.mean(values)) for name, values in right.items()}
    print(f"body PCK@0.2: raw {shares['raw']:.3f}, repaired {shares['repaired']:.3f}\n")
    print("| part | mean acceleration raw, px | repaired | truth | repaired / raw | error raw | repaired |")
    print("|---|---|---|---|---|---|---|")
    for part in PARTS:
        mean = {name: float(np.concatenate(values).mean()) for name, values in moved[part].items()}
        wrong = " | ".join(f"{np.mean(away[name][part]):.4f}" for name in right)
        print(f"| {part} | {cells(mean)} | {wrong} |")
    every = {name: np.concatenate([x for part in PARTS for x in moved[part][name]]).mean() for name in mean}
    print(f"| all points | {cells(every)} | | |")


def cells(mean: dict[str, float]) -> str:
    return f"{mean['raw']:.2f} | {mean['repaired']:.2f} | {mean['truth']:.2f} | {mean['repaired'] / mean['raw']:.2f}"


def correct(points: NDArray[np.float32], truth: Iterable[Pose]) -> list[bool]:
    """Of every visible body joint, whether it was found within 0.2 of the trunk."""
    found: list[bool] = []
    for guess, pose in zip(points[:, :18], truth):
        near = np.linalg.norm(guess[:, :2] - pose.body[:, :2], axis=1) < 0.2 * _trunk(pose)
        found += list((near & (guess[:, 2] >= SEEN))[pose.body[:, 2] > 0.5])
    return found


if __name__ == "__main__":
    main()
