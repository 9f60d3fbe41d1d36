"""Keypoints as pictures, outside of any model: pose maps, and overlays for people to judge."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from magicpose import __version__
from magicpose.animation.drivers import Driver, Frame
from magicpose.errors import UserError
from magicpose.media import IMAGE_SUFFIXES, Canvas, VideoWriter, list_images, read_image, read_video, write_image
from magicpose.media.canvas import Size
from magicpose.pose.drawing.draw import draw_pose
from magicpose.pose.drawing.overlay import draw_overlay
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.progress import Progress

STILLS = frozenset({".png", ".jpg", ".jpeg"})  # outputs that hold one frame


def draw_driver(
    driver: Driver,
    output: Path,
    size: int | Size | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """The pose maps of `driver` as a picture (its first frame), a video or a folder; returns how many."""
    track = driver.track
    if track is None:
        raise UserError(f"{driver.name} has no keypoints to draw")
    if size is not None:
        canvas = Canvas.for_reference(track.size, size)
        points = canvas.place_whole(track.size).forward(track.stacked()).astype(np.float32)
        track = PoseTrack.from_stacked(points, canvas.size, track.fps)
    maps = (draw_pose(pose, track.size) for pose in track)
    about = {"magicpose": __version__, "shows": "pose maps", "driver": driver.name}
    return _write(output, _counted(maps, len(track), progress), track.fps, about, overwrite)


def write_overlay(
    source: str | Path,
    people: Sequence[PoseTrack],
    output: Path,
    start: float | None = None,
    end: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """`people` over the pictures they were found in; a single picture stays under all their frames."""
    frames = (
        _with_people(picture, [track[index] for track in people], people[0].size)
        for index, picture in zip(range(len(people[0])), _pictures(Path(source), people[0].fps, start, end))
    )
    about = {"magicpose": __version__, "shows": "keypoints over their pictures", "source": Path(source).name}
    return _write(output, _counted(frames, len(people[0]), progress), people[0].fps, about, overwrite)


def _with_people(picture: Frame, poses: Sequence[Pose], size: Size) -> Frame:
    for pose in poses:
        picture = draw_overlay(picture, pose, size)
    return picture


def _pictures(source: Path, fps: float, start: float | None, end: float | None) -> Iterator[Frame]:
    if source.is_dir():
        return (np.asarray(read_image(path)) for path in list_images(source))
    if source.suffix.lower() in IMAGE_SUFFIXES - {".gif"}:
        return itertools.repeat(np.asarray(read_image(source)))
    return read_video(source, fps, start, end)


def _counted(frames: Iterable[Frame], total: int, progress: Progress | None) -> Iterator[Frame]:
    for index, frame in enumerate(frames):
        yield frame
        if progress is not None:
            progress(index + 1, total)


def _write(output: Path, frames: Iterator[Frame], fps: float, about: dict[str, str], overwrite: bool) -> int:
    if output.suffix.lower() in STILLS:
        write_image(output, Image.fromarray(next(frames)), metadata=about, overwrite=overwrite)
        return 1
    with VideoWriter(output, fps, metadata=about, overwrite=overwrite) as writer:
        for frame in frames:
            writer.write(frame)
    return writer.frames
