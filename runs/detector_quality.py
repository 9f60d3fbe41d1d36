"""How well the embedded detector does on synthetic people, whose keypoints are known exactly.

    python runs/detector_quality.py [--clips 24] [--frames 4] [--size 384] [--seed 10000000]

Prints the table of docs/detection.md. A joint counts for PCK if it is visible in the truth, and is right if it is
within 0.2 of the trunk (neck to middle of the hips) and has a score of at least 0.3. Errors of face and hands are
means over the visible points of the faces and hands that were found, in units of the distance between the outer eye
corners and of the palm's width (knuckles of index to little finger, at least half the palm's length).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.detection.mediapipe.body import MediaPipeDetector
from magicpose.pose.keypoints import Points, Pose
from synthetic_people.clip import render_clip

FRAMINGS = ("full", "knee", "half", "bust", "head", "face")
DRAWN = 0.3  # score from which a point is drawn
TRUNK_IN_SHOULDERS, TRUNK_IN_EYES = 1.5, 5.5  # where the hips, and where the shoulders are not in the picture

Numbers = NDArray[np.float64]


@dataclass
class Row:
    """What is summed up for one framing."""

    frames: int = 0
    people: int = 0
    right_joints: list[bool] = field(default_factory=list)
    faces: list[bool] = field(default_factory=list)
    face_errors: list[float] = field(default_factory=list)
    hands: list[bool] = field(default_factory=list)
    hand_errors: list[float] = field(default_factory=list)
    false_hands: list[bool] = field(default_factory=list)

    def add(self, truth: Pose, found: Pose | None) -> None:
        self.frames += 1
        self.people += found is not None
        found = found or Pose()
        seen = truth.body[:, 2] > 0.5
        near = _apart(truth.body, found.body) < 0.2 * _trunk(truth)
        self.right_joints += list((near & (found.body[:, 2] >= DRAWN))[seen])
        if (truth.face[:, 2] > 0.5).mean() > 0.6:
            self._part(self.faces, self.face_errors, truth.face, found.face, _eyes(truth))
        for part in ("left_hand", "right_hand"):
            hand, answer = getattr(truth, part), getattr(found, part)
            visible = (hand[:, 2] > 0.5).mean()
            if visible > 0.6:
                self._part(self.hands, self.hand_errors, hand, answer, _palm(hand))
            elif visible == 0:
                self.false_hands.append(bool(answer[:, 2].any()))

    @staticmethod
    def _part(there: list[bool], errors: list[float], truth: Points, found: Points, unit: float) -> None:
        there.append(bool(found[:, 2].any()))
        if there[-1]:
            errors.append(float(_apart(truth, found)[truth[:, 2] > 0.5].mean()) / unit)


def _apart(a: Points, b: Points) -> Numbers:
    return np.linalg.norm(a[:, :2].astype(np.float64) - b[:, :2], axis=1)


def _eyes(truth: Pose) -> float:
    return float(np.hypot(*(truth.face[36, :2] - truth.face[45, :2])))


def _palm(hand: Points) -> float:
    return max(float(np.hypot(*(hand[5] - hand[17])[:2])), 0.5 * float(np.hypot(*(hand[0] - hand[9])[:2])))


def _trunk(truth: Pose) -> float:
    body = truth.body
    if (body[[1, 8, 11], 2] > 0).all():
        return float(np.hypot(*(body[1] - body[[8, 11]].mean(0))[:2]))
    if (body[[2, 5], 2] > 0).all():
        return TRUNK_IN_SHOULDERS * float(np.hypot(*(body[2] - body[5])[:2]))
    return TRUNK_IN_EYES * _eyes(truth)


def _share(values: list[bool]) -> str:
    return f"{sum(values)}/{len(values)}"


def _median_mean(values: list[float]) -> str:
    return f"{np.median(values):.3f} / {np.mean(values):.3f}" if values else "-"


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("frames", lambda row: str(row.frames)),
    ("person found", lambda row: f"{row.people}/{row.frames}"),
    ("body PCK@0.2", lambda row: f"{np.mean(row.right_joints):.3f}"),
    ("face found", lambda row: _share(row.faces)),
    ("face error, eye distances (median / mean)", lambda row: _median_mean(row.face_errors)),
    ("hand found", lambda row: _share(row.hands)),
    ("hand error, palm widths (median / mean)", lambda row: _median_mean(row.hand_errors)),
    ("hands where none is", lambda row: _share(row.false_hands)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--seed", type=int, default=10_000_000)
    arguments = parser.parse_args()
    rows = {framing: Row() for framing in FRAMINGS}
    for n in range(arguments.clips):
        framing = FRAMINGS[n % len(FRAMINGS)]
        clip = render_clip(arguments.seed + n, arguments.frames, arguments.size, framing)
        detector = MediaPipeDetector(max_people=1, follow=True)
        for frame, truth in zip(clip.frames, clip.track):
            people = detector(frame)
            rows[framing].add(truth, people[0] if people else None)
    print("| framing | " + " | ".join(name for name, _ in COLUMNS) + " |")
    print("|" + " --- |" * (len(COLUMNS) + 1))
    for framing, row in rows.items():
        print(f"| {framing} | " + " | ".join(show(row) for _, show in COLUMNS) + " |")


if __name__ == "__main__":
    main()
