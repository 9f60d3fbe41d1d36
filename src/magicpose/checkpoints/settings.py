"""What a model's folder says about a model besides its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magicpose.errors import UserError
from magicpose.sampling import SD15_SCHEDULE

INDEX = "model_index.json"
PAPER_GUIDANCE = 7.0
PAPER_TEMPERATURE = 1.0


@dataclass(frozen=True)
class ModelSettings:
    """Name, default guidance and temperature, size of the training frames, noise schedule."""

    name: str
    guidance_scale: float = PAPER_GUIDANCE
    image_size: int | None = None  # side in pixels of the training frames; None: by the UNet's `sample_size`
    schedule: dict[str, Any] = field(default_factory=lambda: dict(SD15_SCHEDULE))
    temperature: float = PAPER_TEMPERATURE  # of the start noise

    @classmethod
    def read(cls, folder: Path, name: str) -> ModelSettings:
        """From `model_index.json` (the fields' names are its keys) and `scheduler/scheduler_config.json`."""
        index = _json(folder / INDEX)
        scheduler = folder / "scheduler" / "scheduler_config.json"
        schedule = {**SD15_SCHEDULE, **_json(scheduler)} if scheduler.is_file() else dict(SD15_SCHEDULE)
        guidance, temperature = index.get("guidance_scale", PAPER_GUIDANCE), index.get("temperature", PAPER_TEMPERATURE)
        return cls(name, float(guidance), index.get("image_size"), schedule, float(temperature))

    def write(self, folder: Path) -> None:
        """Into the `model_index.json` that `folder` has."""
        index = _json(folder / INDEX) | {
            "guidance_scale": self.guidance_scale,
            "temperature": self.temperature,
            "image_size": self.image_size,
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON; download the model again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings; download the model again")
    return content
