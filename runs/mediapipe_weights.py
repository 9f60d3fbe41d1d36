"""Fetch the detector networks that ship in `src/magicpose/weights/mediapipe` from where they were published.

    python runs/mediapipe_weights.py [WHEEL]

They are unchanged files of the `mediapipe` 0.10.21 wheel (Apache-2.0, Google), the last release line that carries its
models. Without WHEEL the wheel is downloaded by pip. Every file must have the checksum NOTICE states.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src/magicpose/weights/mediapipe"
FILES = (
    "face_detection/face_detection_short_range.tflite",
    "face_landmark/face_landmark.tflite",
    "hand_landmark/hand_landmark_full.tflite",
    "holistic_landmark/hand_recrop.tflite",
    "iris_landmark/iris_landmark.tflite",
    "palm_detection/palm_detection_full.tflite",
    "pose_detection/pose_detection.tflite",
    "pose_landmark/pose_landmark_full.tflite",
)
PIP = ("pip", "download", "--no-deps", "--only-binary=:all:", "--python-version=3.11", "mediapipe==0.10.21")


def main() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            wheel = Path(sys.argv[1])
        else:
            subprocess.run([sys.executable, "-m", *PIP, "--dest", folder], check=True)
            wheel = next(Path(folder).glob("mediapipe-*.whl"))
        TARGET.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for member in FILES:
                content = archive.read(f"mediapipe/modules/{member}")
                if f"{hashlib.sha256(content).hexdigest()}  {Path(member).name}" not in notice:
                    raise SystemExit(f"{member} is not the file this project was tested with")
                (TARGET / Path(member).name).write_bytes(content)
                print(f"{len(content):>9} {member}")


if __name__ == "__main__":
    main()
