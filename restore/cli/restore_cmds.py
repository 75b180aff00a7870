"""One command for every task: `restore denoise`."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer

from restore import catalogue, checkpoints
from restore.cli import options
from restore.cli.console import Progress, describe
from restore.errors import RestoreError, UsageError
from restore.tasks import TASKS, Task


def add_commands(app: typer.Typer) -> None:
    """Give `app` a command for every task."""
    for task in TASKS.values():
        app.command(task.name, short_help=task.summary, help=f"{task.summary}\n\n{task.help}")(_command(task))


def _command(task: Task) -> Callable[..., None]:
    def command(
        inputs: options.Inputs,
        output: options.Output,
        weights: options.Weights = None,
        strength: options.Strength = 1.0,
        tile: options.Tile = "auto",
        overlap: options.Overlap = 32,
        device: options.Device = "auto",
        precision: options.Precision = "float32",
        compile_network: options.Compile = False,
        overwrite: options.Overwrite = False,
        verbose: options.Verbose = False,
    ) -> None:
        # Everything that can be refused is refused before torch is imported, which takes seconds.
        largest_tile = options.parse_tile(tile, overlap)
        options.check_device(device)
        options.check_precision(precision)
        from restore import batch

        jobs = batch.plan(inputs, output, overwrite=overwrite)
        found = checkpoints.resolve(weights or catalogue.default_for(task.name).name)
        if found.entry and found.entry.task != task.name:
            raise UsageError(
                f"{found.entry.name} are weights to {found.entry.task}, not to {task.name}",
                hint=f"leave out --weights, or use `restore {found.entry.task}`",
            )

        from restore.devices import keep_memory
        from restore.restorer import Restorer

        keep_memory()
        failed: list[batch.Outcome] = []
        with Progress(len(jobs)) as progress:
            network, info = checkpoints.load(found)
            restorer = Restorer(
                network, device=device, entry=info.entry, precision=precision, compile_network=compile_network
            )
            if verbose:
                progress.say(f"weights {found.path} (SHA-256 {found.sha256[:12]}...), device {restorer.device}")
            begun = time.perf_counter()
            for outcome in batch.run(
                jobs,
                lambda picture: (
                    restorer.restore_picture(
                        picture, tile=largest_tile, overlap=overlap, strength=strength, progress=progress.tile
                    ).picture
                ),
                started=lambda job: progress.file(job.source.name),
            ):
                seconds, begun = time.perf_counter() - begun, time.perf_counter()
                for note in outcome.notes:
                    progress.say(f"note:  {outcome.job.source}: {note}")
                if outcome.error is None:
                    progress.result(str(outcome.job.target))
                    if verbose:
                        progress.say(f"{outcome.job.source}: {seconds:.1f} s")
                elif len(jobs) == 1:
                    raise outcome.error
                else:
                    progress.say(describe(RestoreError(outcome.reason, hint=outcome.error.hint)))
                    failed.append(outcome)
        if failed:
            raise RestoreError(
                f"{len(failed)} of {len(jobs)} pictures failed:\n"
                + "\n".join(f"  {outcome.reason}" for outcome in failed)
            )

    return command
