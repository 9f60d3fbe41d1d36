"""What repair does to tracks that the embedded detector really made: docs/retargeting.md's last table.

    python runs/repair_quality.py [--clips 12] [--frames 24] [--size 256]

Synthetic people at 24 frames per second, whose keypoints are known exactly. PCK@0.2 of the visible body joints
(unit: the trunk, as in runs/detector_quality.py), and the mean acceleration of the points that were seen in three
frames in a row, raw and repaired, beside that of the truth.
"""

from __future__ import annotations

import argparse

import numpy as np
from detector_quality import _trunk
from numpy.typing import NDArray

from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.mediapipe import MediaPipeDetector
from magicpose.pose.smooth import repair
from synthetic_people.clip import render_clip

FRAMINGS = ("full", "half", "bust", "head")
PARTS = {"body": slice(0, 18), "hands": slice(18, 60), "face": slice(60, 130)}
SEEN = 0.3


def acceleration(points: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """|x[t-1] - 2 x[t] + x[t+1]| in pixels for [T, K, 3], where `seen` [T, K] holds in all three frames."""
    second = np.linalg.norm(points[:-2, :, :2] - 2.0 * points[1:-1, :, :2] + points[2:, :, :2], axis=-1)
    values: NDArray[np.float64] = second[seen[:-2] & seen[1:-1] & seen[2:]]
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=10_700_000)
    arguments = parser.parse_args()
    right: dict[str, list[bool]] = {"raw": [], "repaired": []}
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
        for frame, truth in enumerate(clip.track):
            visible = truth.body[:, 2] > 0.5
            for name in right:
                guess = tracks[name][frame, :18]
                near = np.linalg.norm(guess[:, :2] - truth.body[:, :2], axis=1) < 0.2 * _trunk(truth)
                right[name] += list((near & (guess[:, 2] >= SEEN))[visible])
    shares = {name: float(np.mean(values)) for name, values in right.items()}
    print(f"body PCK@0.2: raw {shares['raw']:.3f}, repaired {shares['repaired']:.3f}\n")
    print("| part | mean acceleration raw, px | repaired | truth | repaired / raw |\n|---|---|---|---|---|")
    for part, names in moved.items():
        mean = {name: float(np.concatenate(values).mean()) for name, values in names.items()}
        ratio = mean["repaired"] / mean["raw"]
        print(f"| {part} | {mean['raw']:.2f} | {mean['repaired']:.2f} | {mean['truth']:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
