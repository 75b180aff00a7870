"""One command for every task: `restore denoise`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer

from restore.cli import options
from restore.errors import UsageError
from restore.inference.precision import check_precision
from restore.tasks import TASKS, Task


def add_commands(app: typer.Typer) -> None:
    """Give `app` a command for every task."""
    for task in TASKS.values():
        app.command(task.name, short_help=task.summary, help=f"{task.summary}\n\n{task.help}")(_command(task))


def _command(task: Task) -> Callable[..., None]:
    def command(
        inputs: options.Inputs,
        output: options.Output = None,
        recursive: options.Recursive = False,
        suffix: options.Suffix = "",
        format: options.Format = None,
        quality: options.Quality = None,
        weights: options.Weights = None,
        level: float | None = None,
        pattern: options.Pattern = "RGGB",
        strength: options.Strength = 1.0,
        self_ensemble: options.SelfEnsemble = False,
        tile: options.Tile = "auto",
        overlap: options.Overlap = 32,
        memory: options.Memory = None,
        device: options.Device = "auto",
        threads: options.Threads = None,
        precision: options.Precision = "auto",
        compile_network: options.Compile = False,
        overwrite: options.Overwrite = False,
        skip_existing: options.SkipExisting = False,
        on_error: options.OnError = "continue",
        dry_run: options.DryRun = False,
        json_file: options.Json = None,
        verbose: options.Verbose = False,
    ) -> None:
        # Everything that can be refused is refused before torch is imported, which takes seconds.
        largest_tile = options.parse_tile(tile, overlap)
        memory_bytes = None if memory is None else options.parse_memory(memory)
        options.check_device(device)
        check_precision(precision)
        if overwrite and skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other", hint="leave out one of them")
        if dry_run and json_file is not None:
            raise UsageError("--dry-run does nothing that --json could tell", hint="leave out one of them")
        if output == json_file == "-":
            raise UsageError("stdout cannot take both the picture and the JSON", hint="--json FILE")
        from restore.cli import restore_run

        work = restore_run.plan(
            inputs, output, recursive=recursive, suffix=suffix, format=format, overwrite=overwrite,
            skip_existing=skip_existing,
        )  # fmt: skip
        if dry_run:
            for job in work.to_do:
                print(job)
            return
        restore_run.carry_out(
            work,
            restore_run.Loading(task, weights, level, device, precision, compile_network, threads),
            {
                "tile": largest_tile,
                "overlap": overlap,
                "strength": strength,
                "self_ensemble": self_ensemble,
                "memory": memory_bytes,
            },
            pattern if task.takes_mosaic else None,
            {"format": format, "quality": quality, "stop_on_error": on_error == "stop"},
            json_file=json_file,
            verbose=verbose,
        )

    # Only what the task has: its level under its own name, and the pattern of a mosaic.
    signature = inspect.signature(command, eval_str=True)
    parameters = dict(signature.parameters)
    if task.level is None:
        del parameters["level"]
    else:
        parameters["level"] = parameters["level"].replace(annotation=options.level_of(task))
    if not task.takes_mosaic:
        del parameters["pattern"]
    command.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    return command
