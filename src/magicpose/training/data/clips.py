"""Training clips on disk: found, checked as any input is, and read one frame at a time."""

from __future__ import annotations

import json
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magicpose.errors import UserError
from magicpose.media import IMAGE_SUFFIXES, MediaWarning, image_size, list_images, read_image
from magicpose.pose.documents.jsonfile import MAX_COORDINATE, MAX_SIDE
from magicpose.pose.keypoints import Pose, PoseTrack

KEYPOINTS = "keypoints.npz"
DOCUMENT = ".pose.json"
_MAX_ARRAY_BYTES = 1 << 30  # of an array in an .npz file, unpacked
# What numpy and zipfile let through on damaged files.
_DAMAGED = (
    OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class ClipFolder:
    """One person through some frames, all of one size."""

    folder: Path
    frames: tuple[Path, ...]
    keypoints: NDArray[np.float32]  # [frames, 130, 3], pixels of the frames
    size: tuple[int, int]  # width, height
    caption: str

    def picture(self, index: int) -> Image.Image:
        """Frame `index` as RGB. UserError where the file is damaged or not of the clip's size."""
        picture = read_image(self.frames[index])
        self._check_size(self.frames[index], picture.size)
        return picture

    def check_frames(self) -> None:
        """Reads the header of every frame. UserError for the first that is no picture of the clip's size."""
        for path in self.frames:
            self._check_size(path, image_size(path))

    def surface(self) -> NDArray[np.float32]:
        """Coordinates on the body's surface in the rest pose: [frames, h, w, 3] metres, NaN in the background.

        See `correspondence.matching_cells`. UserError where the clip was written without them.
        """
        path = self.folder / "places.npz"
        if not path.is_file():
            hint = "only synthetic people have it (render with --places); set loss.correspondence_weight to 0"
            raise UserError(f"{path} cannot be read: {hint}")
        found = np.asarray(_read_array(path, "places"), np.float32)
        if found.ndim != 4 or found.shape[-1] != 3 or len(found) != len(self.frames):
            raise UserError(
                f"{path} holds {_shape(found)} numbers, not {len(self.frames)} x h x w x 3: render it again"
            )
        return found

    def pose(self, index: int) -> Pose:
        """The keypoints of one frame."""
        return Pose.from_stacked(self.keypoints[index])

    def _check_size(self, path: Path, size: tuple[int, int]) -> None:
        if size != self.size:
            width, height = self.size
            raise UserError(
                f"{path} is {size[0]}x{size[1]} but the clip's keypoints are for {width}x{height}: "
                f"scale the pictures to that size, or the keypoints to the pictures"
            )


@dataclass(frozen=True)
class Clips:
    """What a run learns from, and what it is looked at with."""

    train: list[ClipFolder]
    validation: list[ClipFolder]


def find_clips(root: Path) -> list[ClipFolder]:
    """Every clip below `root`, sorted by name.

    A clip is a folder of pictures with `keypoints.npz` or one `*.pose.json` inside. Folders with pictures but without
    keypoints are left out with a `MediaWarning`.

    Raises UserError naming file and fix for a clip that cannot be used, and where there is none.
    """
    if not root.is_dir():
        raise UserError(f"the data folder {root} does not exist: check data.train and data.validation")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    complete = [folder for folder in folders if _keypoint_file(folder) is not None]
    if not complete:
        above = f"; it is a clip itself: name the folder above it ({root.parent})" if _keypoint_file(root) else ""
        raise UserError(
            f"no clips in {root}: expected folders with numbered frames and {KEYPOINTS} or *{DOCUMENT} inside{above}"
        )
    lost = [folder for folder in folders if folder not in complete and _has_pictures(folder)]
    if lost:
        what = f"{len(lost)} of the folders in {root} have pictures but no keypoints and are left out"
        warnings.warn(f"{what} ({lost[0].name} first)", MediaWarning, stacklevel=2)
    return [_read_clip(folder) for folder in complete]


def _keypoint_file(folder: Path) -> Path | None:
    """`keypoints.npz`, or else the only pose document."""
    arrays = folder / KEYPOINTS
    if arrays.is_file():
        return arrays
    documents = sorted(path for path in folder.glob(f"*{DOCUMENT}") if not path.name.startswith("."))
    if len(documents) > 1:
        names = ", ".join(path.name for path in documents)
        raise UserError(f"{folder} holds several pose documents ({names}): keep the one of its pictures")
    return documents[0] if documents else None


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _read_clip(folder: Path) -> ClipFolder:
    source = _keypoint_file(folder)
    assert source is not None
    frames = tuple(list_images(folder))
    keypoints, size = _read_document(source) if source.name.endswith(DOCUMENT) else _read_arrays(source)
    if len(frames) != len(keypoints):
        raise UserError(
            f"{folder} holds {len(frames)} frames but keypoints for {len(keypoints)} ({source.name}): "
            "remove pictures that belong elsewhere, or make the keypoints again"
        )
    clip = ClipFolder(folder, frames, keypoints, size, _read_caption(folder / "clip.json"))
    clip.check_frames()
    return clip


def _read_document(path: Path) -> tuple[NDArray[np.float32], tuple[int, int]]:
    track = PoseTrack.load(path)
    return track.stacked(), track.size


def _read_arrays(path: Path) -> tuple[NDArray[np.float32], tuple[int, int]]:
    points = _read_array(path, "keypoints")
    if points.ndim != 3 or points.shape[1:] != (130, 3) or points.dtype.kind not in "fiu":
        raise UserError(f"{path}: keypoints must be numbers [frames, 130, 3], not {_shape(points)}; write them again")
    wrong = np.flatnonzero(~(np.abs(points) <= MAX_COORDINATE).all((1, 2)))
    if len(wrong):
        raise UserError(
            f"{path}: frame {wrong[0]} has points that are NaN, infinite or beyond {MAX_COORDINATE:g} px; "
            "give absent points as 0, 0, 0"
        )
    size = _read_array(path, "size")
    if size.shape != (2,) or not all(1 <= side <= MAX_SIDE and side == int(side) for side in size.tolist()):
        raise UserError(f"{path}: size must be width and height of the frames in pixels, not {size.tolist()}")
    return points.astype(np.float32), (int(size[0]), int(size[1]))


def _read_array(path: Path, name: str) -> NDArray[np.generic]:
    """One array of an .npz file, nothing in which can execute code; UserError where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.file_size > _MAX_ARRAY_BYTES:
                raise UserError(f"{path}: {name} is larger than {_MAX_ARRAY_BYTES >> 20} MiB: split the clip")
            with archive.open(member) as file:
                found: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
                return found
    except UserError:
        raise
    except _DAMAGED as error:
        what = f"holds no array {name!r}" if isinstance(error, KeyError) else "is damaged or no .npz file"
        raise UserError(f"{path} {what}: write it again (docs/data.md describes it)") from error


def _read_caption(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        caption = json.loads(path.read_text(encoding="utf-8")).get("caption", "")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a JSON object: write it again, or remove it (it gives the caption)") from error
    if not isinstance(caption, str):
        raise UserError(f"{path}: the caption must be text, not {caption!r:.60}")
    return caption


def _shape(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"
