"""Prompt to picture to re-posed person, by the script under examples/, on a stock pipeline of tiny size."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from magicpose.checkpoints.folder import read_folder
from magicpose.errors import UserError
from magicpose.pose.keypoints import PoseTrack

EXAMPLE = Path(__file__).parents[2] / "examples" / "text_to_person.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("text_to_person", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock text-to-image pipeline on disk, as diffusers writes it."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    parts, folder = read_folder(tiny_sd), tmp_path_factory.mktemp("base")
    stock: Any = StableDiffusionPipeline
    stock(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(tiny_sd / "tokenizer"),
        unet=parts.unet,
        scheduler=DDIMScheduler.from_pretrained(tiny_sd / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def two_poses() -> PoseTrack:
    draw = np.random.default_rng(0)
    points = draw.uniform(8, 56, (2, 130, 3)).astype(np.float32)
    points[..., 2] = 1
    return PoseTrack.from_stacked(points, (64, 64))


def test_prompt_to_reposed_person(example: Any, base: Path, tiny_sd: Path, tmp_path: Path) -> None:
    two_poses().save(tmp_path / "two.pose.json")
    settings = example.Settings(
        str(base), tiny_sd, "a b", tmp_path / "two.pose.json", tmp_path / "out", steps=2, size=64
    )
    folder = example.text_to_person(settings)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["0000.png", "0001.png", "reference.png"]
    pictures = [np.asarray(Image.open(folder / name)) for name in names]
    assert all(picture.shape == (64, 64, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_control_folder_without_control_is_refused(example: Any, base: Path, tmp_path: Path) -> None:
    settings = example.Settings(str(base), base, "a", tmp_path / "x.json", tmp_path / "out")
    with pytest.raises(UserError, match="appearance/ and pose_controlnet/"):
        example.text_to_person(settings)
