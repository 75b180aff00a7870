"""One command per task, such as `restore denoise`: its options, and the checks that need no torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import typer

from restore.cli import help, options
from restore.errors import UsageError
from restore.inference.precision import check_precision
from restore.tasks import TASKS, Task


def add_commands(app: typer.Typer) -> None:
    """Give `app` a command for every task."""
    for task in TASKS.values():
        app.command(
            task.name,
            short_help=task.summary,
            help=f"{task.summary}\n\n{task.help}",
            rich_help_panel="Restore",
            **help.command(*_examples(task), page="photographs.md"),
        )(_command(task))


def _examples(task: Task) -> tuple[str, str]:
    picture, more = ("mosaic.png", " --pattern GRBG") if task.takes_mosaic else ("photo.jpg", "")
    if task.name == "upscale":
        more = " --scale 2"
    return (
        f"restore {task.name} {picture} -o restored.png{more}",
        f"restore {task.name} photos -r -o restored{more} --skip-existing",
    )


def _command(task: Task) -> Callable[..., None]:
    def command(
        inputs: options.Inputs,
        output: options.Output = None,
        suffix: options.Suffix = "",
        format: options.Format = None,
        quality: options.Quality = None,
        pattern: options.Pattern = "RGGB",
        strength: options.Strength = 1.0,
        self_ensemble: options.SelfEnsemble = False,
        weights: options.Weights = None,
        level: float | None = None,
        recursive: options.Recursive = False,
        skip_existing: options.SkipExisting = False,
        overwrite: options.Overwrite = False,
        on_error: options.OnError = "continue",
        dry_run: options.DryRun = False,
        json_file: options.Json = None,
        print0: options.Print0 = False,
        tile: options.Tile = "auto",
        overlap: options.Overlap = 32,
        memory: options.Memory = None,
        device: options.Device = "auto",
        threads: options.Threads = None,
        precision: options.Precision = "auto",
        compile_network: options.Compile = False,
        verbose: options.Verbose = False,
    ) -> None:
        # Check the options before the import of torch, which takes seconds.
        largest_tile = options.parse_tile(tile, overlap)
        memory_bytes = None if memory is None else options.parse_memory(memory)
        options.check_device(device)
        check_precision(precision)
        if overwrite and skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other", hint="leave out one of them")
        if dry_run and json_file is not None:
            raise UsageError(
                "--dry-run restores nothing, so --json has nothing to report", hint="leave out one of them"
            )
        if output == json_file == "-":
            raise UsageError("stdout cannot take both the picture and the JSON", hint="--json FILE")
        if print0 and json_file == "-":
            raise UsageError("--print0 ends paths, and --json - prints none", hint="leave out one of them")
        from restore.batch.task_restorer import RestorerChoice
        from restore.cli import task_run
        from restore.cli.streams import one_line

        work = task_run.plan(
            inputs, output, recursive=recursive, suffix=suffix, format=format, overwrite=overwrite,
            skip_existing=skip_existing,
        )  # fmt: skip
        end = "\0" if print0 else "\n"
        if dry_run:
            for job in work.to_do:
                print(one_line(str(job), sys.stdout), end=end)
            return
        task_run.carry_out(
            work,
            RestorerChoice(task, weights, level, device, precision, compile_network, threads),
            {"tile": largest_tile, "overlap": overlap, "memory": memory_bytes}
            | {"strength": strength, "self_ensemble": self_ensemble},
            pattern if task.takes_mosaic else None,
            {"format": format, "quality": quality, "stop_on_error": on_error == "stop"}
            | {"overwrite": overwrite, "skip_existing": skip_existing},
            json_file=json_file,
            verbose=verbose,
            end=end,
        )

    # The level has the name that the task gives it; only mosaics have a pattern.
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
