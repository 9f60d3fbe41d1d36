"""The examples run, and the unrolled loop gives what the pipeline gives."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
from PIL import Image

from magicpose.animation.drivers import resample
from magicpose.media import list_images, read_image
from magicpose.pipeline import MagicPosePipeline
from magicpose.pose.motions import load_motion

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_minimal_loop_is_the_pipeline(tiny_sd: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    picture.save(tmp_path / "me.png")
    animate = runpy.run_path(str(EXAMPLES / "minimal.py"))["animate"]
    animate(str(tmp_path / "me.png"), "wave", str(tmp_path / "out"), str(tiny_sd), frames=2, steps=2)
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    track = resample(load_motion("wave"), end=2 / 16)
    expected = pipe(picture, track, num_inference_steps=2).frames
    made = [read_image(path) for path in list_images(tmp_path / "out")]
    assert len(made) == len(expected) == 2
    for one, other in zip(made, expected):
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1
