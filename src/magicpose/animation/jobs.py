"""What a long job has done so far, kept beside its output so that nothing is done twice.

`out.mp4.work/` holds `job.json` (what the job is), latents in groups, and finished frames. Every file appears
whole or not at all, so the job may be killed at any moment. The folder goes when the output stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from magicpose.errors import UserError
from magicpose.media.files import explained, frame_name

JOB = "job.json"
VERSION = 1


def work_folder(output: Path) -> Path:
    """Where the job that makes `output` keeps its state."""
    return output.with_name(output.name + ".work")


def resume_hint(output: Path) -> str:
    """What to tell the user when the job for `output` was stopped."""
    folder = work_folder(output)
    if not folder.is_dir():
        return "stopped before anything was made"
    return f"stopped; what is done is kept in {folder}: run the same command again to go on"


@dataclass(frozen=True)
class Job:
    """One job's folder. `group` frames are saved together, as latents; frames one by one."""

    folder: Path
    frames: int
    group: int

    @classmethod
    def open(cls, output: Path, settings: Mapping[str, Any], frames: int, group: int, overwrite: bool) -> Job:
        """A fresh folder, or the one that an earlier run of the very same job left.

        `settings` (plain JSON) is everything that can change a frame. UserError if the folder belongs to another job,
        unless `overwrite` allows to drop it.
        """
        folder = work_folder(output)
        described = {"version": VERSION, "frames": frames, "group": group, "settings": dict(settings)}
        found = _read(folder / JOB)
        if folder.exists() and found != described:
            if found is None and any(folder.iterdir()):
                raise UserError(f"{folder} is in the way and holds another's files; choose another output name")
            if found is not None and not overwrite:
                raise UserError(
                    f"{folder} is the unfinished job of another command{_difference(found, described)}; run that one, "
                    "remove the folder, or pass --overwrite to drop it"
                )
            shutil.rmtree(folder)
        with explained(folder):
            folder.mkdir(exist_ok=True)
            if found != described:
                _write(folder / JOB, json.dumps(described, indent=1).encode())
        return cls(folder, frames, group)

    def latents_path(self, first: int) -> Path:
        return self.folder / f"latents-{first:06d}.safetensors"

    def frame_path(self, index: int) -> Path:
        return self.folder / frame_name(index)

    def groups(self) -> list[range]:
        """All groups of frames, in order."""
        return [range(first, min(first + self.group, self.frames)) for first in range(0, self.frames, self.group)]

    def groups_left(self) -> list[range]:
        """Those without latents."""
        return [group for group in self.groups() if not self.latents_path(group.start).is_file()]

    def save_latents(self, first: int, latents: Any) -> None:
        """`latents` [F, C, h, w] of the group that starts at frame `first`."""
        from safetensors.torch import save

        with explained(self.folder):
            _write(self.latents_path(first), save({"latents": latents.contiguous().cpu()}))

    def load_latents(self, first: int) -> Any:
        """The way back, on the CPU."""
        from safetensors.torch import load

        return load(self.latents_path(first).read_bytes())["latents"]

    def save_frame(self, index: int, frame: Image.Image) -> None:
        with explained(self.folder):
            draft = self.folder / f".{frame_name(index)}"
            frame.save(draft, format="PNG", compress_level=1)
            draft.replace(self.frame_path(index))

    def load_frame(self, index: int) -> Image.Image:
        with Image.open(self.frame_path(index)) as frame:
            return frame.convert("RGB")

    def close(self) -> None:
        """The output stands: the folder goes."""
        shutil.rmtree(self.folder, ignore_errors=True)


def hash_of(value: Any) -> str:
    """A short hash of plain JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, on disk when this returns."""
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _difference(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> str:
    """` (other seed, steps)`: what differs, for people."""
    if found is None or not isinstance(found.get("settings"), dict):
        return ""
    then, now = found["settings"], wanted["settings"]
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return f" (other {', '.join(names)})" if names else ""
