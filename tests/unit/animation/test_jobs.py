"""A job's folder: whole files only, and never another job's."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.animation.jobs import Job, resume_hint, work_folder
from magicpose.errors import UserError

SETTINGS = {"seed": 0, "steps": 2}


def open_job(folder: Path, settings: dict[str, int] = SETTINGS, overwrite: bool = False) -> Job:
    return Job.open(folder / "out.mp4", settings, frames=10, group=4, overwrite=overwrite)


def test_latents_and_frames_come_back(tmp_path: Path) -> None:
    job = open_job(tmp_path)
    assert job.groups() == [range(4), range(4, 8), range(8, 10)] == job.groups_left()
    latents = torch.randn(4, 3, 2, 2)
    job.save_latents(4, latents)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8))
    job.save_frame(3, picture)
    again = open_job(tmp_path)
    assert again.groups_left() == [range(4), range(8, 10)]
    assert torch.equal(again.load_latents(4), latents)
    assert np.array_equal(np.asarray(again.load_frame(3)), np.asarray(picture))
    again.close()
    assert not job.folder.exists()


def test_another_job_is_not_resumed(tmp_path: Path) -> None:
    job = open_job(tmp_path)
    job.save_latents(0, torch.zeros(4, 1))
    with pytest.raises(UserError, match=r"out\.mp4\.work is the unfinished job of another command \(other seed\)"):
        open_job(tmp_path, {"seed": 1, "steps": 2})
    assert len(open_job(tmp_path).groups_left()) == 2
    fresh = open_job(tmp_path, {"seed": 1, "steps": 2}, overwrite=True)
    assert len(fresh.groups_left()) == 3


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = work_folder(tmp_path / "out.mp4")
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="another"):
            open_job(tmp_path, overwrite=overwrite)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    job = open_job(tmp_path)
    job.save_latents(0, torch.zeros(4, 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UserError, match="free some space"):
            job.save_latents(4, torch.zeros(4, 1000))
        with pytest.raises(UserError, match="free some space"):
            job.save_frame(0, Image.effect_noise((128, 128), 90))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert open_job(tmp_path).groups_left() == [range(4, 8), range(8, 10)]
    assert not job.frame_path(0).exists()


def test_what_ctrl_c_says(tmp_path: Path) -> None:
    assert "before anything" in resume_hint(tmp_path / "out.mp4")
    open_job(tmp_path)
    assert "same command" in resume_hint(tmp_path / "out.mp4")
