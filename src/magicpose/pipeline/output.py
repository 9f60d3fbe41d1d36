"""What a pipeline is given and gives: pictures and poses in every usual form in, frames in the form asked for out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from diffusers.utils import BaseOutput
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from magicpose.errors import UserError
from magicpose.media.canvas import Canvas, Size
from magicpose.pose.drawing.draw import draw_poses
from magicpose.pose.keypoints import Pose, PoseTrack

OutputType = Literal["pil", "np", "pt", "latent"]
Maps = NDArray[np.uint8]  # [F, H, W, 3]
Picture = Image.Image | NDArray[np.uint8]
Poses = PoseTrack | Pose | Maps | Picture | Sequence[Pose] | Sequence[Picture]
BLACK = (0, 0, 0)


@dataclass
class PipelineOutput(BaseOutput):
    """`frames` of one size, `poses` the maps that were used, uint8 [F, H, W, 3], `timings` in seconds by stage.

    `frames` by `output_type`: "pil" a list of pictures; "np" float32 [F, H, W, 3] and "pt" float32 [F, 3, H, W], both
    in [0, 1]; "latent" the clean latents [F, C, h, w]. Subscriptable like every output of diffusers.
    """

    frames: Any
    poses: Maps | None
    timings: dict[str, float]


@dataclass(frozen=True)
class Conditions:
    """What all frames of a clip share, on the model's device, in its dtype.

    `noise` [1, C, h, w], or [F, C, h, w] where frames have their own; `references` one [1, C, h, w] each; `context`
    [1, S, D].
    """

    noise: Tensor
    references: list[Tensor]
    context: Tensor


def as_pictures(reference: Any) -> list[Image.Image]:
    """One picture or several, PIL or uint8 [H, W, 3], as RGB; UserError for none and for anything else."""
    given = [reference] if isinstance(reference, Image.Image | np.ndarray | str) else list(reference)
    if not given:
        raise UserError("there is no reference: give at least one picture of the person")
    return [_picture(each, "a reference") for each in given]


def pose_maps(poses: Poses | None, canvas: Canvas, picture: Size) -> Maps:
    """The maps [F, H, W, 3] of `canvas` for poses in any form.

    A single pose or map makes one frame. A `Pose` does not know its canvas: it lies on a picture of size `picture`.
    Maps are placed like a reference of their size.
    """
    if isinstance(poses, Pose | Image.Image) or (isinstance(poses, np.ndarray) and poses.ndim == 3):
        poses = [poses]  # type: ignore[assignment]
    if poses is None or len(poses) == 0:  # type: ignore[arg-type]
        raise UserError("there are no poses: give at least one pose or pose map")
    if not isinstance(poses, PoseTrack) and all(isinstance(pose, Pose) for pose in poses):  # type: ignore[union-attr]
        poses = PoseTrack(tuple(poses), picture)  # type: ignore[arg-type]
    if isinstance(poses, PoseTrack):
        points = canvas.place(poses.size).forward(poses.stacked()).astype(np.float32)
        return draw_poses(PoseTrack.from_stacked(points, canvas.size))
    maps = [_picture(each, "a pose") for each in poses]  # type: ignore[union-attr]
    return np.stack([np.asarray(canvas.place(each.size).apply(each, BLACK)) for each in maps])


def _picture(given: Any, what: str) -> Image.Image:
    if isinstance(given, Image.Image):
        return given.convert("RGB")
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 3 and given.shape[2] == 3:
        return Image.fromarray(given)
    kind = f"an array {given.dtype} {list(given.shape)}" if isinstance(given, np.ndarray) else type(given).__name__
    maps = " or a Pose" if what == "a pose" else ""
    raise UserError(f"{what} is {kind}: give a PIL picture, a uint8 array [H, W, 3]{maps}")


def check_output_type(output_type: str) -> None:
    """UserError for a form of frames that nobody knows."""
    if output_type not in ("pil", *_FORMS):
        raise UserError(f"unknown output_type {output_type!r}: choose pil, np, pt or latent")


def as_frames(images: Iterator[Tensor], output_type: str) -> Any:
    """Frames of decoded images [N, 3, H, W] in [-1, 1], in the form of `output_type` ("pil", "np" or "pt")."""
    if output_type == "pil":
        return [frame for batch in images for frame in as_pil(batch)]
    return _FORMS[output_type](torch.cat([(batch / 2 + 0.5).clamp(0, 1).cpu() for batch in images]))


def as_pil(images: Tensor) -> list[Image.Image]:
    """[N, 3, H, W] in [-1, 1] -> pictures."""
    pixels = (images.permute(0, 2, 3, 1) * 127.5 + 127.5).round().clamp(0, 255).to("cpu", torch.uint8)
    return [Image.fromarray(frame) for frame in pixels.numpy()]


_FORMS: dict[str, Callable[[Tensor], Any]] = {
    "np": lambda frames: frames.permute(0, 2, 3, 1).numpy(),
    "pt": lambda frames: frames,
    "latent": lambda frames: frames,
}
