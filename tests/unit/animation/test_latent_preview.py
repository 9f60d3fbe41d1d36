"""Pictures straight from latents."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.animation.latent_preview import LatentPreview, contact_sheet
from magicpose.sampling import clean_estimate, make_scheduler


def test_a_linear_autoencoder_is_seen_through() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 3, generator=generator)
    colours = torch.rand(2, 3, 6, 8, generator=generator)
    latents = torch.einsum("ck,fkhw->fchw", mixing, colours - 0.4)
    pictures = [Image.fromarray(frame) for frame in (colours * 255).round().byte().permute(0, 2, 3, 1).numpy()]
    preview = LatentPreview.fit(latents[:1], pictures[0].resize((64, 48), Image.Resampling.NEAREST))
    drawn = preview(latents.bfloat16().float())
    assert [picture.size for picture in drawn] == [(8, 6)] * 2
    for shown, wanted in zip(drawn, pictures, strict=True):
        assert np.abs(np.asarray(shown).astype(int) - np.asarray(wanted)).max() <= 4


@pytest.mark.parametrize(("count", "shape"), [(1, (1024, 768)), (3, (1024, 768)), (16, (1024, 768)), (5, (1020, 510))])
def test_sheets(count: int, shape: tuple[int, int]) -> None:
    pictures = [Image.new("RGB", (4, 3), (10 * index, 0, 255)) for index in range(count)]
    sheet = contact_sheet(pictures)
    assert sheet.size == shape
    assert sheet.getpixel((3, 3)) == (0, 0, 255)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_estimate_of_a_right_prediction_is_right(kind: str) -> None:
    scheduler = make_scheduler("ddim", {"prediction_type": kind})
    clean, noise, t = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor(601)
    noisy = scheduler.add_noise(clean, noise, t[None])
    truth = noise if kind == "epsilon" else scheduler.get_velocity(clean, noise, t[None])
    torch.testing.assert_close(clean_estimate(scheduler, noisy, truth, t), clean, rtol=1e-3, atol=1e-4)
