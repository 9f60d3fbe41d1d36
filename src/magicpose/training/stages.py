"""The stages as a table: what each trains, its conditions, and where its parts come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["autoencoder", "denoiser"]
Part = Literal["vae", "text_encoder", "unet", "appearance", "pose_controlnet"]
PARTS: tuple[Part, ...] = ("vae", "text_encoder", "unet", "appearance", "pose_controlnet")


@dataclass(frozen=True)
class Stage:
    """One row.

    Attributes:
        about: for people.
        trains: parts that get gradients.
        uses: parts the forward pass needs, frozen unless trained.
        fresh: parts that start anew even if `init` has them: from nothing (`vae`, `unet`, `text_encoder`), or
            as a copy of the UNet (`appearance`, `pose_controlnet`), as in the paper. Other parts start anew only
            where `init` lacks them.
        reference, pose: conditions given in every step that is not dropped.
        tied: the appearance branch is the UNet itself; both learn one set of features.
        drops: the share `conditions.drop` of steps has neither reference nor pose.
        captions: steps without conditions may be told the caption.
        masks: faces and hands are randomly left out of the pose maps.
        frames: the targets of a clip are any of its frames, or consecutive ones (for motion modules).
        kind: the row of `magicpose.training.tasks.TASKS` that trains it.
    """

    about: str
    trains: tuple[Part, ...]
    uses: tuple[Part, ...]
    fresh: tuple[Part, ...] = ()
    reference: bool = False
    pose: bool = False
    tied: bool = False
    drops: bool = False
    captions: bool = False
    masks: bool = False
    frames: Literal["any", "consecutive"] = "any"
    kind: Kind = "denoiser"


_FROZEN: tuple[Part, ...] = ("vae", "text_encoder", "unet")

STAGES: dict[str, Stage] = {
    "vae": Stage("the autoencoder of the embedded model", trains=("vae",), uses=("vae",), kind="autoencoder"),
    "joint": Stage(
        "the embedded model's prior: UNet (also as appearance branch) and ControlNet together",
        trains=("text_encoder", "unet", "pose_controlnet"),
        uses=(*_FROZEN, "pose_controlnet"),
        reference=True,
        pose=True,
        tied=True,
        drops=True,
        captions=True,
    ),
    "base": Stage(
        "a small text-to-image latent diffusion, the paper's 'Stable Diffusion'",
        trains=("text_encoder", "unet"),
        uses=_FROZEN,
        captions=True,
    ),
    "pose_prior": Stage(
        "a pose ControlNet on the frozen base alone, the stand-in for the published one",
        trains=("pose_controlnet",),
        uses=(*_FROZEN, "pose_controlnet"),
        pose=True,
    ),
    "appearance": Stage(
        "stage 1 of the paper: appearance control from a copy of the UNet",
        trains=("appearance",),
        uses=(*_FROZEN, "appearance"),
        fresh=("appearance",),
        reference=True,
    ),
    "pose": Stage(
        "stage 2 of the paper: appearance control and pose ControlNet together",
        trains=("appearance", "pose_controlnet"),
        uses=(*_FROZEN, "appearance", "pose_controlnet"),
        reference=True,
        pose=True,
        masks=True,
    ),
}
