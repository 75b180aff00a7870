"""What a training run is told before it starts: its recipe, and the folder it writes. Nothing here needs torch."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from restore.degradations import DEGRADATIONS as DEGRADATIONS
from restore.degradations import Draw
from restore.errors import DataError, UsageError, did_you_mean
from restore.tasks import TASKS

LABELLED = ("bicubic", "mosaic")  # degradations that make the same of a picture every time
PAIRS = "pairs"  # the degradation of recipes that are for pairs of pictures
CHOICES = {
    "loss": ("l1", "l2", "rmse", "rmse-mean", "charbonnier", "charbonnier-edge"),
    "optimizer": ("adamw", "adam", "muon"),
    "schedule": ("cosine", "halving"),
    "start": ("random", "identity"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
}
_BEGUN = {"recipe.json", "sessions.jsonl"}
_FOLDER = Path(__file__).parent / "recipes"
_KINDS: dict[str, tuple[type[Any], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "float | None": (float, "a number"),
    "int | None": (int, "a whole number"),
    "str": (str, "text"),
    "tuple[tuple[int, int, int], ...]": (list, "a list such as [[20000, 8, 64]]"),
    "tuple[str, ...]": (list, 'a list such as ["jpeg:40"]'),
    "dict[str, Any]": (dict, 'a table, as JSON such as {"dim": 64}'),
}
_LEAST = dict.fromkeys(("steps", "batch", "crop", "validate_every", "halve_every", "accumulate"), 1)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run; one TOML file each, which may name a `base` to add to.

    Attributes:
        task: Key of `TASKS`, written into the checkpoint.
        network, config: Key of `NETWORKS`, and of its `CONFIGS`.
        options: What of that config is to be different, such as `{dim = 64}`.
        degradation: Key of `DEGRADATIONS`, made from clean photos on the way; or `pairs`, for a folder of each.
        level_low, level_high: The degradation's strengths, in the unit of the task's level; its own where not given.
        pairs_share: Where there are both photos and pairs, this share of the crops is of pairs.
        labels: Folder of pictures that `scripts/make_labels.py` made of the photos by a better network; they have the
            photos' names and sizes. Only for a degradation of `LABELLED`.
        teacher_share: Share of the photos' crops that is compared with the label instead of the photo.
        dataset: What a published run was trained on, for people to read.
        steps: Optimiser steps in all; the learning rate follows them.
        batch, crop: Crops a step, of all processes together, and the side of what the network is given, in pixels.
        stages: Other batches and crops at the beginning, each (until step, batch, crop), in order; one that
            reaches beyond `steps` lasts until the end.
        accumulate: A batch goes through the network in so many parts, which takes less memory.
        loss: `l1`, `l2`, `rmse`, `rmse-mean`, `charbonnier`, or `charbonnier-edge` (CS-KiT eq. 12).
        edge_weight: lambda of eq. 12. The paper does not give it; 0.05 is MPRNet's.
        optimizer, weight_decay, beta1, beta2: A `beta2` below 0.999 stands a larger learning rate, for short runs.
        learning_rate, warm_up, schedule: Linear from 0 over `warm_up` steps; then by one of `CHOICES`.
        hold, final_learning_rate: `cosine` holds the rate for so many steps, then a half cosine leads to the final one.
        halve_every: `halving` halves the rate after every so many steps, down to the final one.
        local_steps: So many steps at the beginning leave the networks' attention out (`Network.use_attention`): on a
            CPU they are three times faster, and until the convolutions have learned, attention adds little.
        clip_norm: Largest norm of the gradient; 0 lets any be.
        skip_limit: So many batches in a row are left out because their gradient is not finite; one more is an error.
        ema: Decay a step of the averaged weights, which are what is saved and scored; 0 averages nothing.
        start: `random` weights, or such that a picture comes out as it is (`Network.start_as_identity`).
        seed: Fixes the initial weights and every crop.
        held_out: The last so many photos, and pairs, are kept for validation.
        held_out_pairs: So many pairs, where it is not as many as photos.
        validate: Kinds of degradation, each a key of `DEGRADATIONS` with or without a level (`jpeg:40`); every held-out
            photo is validated under each. Nothing draws one degradation a photo from those trained on.
        validate_every: Steps between validations.
        validate_crop: Side of the middle of the held-out photos that is scored, in pixels; 0 scores them whole.
        precision: `float32`, `bfloat16` or `float16` (autocast), or `auto`: float32 or bfloat16, whichever runs a step
            faster on the device.
    """

    task: str
    network: str
    config: str
    degradation: str
    steps: int
    batch: int
    crop: int
    learning_rate: float
    final_learning_rate: float
    warm_up: int
    weight_decay: float
    clip_norm: float
    ema: float
    edge_weight: float
    seed: int
    held_out: int
    validate_every: int
    precision: str = "auto"
    beta2: float = 0.999
    local_steps: int = 0
    level_low: float | None = None
    level_high: float | None = None
    pairs_share: float = 0.25
    dataset: str = ""
    stages: tuple[tuple[int, int, int], ...] = ()
    accumulate: int = 1
    loss: str = "charbonnier-edge"
    optimizer: str = "adamw"
    beta1: float = 0.9
    start: str = "random"
    schedule: str = "cosine"
    hold: int = 0
    halve_every: int = 200_000
    skip_limit: int = 10
    validate_crop: int = 0
    validate: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    labels: str = ""
    teacher_share: float = 1.0
    held_out_pairs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(tuple(stage) for stage in self.stages))  # JSON and TOML have lists
        object.__setattr__(self, "validate", tuple(self.validate))

    @property
    def largest_crop(self) -> int:
        """Side of the largest crops."""
        return max([self.crop, *(crop for _, _, crop in self.stages)])

    @property
    def levels(self) -> tuple[float, float] | None:
        """What `DEGRADATIONS` takes."""
        if self.level_low is None or self.level_high is None:
            return None
        return self.level_low, self.level_high


_NEEDED = [f.name for f in dataclasses.fields(Recipe) if dataclasses.MISSING is f.default is f.default_factory]


def load_recipe(source: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """A recipe, with fields replaced.

    Args:
        source: The name of a shipped recipe, a `.toml` file, or the `recipe.json` of an earlier run.
        overrides: Fields and their values as text.

    Raises:
        UsageError: No such recipe, or none that its `base` names; an unknown or missing field; a value of the wrong
            type or out of its range.
    """
    values = _read(source)
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    for key in (*values, *(overrides or {})):
        if key not in fields:
            raise UsageError(f"a recipe has no field {key!r}", hint=did_you_mean(key, fields))
    for key, text in (overrides or {}).items():
        kind, words = _KINDS[str(fields[key].type)]
        try:
            values[key] = json.loads(text) if kind in (list, dict) else kind(text)
        except ValueError:
            raise UsageError(f"{key} is {words}, not {text!r}") from None
    if missing := [key for key in _NEEDED if key not in values]:
        raise UsageError(f"the recipe {source} lacks {', '.join(missing)}", hint="every field must be given")
    for key, value in values.items():
        kind, words = _KINDS[str(fields[key].type)]
        if value is None and fields[key].default is None:
            continue
        # Not isinstance: to Python, true is an integer.
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise UsageError(f"{key} of the recipe {source} is {words}, not {value!r}")
        if kind in (int, float) and not (math.isfinite(value) and value >= _LEAST.get(key, 0)):
            raise UsageError(f"{key} is at least {_LEAST.get(key, 0)}, not {value}")
    if not _are_stages(stages := values.get("stages", [])):
        raise UsageError(
            f"stages is a list such as [[20000, 8, 64]] (until step, batch, crop), not {json.dumps(stages)}",
            hint="the steps ascend",
        )
    recipe = Recipe(**values)
    if (recipe.level_low is None) != (recipe.level_high is None):
        raise UsageError(
            "level_low and level_high are the two ends of a range, and only one is given", hint="they may be the same"
        )
    for kind_ in recipe.validate:
        degradation_of(kind_)
    if recipe.labels and recipe.degradation not in LABELLED:
        raise UsageError(
            f"labels are made once, and {recipe.degradation} makes something else of a photo every time",
            hint=f"labels are for {' and '.join(LABELLED)}",
        )
    choices = {"task": tuple(TASKS), "degradation": (*DEGRADATIONS, PAIRS), **CHOICES}
    for key, names in choices.items():
        _check_choice(key, getattr(recipe, key), names)
    if recipe.degradation != PAIRS:
        DEGRADATIONS[recipe.degradation](recipe.levels)  # refuses levels that it cannot have
    from restore.networks import NETWORKS  # needs torch, so last

    _check_choice("network", recipe.network, NETWORKS)
    _check_choice(f"config of {recipe.network}", recipe.config, NETWORKS[recipe.network].CONFIGS)
    return recipe


def degradation_of(kind: str) -> Draw:
    """A degradation by name, with or without a level or a range of them: `rain`, `jpeg:40`, `jpeg:10-40`.

    Raises:
        UsageError: There is no such degradation, or it cannot have this level.
    """
    name, _, level = str(kind).partition(":")
    _check_choice("degradation", name, DEGRADATIONS)
    try:
        ends = [float(end) for end in level.split("-")] if level else []
    except ValueError:
        ends = [math.nan] * 3
    if len(ends) > 2:
        raise UsageError(f"{kind!r} is no degradation with a level", hint="for example jpeg:40 or jpeg:10-40")
    return DEGRADATIONS[name]((ends[0], ends[-1]) if ends else None)


def shipped() -> dict[str, dict[str, Any]]:
    """The shipped recipes: their fields by their name."""
    return {path.stem: _read(path.stem) for path in sorted(_FOLDER.glob("*.toml"))}


def recipe_for(task: str, network: str | None = None, config: str | None = None, *, has_pairs: bool = False) -> str:
    """Name of the shipped recipe for a task, and of that network and size if there is one.

    Without pairs of pictures those for clean photographs are looked at, if there are any.

    The task's own comes first, then the only compact one, then the one that is called as the network.

    Raises:
        UsageError: There is no such task, or none of several recipes comes first.
    """
    _check_choice("task", task, TASKS)
    fitting = {name: values for name, values in shipped().items() if values["task"] == task}
    fitting = {name: v for name, v in fitting.items() if v["network"] == network} or fitting
    fitting = {name: v for name, v in fitting.items() if has_pairs or v["degradation"] != PAIRS} or fitting
    fitting = {name: v for name, v in fitting.items() if v["config"] == config} or fitting
    compact = [name for name, values in fitting.items() if values["config"].startswith("s")]
    own = TASKS[task].recipe
    if own in fitting:
        return own
    names = compact or ([network] if network in fitting else list(fitting))
    if len(names) == 1:
        return names[0]
    raise UsageError(f"several recipes are for {task}: {', '.join(names)}", hint="name one: restore train RECIPE ...")


def _read(source: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a recipe, with those of its base where it does not say otherwise."""
    path = Path(source) if source.endswith((".toml", ".json")) else _FOLDER / f"{source}.toml"
    if not path.is_file():
        names = sorted(p.stem for p in _FOLDER.glob("*.toml"))
        raise UsageError(
            f"there is no recipe {source!r}", hint=did_you_mean(source, names) or f"choose one of {', '.join(names)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        values: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the recipe {path}: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"cannot read the recipe {path}: it is no table of fields")
    base = values.pop("base", None)
    if base is None:
        return values
    above = (*above, str(path))
    beside = path.parent / str(base)
    if not isinstance(base, str) or str(beside) in above:
        raise UsageError(f"base of the recipe {source} is the name of another recipe, not {base!r}")
    return _read(str(beside) if beside.is_file() else base, above) | values


def _are_stages(value: list[Any]) -> bool:
    if not all(type(stage) is list and [type(x) for x in stage] == [int] * 3 and min(stage) > 0 for stage in value):
        return False
    return all(a[0] < b[0] for a, b in pairwise(value))


def check_run_folder(run: Path, *, resume: bool) -> None:
    """Refuse a folder that a run cannot be written into, or resumed from.

    Raises:
        DataError: Without `resume`, `run` is there and not an empty folder.
        UsageError: With `resume`, it holds no run.
    """
    if resume and not (run / "state.pt").is_file():
        raise UsageError(f"{run} holds no state.pt to resume from", hint="leave out --resume to start a new run")
    if not resume and run.exists() and not run.is_dir():
        raise DataError(f"{run} is a file, not a folder", hint="choose another name for the run")
    names = {path.name for path in run.iterdir() if not path.name.startswith(".restore-")} if run.is_dir() else set()
    if _BEGUN <= names <= {*_BEGUN, "log.jsonl"}:  # it was killed before there was a state
        return
    if not resume and names:
        raise DataError(f"{run} is not empty", hint="add --resume to go on with that run, or choose another folder")


def _check_choice(what: str, name: str, choices: Mapping[str, object] | tuple[str, ...]) -> None:
    if name not in choices:
        hint = did_you_mean(name, choices) or f"choose one of {', '.join(choices)}"
        raise UsageError(f"there is no {what} called {name!r}", hint=hint)
