"""The training loop: one for all stages; a stage is a row in a table, a kind of training another.

Run the same command again after an interruption, `kill -9` included, and it continues: the newest checkpoint is
resumed, and every later step is what it would have been.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from magicpose.errors import UserError, require
from magicpose.progress import Reporter, Silent
from magicpose.training.checkpoint import load_checkpoint, save_checkpoint
from magicpose.training.config import TrainConfig, check_counts
from magicpose.training.data.prefetch import prefetch
from magicpose.training.ema import Average
from magicpose.training.meter import Meter, peak_memory_gib
from magicpose.training.networks import export_networks
from magicpose.training.optimiser import learning_rate, make_optimizer
from magicpose.training.output import RunFolder
from magicpose.training.rounding import Rounding
from magicpose.training.setup import make_accelerator, set_up
from magicpose.training.stages import STAGES


def train(config: TrainConfig, export_only: bool = False, report: Reporter | None = None) -> Path:
    """Runs (or continues) one stage; returns the folder with the finished networks.

    Writes to `config.output`: `config.yaml` (resolved), `log.jsonl`, `checkpoints/`, `sheets/`, `export/`.

    Args:
        config: the stage and its settings, see `load_config`.
        export_only: no step is made; the newest checkpoint becomes `export/`, to try a run that is not finished.
        report: hears of stages of the work and of every line of the log; None: nobody does.

    Raises UserError for settings, data or an output folder that cannot be used.
    """
    require("accelerate", "yaml")
    check_counts(config)
    if config.stage not in STAGES:
        raise UserError(f"unknown stage {config.stage!r}: choose one of {', '.join(STAGES)}")
    if export_only and RunFolder(config.output).newest() is None:
        raise UserError(f"{config.output} holds no checkpoint to export")
    accelerator = make_accelerator(STAGES[config.stage])
    run = _Run(config, accelerator, report if report is not None and accelerator.is_main_process else Silent())
    return run.export(run.first_step) if export_only else run.run()


class _Run:
    """One process of one run."""

    def __init__(self, config: TrainConfig, accelerator: Any, report: Reporter) -> None:
        self.config, self.accelerator, self.report = config, accelerator, report
        self.folder = RunFolder(config.output)
        self.folder.check(config)
        setup = set_up(config, accelerator.device)
        if accelerator.is_main_process:
            self.folder.write_config(config)
        self.networks, self.task, self.trained = setup.networks, setup.task, setup.trained
        self.task.prepare(setup.clips, accelerator.device, accelerator, report)
        self.average = Average(self.trained, config.ema_decay)
        self.rounding = Rounding(self.trained, config.rounding)  # before resuming: the grid is that of the run's start
        self.optimizer = make_optimizer(config.optimizer, self.trained)
        self.first_step = self._resume()
        self.wrapped, self.optimizer = accelerator.prepare(self.task.objective, self.optimizer)

    def _resume(self) -> int:
        path = self.folder.newest()
        if path is None:
            return 0
        model, ema, optimizer, state = load_checkpoint(path)
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(model[name])
        self.average.load(ema)
        self.optimizer.load_state_dict(optimizer)
        if self.accelerator.is_main_process:
            self.folder.trim_log(state["step"])
        self.report.say(f"resuming at step {state['step']} from {path}")
        return int(state["step"])

    def run(self) -> Path:
        """The loop."""
        config, first = self.config, self.first_step
        many, rank = config.batch.accumulate, self.accelerator.process_index
        batches = prefetch(lambda number: self.task.batch(number, rank), first * many, config.steps * many)
        self.meter, self.saved = Meter(), time.monotonic()
        with self.report.stage(config.stage) as progress:
            for step in range(first, config.steps):
                try:
                    together = [next(batches)[1] for _ in range(many)]
                except UserError:  # a frame that cannot be read
                    self._save(step)
                    raise
                self._step(step, together)
                self._between_steps(step + 1)
                progress(step + 1 - first, config.steps - first)
        self._save(config.steps)
        if config.steps % config.validation_steps:  # or the loop has just done it
            self._validate(config.steps)
        return self.export(config.steps)

    def _step(self, step: int, batches: list[Any]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, step)
        with self.rounding.applied() if step >= self.config.rounding_begins else nullcontext():
            for number, batch in enumerate(batches, 1):
                with nullcontext() if number == len(batches) else self.accelerator.no_sync(self.wrapped):
                    self._add_gradients(batch, len(batches))
        self.accelerator.clip_grad_norm_(self.trained.values(), self.config.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(step + 1)
        self.meter.steps += 1

    def _add_gradients(self, batch: Any, batches: int) -> None:
        with self._autocast():
            losses = self.wrapped(self.task.to_device(batch, self.accelerator.device))
            loss = losses.per_picture.mean()
        self.accelerator.backward(loss / batches)
        self.meter.add(loss.detach(), losses.parts)

    def _autocast(self) -> torch.autocast:
        """Not Accelerate's own: its precision is one for the whole process, and a second run may want another."""
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _between_steps(self, done: int) -> None:
        """Log, validation and checkpoint after `done` steps, each where it is due."""
        if done % self.config.log_steps == 0:
            self._log(done)
        if done % self.config.validation_steps == 0:
            began = time.monotonic()
            self._validate(done)
            self.meter.began += time.monotonic() - began
        if (time.monotonic() - self.saved) / 60 >= self.config.checkpoint_minutes:
            self._save(done)
            self.saved = time.monotonic()

    def _log(self, done: int) -> None:
        meter, self.meter = self.meter, Meter()
        loss = float(self.accelerator.gather(torch.stack(meter.losses)).mean())  # of all processes
        line = {"step": done, "loss": loss, **meter.means(), "seconds_per_step": meter.seconds_per_step()}
        line["learning_rate"] = learning_rate(self.config, done - 1)
        self._write(line | {"peak_memory_gib": peak_memory_gib(self.accelerator.device)})

    def _write(self, line: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            self.folder.log(line)
            self.report.say(" ".join(f"{key} {value:.6g}" for key, value in line.items()))

    @contextmanager
    def _finished(self) -> Iterator[None]:
        """The networks as they would be exported now."""
        with self.average.applied(), self.rounding.applied():
            yield

    def _validate(self, step: int) -> None:
        if self.accelerator.is_main_process:
            with self._finished(), self._autocast():
                numbers = self.task.validate(self.folder.sheet(step))
            self._write({"step": step, **numbers})

    def _save(self, step: int) -> None:
        if self.accelerator.is_main_process:
            model = {name: parameter.detach() for name, parameter in self.trained.items()}
            optimizer, state = self.optimizer.state_dict(), {"stage": self.config.stage}
            save_checkpoint(self.folder.checkpoints, step, model, self.average.values, optimizer, state)

    def export(self, steps: int) -> Path:
        """The averaged networks after `steps` steps in our format, put in place at once."""

        def write(folder: Path) -> None:
            export_networks(self.networks, folder, self.config, steps)

        if self.accelerator.is_main_process:
            with self._finished():
                self.task.before_export()
                self.folder.export(write)
        self.accelerator.wait_for_everyone()
        return self.folder.path / "export"
