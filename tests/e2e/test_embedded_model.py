"""The model that ships in the package: it loads offline, is complete, small enough, and makes frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from magicpose.checkpoints.hub import EMBEDDED
from magicpose.evaluation.image import psnr
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.keypoints import PoseTrack
from magicpose.pose.motions import load_motion
from synthetic_people import FIRST_HELD_OUT_SEED, render_clip
from synthetic_people.motion import Framing

PERSON = Path(__file__).parents[2] / "src/magicpose/weights/people/demo.png"


@pytest.fixture(scope="module")
def tiny() -> MagicPosePipeline:
    return MagicPosePipeline.from_pretrained("tiny")


def test_it_is_at_most_72_megabytes_of_safetensors() -> None:
    files = [path for path in EMBEDDED["tiny"].folder.rglob("*") if path.is_file()]
    assert 1e6 < sum(path.stat().st_size for path in files) <= 72e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt"}


@pytest.mark.parametrize("part", ["unet", "appearance", "pose_controlnet"])
def test_its_weights_lie_on_a_grid(part: str) -> None:
    """Or a commit of them would take fifty megabytes of the repository's history instead of twelve."""
    matrices = [value for value in load_file(_weights(part)).values() if value.ndim > 1]
    assert len(matrices) > 50 and max(value.unique().numel() for value in matrices) < 100


def _weights(part: str) -> Path:
    return EMBEDDED["tiny"].folder / part / "diffusion_pytorch_model.safetensors"


def test_it_makes_frames_of_its_own_size_that_follow_the_pose(tiny: MagicPosePipeline) -> None:
    track = load_motion("dance")
    poses = type(track)((track[0], track[24]), track.size, track.fps)
    out = tiny(Image.open(PERSON), poses, num_inference_steps=4, seed=0)
    assert [frame.size for frame in out.frames] == [(tiny.native_side, tiny.native_side)] * 2
    first, second = (np.asarray(frame, np.float64) for frame in out.frames)
    assert first.std() > 5  # not one colour
    assert np.abs(first - second).mean() > 1  # another pose, another picture


def test_its_autoencoder_keeps_a_face(tiny: MagicPosePipeline) -> None:
    picture = np.array(Image.open(PERSON).convert("RGB"))
    assert picture.shape == (256, 256, 3)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        latents = tiny.vae.encode(pixels).latent_dist.sample()
        back = next(tiny.decode(latents * tiny.vae.config.scaling_factor))
    assert 0.5 < float(latents.std()) < 1.5  # normalised, as the schedule expects
    assert psnr(np.asarray(back), picture) > 30


@pytest.mark.parametrize("framing", ["bust", "half"])
def test_it_paints_the_person_in_the_pose_better_than_a_copy_of_the_photo(
    tiny: MagicPosePipeline, framing: Framing
) -> None:
    """At its own size; rendered people of held-out seeds, whose true picture in the new pose is known."""
    clip = render_clip(FIRST_HELD_OUT_SEED, 8, tiny.native_side, framing, "plain", fps=3.0)
    pose, reference, truth = clip.track[-1], clip.frames[0], clip.frames[-1]
    track = PoseTrack((pose,), clip.track.size, clip.track.fps)
    out = tiny(Image.fromarray(reference), track, num_inference_steps=tiny.settings.steps or 10)
    assert psnr(np.asarray(out.frames[0]), truth) > psnr(reference, truth) + 3


def test_without_reference_and_pose_it_is_its_plain_unet(tiny: MagicPosePipeline) -> None:
    latents, context = torch.randn(1, tiny.model.unet.config.in_channels, 16, 16), tiny.text_states("")
    with torch.no_grad():
        ours = tiny.model(latents, torch.tensor([500]), context)
        plain = tiny.model.detach()(latents, torch.tensor([500]), context).sample
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
