"""What `animate` may be told, once: the text under a field is its help, its metadata say what it changes.

The command line, the record that a job compares before it goes on, and the output's metadata are all made from these
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
from magicpose.sampling.windows import WindowsName

Size = tuple[int, int]  # width, height in pixels
PersonChoice = Literal["largest", "center"] | int

NEVER_CHANGES_FRAMES: Mapping[str, Any] = {"changes_frames": False}  # but for rounding: a job goes on with another


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
    """who moves in the driver: largest, center, or a number from 0, from left to right"""
    detector: str = "auto"
    """auto, mediapipe or dwpose"""
    maps: bool | None = None
    """the driver's pictures are rendered pose maps (default: judged by the first)"""
    canvas: Size | None = None
    """512x768: the canvas that a pose document refers to, where it does not state it"""


@dataclass(frozen=True)
class AnimateOptions:
    """Everything that `animate` may be told; None takes the preset's or the model's own."""

    model: str = "tiny"
    """an embedded model, a folder, or a Hugging Face id"""
    preset: PresetName | None = None
    """how much work a frame gets: exact, balanced or fast; default: the model's own way, else balanced"""
    steps: int | None = None
    """denoising steps; default: the preset's or the model's own"""
    guidance: float | None = None
    """1 is off; default: the model's own"""
    temperature: float | None = None
    """of the start noise: 1 is the paper's; below, fewer accidents and less detail; default: the model's own"""
    scheduler: str | None = None
    """ddim, dpm++2m, unipc, lcm, tcd; default: the preset's or the model's own"""
    windows: WindowsName = "ring"
    """how motion modules see a long clip: ring (the original's), or plain for clips that do not loop"""
    seed: int = 0
    """of the start noise, the reference's latents and stochastic schedulers"""
    prompt: str = ""
    """words for models that understand them"""
    size: int | Size | None = None
    """512 (about 512x512, in the reference's shape) or 512x768; default: what the model was trained at"""
    driver: DriverOptions = field(default_factory=DriverOptions)
    align: Literal["off", "place", "proportions"] = "proportions"
    """fit the motion to the person: place only, body proportions too, or not at all"""
    part: Literal["body", "face", "all"] = "all"
    """take only the driver's body movement, or only its expression"""
    repair: bool = True
    """fix what the detector got wrong: swapped sides, jumps, short gaps, jitter"""
    grid: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """show reference, driver, pose and result side by side"""
    batch: int = field(default=8, metadata=NEVER_CHANGES_FRAMES)
    """frames per network call"""
    device: str = field(default="cpu", metadata=NEVER_CHANGES_FRAMES)
    """cpu, cuda, mps"""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """of the networks; default: the model's own, float32 on CPUs"""
    arithmetic: Literal["plain", "winograd", "int8"] = "plain"
    """on CPUs: winograd is quicker and exact to rounding (float32), int8 quicker still and inexact"""
    compile: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """torch.compile: the first step takes minutes the first time, seconds to a minute later; for long clips"""
    low_memory: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """autoencoder in slices and tiles; on GPUs weights wait in main memory; slower"""
    preview: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """keep OUTPUT.work/preview.png up to date while it runs: the frames being made, roughly, after every step"""
    overwrite: bool = field(default=False, metadata=NEVER_CHANGES_FRAMES)
    """replace the output if it exists"""

    def check(self) -> None:
        """UserError for values that no model and no driver can take."""
        if self.batch < 1 or (self.steps is not None and self.steps < 1):
            raise UserError("steps and batch must be at least 1")
        if self.temperature is not None:
            check_temperature(self.temperature)

    def row(self, model: ModelSettings) -> Preset:
        """The values of the preset, or else the model's own, with those that were chosen by hand in their place."""
        preset = choose_preset(self.preset, model)
        return replace(preset, steps=self.steps or preset.steps, scheduler=self.scheduler or preset.scheduler)

    def recorded(self, row: Preset) -> dict[str, Any]:
        """All values as flat plain JSON, the driver's beside the others, and those of `row`, which were used."""
        used = {"steps": row.steps, "scheduler": row.scheduler, "guided": [row.guided_from, row.guided_to]}
        values = asdict(self) | used
        driver: dict[str, Any] = values.pop("driver")
        return values | driver


def changing(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record (see `AnimateOptions.recorded`), what can change a frame: what a job compares."""
    free = {each.name for each in (*fields(AnimateOptions), *fields(DriverOptions)) if not _changes_frames(each)}
    return {name: value for name, value in recorded.items() if name not in free}


def _changes_frames(option: Any) -> bool:
    return bool(option.metadata.get("changes_frames", True))
