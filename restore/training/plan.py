"""What a run is asked to do, checked before torch is imported, which takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from restore import checkpoints
from restore.datasets.registry import dataset_called
from restore.errors import DataError, UsageError
from restore.training.recipe import PAIRS, Recipe, load_recipe, recipe_for
from restore.training.sources import Sources, check_sources, find_dataset, find_sources

_BEGUN = {"recipe.json", "sessions.jsonl"}


@dataclass(frozen=True)
class TrainingPlan:
    """A run that `restore.training.loop.train` can start.

    Attributes:
        recipe: What to do.
        source: The name or file of the recipe.
        name: What cards call the recipe: its name or its file's name, and whether fields were changed.
        data: Folder of clean photos; None to train on pairs alone, and for a dataset.
        pairs: Folders of clean and of degraded pictures.
        sources: The pictures.
        start_from, transfer_from: Files of weights to start from.
    """

    recipe: Recipe
    source: str
    name: str
    data: Path | None
    pairs: tuple[Path, Path] | None
    sources: Sources
    start_from: str | None = None
    transfer_from: str | None = None


def plan_training(
    recipe: str | None,
    run: Path,
    *,
    data: Path | None,
    pairs: tuple[Path | None, Path | None] = (None, None),
    task: str | None = None,
    network: str | None = None,
    config: str | None = None,
    changes: Mapping[str, str] | None = None,
    resume: bool = False,
    start_from: str | None = None,
    transfer_from: str | None = None,
    is_first: bool = True,
    dataset: tuple[str, Path, str | None] | None = None,
    recursive: bool = False,
) -> TrainingPlan:
    """Choose the recipe of a run and check its data.

    Args:
        recipe: A shipped recipe or a `.toml` file. None takes that of the task and network, or with `resume` that of
            the run.
        run: Folder of the run.
        data: Folder of clean photos.
        pairs: Folders of clean and of degraded pictures; both or none.
        task: What to learn; by default that of the recipe, of the dataset, or `denoise`.
        network, config: Choose the recipe, and change it if it has others.
        changes: Fields of the recipe and their values as text.
        resume: Whether to continue the run in `run`.
        start_from, transfer_from: Names or files of weights to start from; one of them at most.
        is_first: Whether this is the first of the processes of the run; the others may find its folder in use.
        dataset: Instead of folders, the name of a dataset, the folder that holds it, and its split (None for `train`).
        recursive: Include the subfolders of the folders.

    Raises:
        UsageError: The arguments contradict each other, or the recipe is wrong.
        DataError: `run` cannot be used, or a folder holds no pictures.
        WeightsError: There are no such weights.
    """
    _check_start(resume, start_from, transfer_from)
    clean, degraded = pairs
    check_sources(data, pairs, *(dataset or (None, None, None)))
    both = None if clean is None or degraded is None else (clean, degraded)
    if is_first:
        check_run_folder(run, resume=resume)
    sources = find_sources(data, both, recursive=recursive) if dataset is None else find_dataset(*dataset)
    fields = {key: value for key, value in (("network", network), ("config", config)) if value is not None}
    if not sources.photos:
        fields["degradation"] = PAIRS
    fields |= changes or {}
    usual = "denoise" if dataset is None else dataset_called(dataset[0]).task
    source = recipe or (
        str(run / "recipe.json") if resume
        else recipe_for(task or usual, network, config, has_pairs=not sources.photos)
    )  # fmt: skip
    start_from, transfer_from = (
        None if weights is None else str(checkpoints.resolve(weights).path) for weights in (start_from, transfer_from)
    )
    chosen = load_recipe(source, fields)  # imports torch if all else is right
    if task is not None and task != chosen.task:
        raise UsageError(f"{source} is a recipe for {chosen.task}, not for {task}", hint="leave out --task")
    _check_degradation(chosen, source, has_photos=bool(sources.photos))
    name = Path(source).name + ", changed" * bool(network or config or changes)
    return TrainingPlan(chosen, source, name, data, both, sources, start_from, transfer_from)


def _check_start(resume: bool, start_from: str | None, transfer_from: str | None) -> None:
    """Refuse two things to start from."""
    given = [name for name, value in (("--from", start_from), ("--transfer", transfer_from)) if value is not None]
    if resume and given:
        raise UsageError(f"--resume continues with the run's own weights, not {given[0]}", hint=f"leave out {given[0]}")
    if len(given) > 1:
        raise UsageError("--from and --transfer both name weights to start from", hint="leave out one")


def _check_degradation(recipe: Recipe, source: str, *, has_photos: bool) -> None:
    """Refuse a degradation of photos without photos, and a recipe for pairs with photos."""
    if (recipe.degradation == PAIRS) != has_photos:
        return
    hint = "use --clean DIR --degraded DIR, or degrade the photos of --data with --set degradation=NAME"
    if not has_photos:
        raise UsageError(f"{recipe.degradation} needs photos to degrade, and there is no --data", hint=hint)
    dataset = f" ({recipe.dataset})" if recipe.dataset else ""
    raise UsageError(f"{source} is a recipe for pairs of pictures{dataset}", hint=hint)


def check_run_folder(run: Path, *, resume: bool) -> None:
    """Refuse a folder that cannot hold a new run, or that holds none to resume.

    Raises:
        DataError: Without `resume`, `run` is a file or a folder that is not empty.
        UsageError: With `resume`, `run` holds no state.
    """
    if resume and not (run / "state.pt").is_file():
        raise UsageError(f"{run} holds no state.pt to resume from", hint="leave out --resume to start a new run")
    if not resume and run.exists() and not run.is_dir():
        raise DataError(f"{run} is a file, not a folder", hint="choose another name for the run")
    names = {path.name for path in run.iterdir() if not path.name.startswith(".restore-")} if run.is_dir() else set()
    if _BEGUN <= names <= {*_BEGUN, "log.jsonl"}:  # the run was killed before it had a state
        return
    if not resume and names:
        raise DataError(f"{run} is not empty", hint="add --resume to continue that run, or choose another folder")
