"""The options of `animate`, declared once: the text under a field is its help, its metadata state what it changes.

The command line, the record that a job compares before it resumes, and the output's metadata are all made from these
classes. Nothing heavy is imported, so that `magicpose animate --help` is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from magicpose.animation.presets import Preset, PresetName, choose_preset
from magicpose.checkpoints.index import ModelSettings
from magicpose.errors import UserError
from magicpose.networks.schedule import check_temperature
from magicpose.provenance import SYNTHETIC
from magicpose.sampling.windows import WindowsName

Size = tuple[int, int]  # width, height in pixels
PersonChoice = Literal["largest", "center"] | int

NEVER_CHANGES_FRAMES: Mapping[str, Any] = {
    "changes_frames": False
}  # except by rounding: a job may resume with another value


@dataclass(frozen=True)
class DriverOptions:
    """How to read a driver."""

    fps: float | None = None
    """frames per second; default: the driver's"""
    start: float | None = None
    """first second of the driver to use"""
    end: float | None = None
    """second of the driver to stop at"""
    person: PersonChoice = "largest"
    """which person of the driver to use: largest, center, or a number from 0, from left to right"""
    detector: str = "auto"
    """pose detector: auto, mediapipe or dwpose"""
    maps: bool | None = None
    """the driver's pictures are rendered pose maps (default: judged by the first)"""
    canvas: Size | None = None
    """512x768: the canvas that a pose document refers to, where it does not state it"""


@dataclass(frozen=True)
class AnimateOptions:
    """All options of `animate`; None: the value of the preset or of the model."""

    model: str = "tiny"
    """an embedded model, a folder, or a Hugging Face id"""
    preset: PresetName | None = None
    """trade-off of quality and speed: exact, balanced or fast; default: the model's own settings, else balanced"""
    steps: int | None = None
    """denoising steps; default: the preset's or the model's own"""
    guidance: float | None = None
    """scale of the image guidance (classifier-free); 1 is off; default: the model's own"""
    temperature: float | None = None
    """scale of the start noise: 1 is the paper's; lower: fewer outliers, less detail; default: the model's own"""
    scheduler: str | None = None
    """ddim, dpm++2m, unipc, lcm, tcd; default: the preset's or the model's own"""
    windows: WindowsName = "ring"
    """windows of motion modules over a long clip: ring (the original's), or plain for clips that do not loop"""
    seed: int = 0
    """random seed of the start noise, the reference latents and stochastic schedulers"""
    prompt: str = ""
    """text prompt, for models that were trained with captions"""
    size: int | Size | None = None
    """512 (about 512x512, in the reference's shape) or 512x768; default: what the model was trained at"""
    driver: DriverOptions = field(default_factory=DriverOptions)
    align: Literal["off", "place", "proportions"] = "proportions"
    """fit the motion to the person: place only, body proportions too, or not at all"""
    part: Literal["body", "face", "all"] = "all"
    """take only the driver's body movement, or only its expression"""
    repair: bool = True
    """fix detection errors: swapped sides, outliers, short gaps, jitter"""
    grid: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """show reference, driver, pose and result side by side"""
    batch: int = field(default=8, metadata=NEVER_CHANGES_FRAMES)
    """frames per network call"""
    device: str = field(default="cpu", metadata=NEVER_CHANGES_FRAMES)
    """device of the networks: cpu, cuda, mps"""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """data type of the networks; default: the model's own, float32 on CPUs"""
    arithmetic: Literal["plain", "winograd", "int8"] = "plain"
    """on CPUs: winograd is faster and exact up to rounding (float32), int8 faster still and approximate"""
    compile: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """torch.compile: the first step takes minutes the first time, seconds to a minute later; for long clips"""
    low_memory: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """run the autoencoder in slices and tiles; on GPUs offload weights to main memory; slower"""
    preview: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """update OUTPUT.work/preview.png after every step: a rough view of the frames in progress"""
    overwrite: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """replace the output if it exists"""

    def check(self) -> None:
        """UserError for values that are invalid for every model and driver."""
        if self.batch < 1 or (self.steps is not None and self.steps < 1):
            raise UserError("steps and batch must be at least 1")
        if self.temperature is not None:
            check_temperature(self.temperature)

    def row(self, model: ModelSettings) -> Preset:
        """The preset, or else the model's settings, with the explicitly chosen values in place of its own."""
        preset = choose_preset(self.preset, model)
        return replace(preset, steps=self.steps or preset.steps, scheduler=self.scheduler or preset.scheduler)

    def recorded(self, row: Preset) -> dict[str, Any]:
        """All values as flat plain JSON, the driver's beside the others, and those of `row`, which were used."""
        used = {"steps": row.steps, "scheduler": row.scheduler, "guided": [row.guidance_start, row.guidance_stop]}
        values = asdict(self) | used
        driver: dict[str, Any] = values.pop("driver")
        return values | driver


def changing(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record (see `AnimateOptions.recorded`), what can change a frame: what a job compares."""
    options = (*fields(AnimateOptions), *fields(DriverOptions))
    free = {SYNTHETIC, *(each.name for each in options if not _changes_frames(each))}
    return {name: value for name, value in recorded.items() if name not in free}


def _changes_frames(option: Any) -> bool:
    return bool(option.metadata.get("changes_frames", True))
