"""`restore run`: several steps on each picture, from a list or a recipe."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli.help import INPUT_OUTPUT, QUALITY
from restore.cli.task_commands import Given, Prepared, command_of, prepare
from restore.errors import UsageError
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.batch.report import RunReport
    from restore.batch.step_chain import Chain, StepLoader
    from restore.batch.steps import Step
    from restore.cli.progress_bar import Progress
    from restore.cli.task_run import Restore
    from restore.images import Picture
    from restore.inference.restored import Restored

_EXAMPLE = "restore run denoise,upscale:2 photo.jpg -o restored.png"

StepsAndInputs = Annotated[
    list[str],
    typer.Argument(
        metavar="STEPS INPUT",
        rich_help_panel=INPUT_OUTPUT,
        help="Steps such as denoise,upscale:2 (none with --recipe). Then pictures, folders, patterns ('*.jpg'), or - "
        "for stdin.",
    ),
]


def _recipes() -> list[str]:
    """Names of the shipped recipes, for the shell."""
    from restore.batch import step_recipes

    return step_recipes.shipped()


Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        rich_help_panel=QUALITY,
        autocompletion=_recipes,
        help="Take the steps from a TOML file, or from a shipped recipe: old-scans, phone-night or web-picture.",
        show_default=False,
    ),
]


StrengthOfSteps = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="N",
        rich_help_panel=QUALITY,
        help="Multiply the strength of every step: 0 changes nothing, 1 is the full effect. Upscaling stays as it is.",
    ),
]


@dataclass(frozen=True)
class RunGiven(Given):
    """The options of `restore run`."""

    recipe: Recipe = None


def command() -> Callable[..., None]:
    """The function that Typer calls."""
    without = {"level", "weights", "self_ensemble", "pattern"}
    return command_of(RunGiven, _run, without, {"inputs": StepsAndInputs, "strength": StrengthOfSteps})


def _run(given: RunGiven) -> None:
    """Do several steps on each picture, such as derain, denoise and upscale."""
    from restore.batch import step_recipes
    from restore.batch.steps import parse_steps, scaled

    words = list(given.inputs)
    if given.recipe is None and (os.path.isfile(words[0]) or os.path.isdir(words[0])):
        raise UsageError(f"{words[0]} is no list of steps", hint=f"give the steps first: {_EXAMPLE}")
    if given.recipe is not None and not os.path.lexists(words[0]) and re.match(rf"({'|'.join(TASKS)})\b", words[0]):
        raise UsageError("STEPS and --recipe contradict each other", hint="leave out one of them")
    steps = parse_steps(words.pop(0)) if given.recipe is None else step_recipes.load_steps(given.recipe)
    if not words:
        raise UsageError("INPUT is missing", hint=_EXAMPLE)
    run = prepare(replace(given, inputs=words), upscales=any(step.task == "upscale" for step in steps))
    steps = scaled(steps, given.strength)
    if given.dry_run:
        run.tell_jobs()
        _tell_steps(steps, given)
        run.tell_time(steps)
        return
    run.carry_out(_loading(steps, run.without_pictures()))


def loader_for(given: Given, device: str) -> StepLoader:
    """What loads the networks of a run with these options."""
    from restore.batch.step_chain import StepLoader

    return StepLoader(
        device=device,
        precision=given.precision,
        compile_network=given.compile_network,
        threads=given.threads,
        backend=given.backend,
    )


def note_chain(chain: Chain, report: RunReport) -> None:
    """Note in the report what the chain runs on."""
    restorer = chain.steps[0].restorer
    report.device, report.threads = str(restorer.device), restorer.threads


def with_steps(chain: Chain, picture: Picture, after_tile: Callable[[int, int], None], run: Prepared) -> Restored:
    """The picture after all steps, or their contact sheet: each panel is what a run with its `--strength` gives."""
    strengths = run.strengths
    if not strengths:
        return chain.restore_picture(picture, progress=after_tile, **run.how)
    from restore.inference.region import place_in
    from restore.viewer.contact import contact_sheet, mixed

    original = place_in(picture, run.how["region"]).cut(picture)
    if chain.steps[0].step.pattern is not None:  # a mosaic has other channels
        original = chain.scaled(0).restore_picture(picture, **run.how).picture
    if len(chain.steps) == 1:
        restored = chain.restore_picture(picture, progress=after_tile, **run.how)
        panels = [mixed(original.pixels, restored.picture.pixels, strength) for strength in strengths]
    else:  # no mix of two pictures equals weaker steps after one another
        panels = []
        for index, strength in enumerate(strengths):
            after = partial(_after_panel, after_tile, index, len(strengths))
            restored = chain.scaled(strength).restore_picture(picture, progress=after, **run.how)
            panels.append(restored.picture.pixels)
    return replace(restored, picture=contact_sheet(original, panels, strengths))


def _after_panel(after_tile: Callable[[int, int], None], index: int, panels: int, done: int, total: int) -> None:
    """The progress of one panel of several, as that of all."""
    after_tile(index * total + done, panels * total)


def _loading(steps: tuple[Step, ...], run: Prepared) -> Callable[[RunReport, Progress], Restore]:
    """What loads the networks of the steps."""

    def load(report: RunReport, progress: Progress) -> Restore:
        chain = loader_for(run.given, report.rank.device(run.given.device)).chain(steps)
        note_chain(chain, report)
        if run.given.verbose:
            for loaded in chain.steps:
                progress.say(
                    f"{loaded.step.task}: weights {loaded.weights.path} (SHA-256 {loaded.weights.sha256[:12]}...), "
                    f"device {report.device}, precision {loaded.restorer.precision}"
                )

        def restore(picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
            return with_steps(chain, picture, after_tile, run)

        return restore

    return load


def _tell_steps(steps: tuple[Step, ...], given: Given) -> None:
    """Say the steps and their weights, on stderr."""
    from restore.cli.streams import say

    loader = loader_for(given, given.device)
    for number, step in enumerate(steps, 1):
        found = loader.find(step)
        strength = "" if step.strength == 1 else f", strength {step.strength:g}"
        say(f"note:  step {number}: {step.task} with {found.entry.name if found.entry else found.path}{strength}")
