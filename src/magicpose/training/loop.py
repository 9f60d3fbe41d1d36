"""The training loop: one for all stages; a stage is a row in a table.

Run the same command again after an interruption, `kill -9` included, and it goes on: the newest checkpoint is
resumed, and every later step is what it would have been.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import nn

from magicpose.errors import UserError
from magicpose.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from magicpose.training.config import OptimizerConfig, TrainConfig, as_plain
from magicpose.training.data import Batch, ClipFolder, LatentClips, find_clips, image_batch, latent_batch, prefetch
from magicpose.training.ema import Average
from magicpose.training.latents import encode_clips
from magicpose.training.muon import Muon
from magicpose.training.networks import build_networks, export_networks
from magicpose.training.objective import AutoencoderObjective, DenoisingObjective
from magicpose.training.progress import progress_bar
from magicpose.training.rounding import Rounding
from magicpose.training.stages import STAGES, Stage
from magicpose.training.validation import validate

Objective = AutoencoderObjective | DenoisingObjective


def train(config: TrainConfig, export_only: bool = False) -> Path:
    """Runs (or goes on with) one stage; returns the folder with the finished networks.

    `export_only`: no step is made; the newest checkpoint becomes `export/`, to try a run that is not finished.

    Writes to `config.output`: `config.yaml` (resolved), `log.jsonl`, `checkpoints/`, `sheets/`, `export/`.
    """
    if config.stage not in STAGES:
        raise UserError(f"unknown stage {config.stage!r}: choose one of {', '.join(STAGES)}")
    if export_only and latest_checkpoint(config.output / "checkpoints") is None:
        raise UserError(f"{config.output} holds no checkpoint to export")
    run = _Run(config)
    return run.export(run.first_step) if export_only else run.run()


def learning_rate(config: TrainConfig, step: int) -> float:
    """Warm-up, constant, then linear to zero over the last part; `step` counts from 0."""
    settings = config.optimizer
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    decay_steps = config.steps * settings.decay_fraction
    cool = min(1.0, (config.steps - step) / decay_steps) if decay_steps else 1.0
    return settings.learning_rate * warm * cool


def make_optimizer(settings: OptimizerConfig, trained: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a run over its parameters by name."""
    rest: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": settings.betas,
        "weight_decay": settings.weight_decay,
    }
    if settings.kind == "muon":
        return Muon(trained, **rest)
    return torch.optim.AdamW(trained.values(), fused=True, **rest)


def trained_parameters(objective: nn.Module, patterns: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """What has gradients, by name; with `patterns`, all else is frozen. UserError for a pattern of nothing."""
    trained = {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in trained):
            raise UserError(
                f"trained: {pattern!r} is the name of nothing this stage trains; names are like {next(iter(trained))}"
            )
    chosen = {name: p for name, p in trained.items() if any(fnmatch(name, pattern) for pattern in patterns or ("*",))}
    for name in trained.keys() - chosen.keys():
        trained[name].requires_grad_(False)
    return chosen


class _Run:
    """One process of one run."""

    def __init__(self, config: TrainConfig) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        self.config = config
        self.stage: Stage = STAGES[config.stage]
        # In dropped steps the ControlNet gets no gradient.
        unused = DistributedDataParallelKwargs(find_unused_parameters=self.stage.drops)
        # Without a GPU Accelerate must be told so, or each of several processes takes itself for the only one.
        self.accelerator = Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[unused])
        clips = find_clips(config.data.train)
        self.validation_clips = find_clips(config.data.validation)
        self.networks = build_networks(config, self.stage, [clip.caption for clip in clips])
        self._prepare_output()
        for part, module in self.networks.parts.items():
            module.to(self.accelerator.device, memory_format=torch.channels_last)
            module.requires_grad_(part in self.stage.trains)
        self.objective, self.latents, self.validation_latents = self._objective(clips)
        self.clips = clips
        self.trained = trained_parameters(self.objective, config.trained)
        self.average = Average(self.trained, config.ema_decay)
        self.rounding = Rounding(self.trained, config.rounding)  # before resuming: the grid is that of the run's start
        self.optimizer = make_optimizer(config.optimizer, self.trained)
        self.first_step = self._resume()
        self.wrapped, self.optimizer = self.accelerator.prepare(self.objective, self.optimizer)

    def _objective(self, clips: list[ClipFolder]) -> tuple[Objective, LatentClips | None, LatentClips | None]:
        if self.stage.trains == ("vae",):
            return AutoencoderObjective(self.networks, self.config.loss), None, None
        config = self.config
        objective = DenoisingObjective(self.networks, config.loss, config.data.size_px)
        if objective.model.appearance is not None and not self.stage.tied:
            objective.model.appearance.freeze_dead_parameters()
        vae = self.networks.parts["vae"]
        latent_px = config.data.size_px // _stride(vae)
        map_px = latent_px * objective.model.pose_stride if objective.model.pose_controlnet is not None else 0
        both = [
            encode_clips(some, vae, config.data.size_px, map_px, root, self.accelerator.device)
            for some, root in ((clips, config.data.train), (self.validation_clips, config.data.validation))
        ]
        if config.compile:
            compile_networks(objective)
        return objective, both[0], both[1]

    def _prepare_output(self) -> None:
        """The resolved configuration; refuses to continue a run that was made with other settings."""
        import yaml

        output = self.config.output
        output.mkdir(parents=True, exist_ok=True)
        path, settings = output / "config.yaml", as_plain(self.config)
        if path.exists() and latest_checkpoint(output / "checkpoints") is not None:
            before = yaml.safe_load(path.read_text())
            changed = [key for key in settings if key not in _MAY_CHANGE and before.get(key) != settings[key]]
            if changed:
                raise UserError(
                    f"{output} holds a run with another {changed[0]!r}: use its settings, or another output folder"
                )
        path.write_text(yaml.safe_dump(settings, sort_keys=False))

    def _resume(self) -> int:
        path = latest_checkpoint(self.config.output / "checkpoints")
        if path is None:
            return 0
        model, ema, optimizer, state = load_checkpoint(path)
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(model[name])
        self.average.load(ema)
        self.optimizer.load_state_dict(optimizer)
        self._trim_log(state["step"])
        self.accelerator.print(f"resuming at step {state['step']} from {path}")
        return int(state["step"])

    def _trim_log(self, step: int) -> None:
        """Lines after the checkpoint will be written again."""
        path = self.config.output / "log.jsonl"
        if self.accelerator.is_main_process and path.exists():
            kept = [
                line
                for line in path.read_text().splitlines()
                if line.endswith("}") and json.loads(line)["step"] <= step
            ]
            path.write_text("".join(line + "\n" for line in kept))

    def _autocast(self) -> torch.autocast:
        """Not Accelerate's own: its precision is one for the whole process, and a second run may want another."""
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        rank, config = self.accelerator.process_index, self.config

        def make(step: int) -> Batch:
            if self.latents is None:
                return image_batch(self.clips, config, step, rank)
            return latent_batch(self.latents, self.stage, config, step, rank)

        return prefetch(make, self.first_step, config.steps)

    def run(self) -> Path:
        """The loop."""
        config, accelerator = self.config, self.accelerator
        losses: list[torch.Tensor] = []
        watched: dict[str, list[torch.Tensor]] = {}
        logged = saved = time.monotonic()
        with progress_bar(config.stage, config.steps - self.first_step) as advance:
            for step, batch in self._batches():
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(config, step)
                with self.rounding.applied() if step >= config.rounding_begins else nullcontext():
                    with self._autocast():
                        loss = self.wrapped(_to(batch, accelerator.device)).mean()
                    accelerator.backward(loss)
                accelerator.clip_grad_norm_(self.trained.values(), config.optimizer.clip_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
                done = step + 1
                self.average.update(done)
                losses.append(loss.detach())
                for name, value in self.objective.watched.items():
                    watched.setdefault(name, []).append(value)
                if done % config.log_steps == 0:
                    seconds = (time.monotonic() - logged) / len(losses)
                    loss_so_far = float(accelerator.gather(torch.stack(losses)).mean())  # of all processes
                    means = {name: float(torch.stack(values).mean()) for name, values in watched.items()}
                    self._log({"step": done, "loss": loss_so_far, **means, "seconds_per_step": round(seconds, 3)})
                    losses, watched, logged = [], {}, time.monotonic()
                if done % config.validation_steps == 0:
                    self._validate(done)
                    logged = time.monotonic()
                if (time.monotonic() - saved) / 60 >= config.checkpoint_minutes:
                    self._save(done)
                    saved = time.monotonic()
                advance(1)
        return self._finish()

    @contextmanager
    def _finished(self) -> Iterator[None]:
        """The networks as they would be exported now."""
        with self.average.applied(), self.rounding.applied():
            yield

    def _validate(self, step: int) -> None:
        if not self.accelerator.is_main_process:
            return
        sheet = self.config.output / "sheets" / f"step-{step:06d}.png"
        with self._finished(), self._autocast():
            numbers = validate(self.networks, self.validation_clips, self.validation_latents, self.config, sheet)
        self._log({"step": step, **numbers})

    def _log(self, line: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with (self.config.output / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            self.accelerator.print(" ".join(f"{key} {value:.6g}" for key, value in line.items()), flush=True)

    def _save(self, step: int) -> None:
        if self.accelerator.is_main_process:
            model = {name: parameter.detach() for name, parameter in self.trained.items()}
            state = {"stage": self.config.stage}
            save_checkpoint(
                self.config.output / "checkpoints", step, model, self.average.values, self.optimizer.state_dict(), state
            )

    def _finish(self) -> Path:
        """The last checkpoint, the last sheet, the export."""
        self._save(self.config.steps)
        if self.config.steps % self.config.validation_steps:  # or the loop has just done it
            self._validate(self.config.steps)
        return self.export(self.config.steps)

    def export(self, steps: int) -> Path:
        """The averaged networks after `steps` steps in our format, put in place at once."""
        export = self.config.output / "export"
        if self.accelerator.is_main_process:
            draft = self.config.output / ".export.part"
            shutil.rmtree(draft, ignore_errors=True)
            with self._finished():
                if self.latents is None:
                    self._normalise_latents()
                about = {"stage": self.config.stage, "steps": steps}
                export_networks(self.networks, draft, {"trained": about, "size_px": self.config.data.size_px})
            shutil.rmtree(export, ignore_errors=True)
            draft.rename(export)
        self.accelerator.wait_for_everyone()
        return export

    @torch.no_grad()
    def _normalise_latents(self) -> None:
        """Latents of unit variance per channel, measured on training pictures, folded into the weights."""
        vae = self.networks.parts["vae"]
        batches = [image_batch(self.clips, self.config, self.config.steps + k, 0).images for k in range(8)]
        latents = torch.cat(
            [vae.encode(images.to(vae.device)).latent_dist.sample() for images in batches if images is not None]
        )
        vae.normalise_latents(latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)))


# Settings that change neither the weights nor what is logged about them.
_MAY_CHANGE = {"compile", "checkpoint_minutes", "output", "log_steps", "validation_steps"}


def compile_networks(objective: DenoisingObjective) -> None:
    """torch.compile for each network by itself: one graph of all three takes far longer to make."""
    model = objective.model
    for network in (model.unet, model.pose_controlnet, model.appearance.unet if model.appearance else None):
        if network is not None:
            network.compile(dynamic=False)


def _stride(vae: Any) -> int:
    from magicpose.networks.autoencoder import stride

    return stride(vae)


def _to(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    moved: dict[str, Any] = {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in vars(batch).items()
    }
    return Batch(**moved)
