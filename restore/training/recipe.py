"""Recipes: everything that decides the result of a training run. Reading one imports torch only if it is valid."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from restore.degradations import DEGRADATIONS, Draw
from restore.errors import UsageError, check_choice, did_you_mean
from restore.tasks import TASKS

LABELLED = ("bicubic", "mosaic")  # degradations without random draws, which may have labels
PAIRS = "pairs"  # the degradation of recipes for pairs of pictures
CHOICES = {
    "loss": ("l1", "l2", "rmse", "rmse-mean", "charbonnier", "charbonnier-edge"),
    "optimizer": ("adamw", "adam", "muon"),
    "schedule": ("cosine", "halving"),
    "start": ("random", "identity"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
}
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
_BELOW_1 = ("beta1", "beta2", "ema")  # decays: at 1 nothing would ever change
# Whole numbers without a limit here must fit into 32 bits.
_MOST: dict[str, float] = dict.fromkeys(("pairs_share", "teacher_share", "learning_rate", "final_learning_rate"), 1)
_MOST |= dict.fromkeys(("weight_decay", "edge_weight"), 1000) | {"crop": 8192, "batch": 65536, "validate_crop": 65536}
_MOST |= {"seed": 2**63 - 1}
_LONGEST, _LONGEST_LIST = 1000, 10_000  # characters of a text, and of a list or table as JSON


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run. A TOML file, which may name a `base` to add to.

    Attributes:
        task: Key of `TASKS`; written into the checkpoint.
        network, config: Key of `NETWORKS`, and key of its `CONFIGS`.
        options: Changes of that config, such as `{dim = 64}`.
        degradation: Key of `DEGRADATIONS`, applied to clean photos during training; or `pairs` for pairs of pictures.
        level_low, level_high: Range of the degradation's strength, in the unit of the task's level. By default its own.
        pairs_share: Share of the crops from pairs, 0..1, if there are photos and pairs.
        labels: Folder of labels that `scripts/make_labels.py` made of the photos with a better network. They have the
            names and sizes of the photos. Only for the degradations of `LABELLED`.
        teacher_share: Share of the photos' crops, 0..1, that are compared with the label instead of the photo.
        dataset: What a published run was trained on, for people to read.
        steps: Optimizer steps in total; the learning rate depends on them.
        batch, crop: Crops a step, of all processes together, and the side of the degraded crop in pixels.
        stages: Other batches and crops at the beginning: (until step, batch, crop), in order. A stage that ends after
            `steps` lasts to the end.
        accumulate: Parts in which a batch passes through the network. More parts take less memory.
        loss: `l1`, `l2`, `rmse`, `rmse-mean`, `charbonnier`, or `charbonnier-edge` (CS-KiT eq. 12).
        edge_weight: lambda of eq. 12. The paper does not give it; 0.05 is from MPRNet.
        optimizer, weight_decay, beta1, beta2: A `beta2` below 0.999 allows a larger learning rate, for short runs.
        learning_rate, warm_up, schedule: The rate rises linearly over `warm_up` steps, then follows the schedule.
        hold, final_learning_rate: `cosine` holds the rate for `hold` steps, then falls to the final rate.
        halve_every: Steps after which `halving` halves the rate, down to the final rate.
        local_steps: First steps without attention (`Network.use_attention`). They are three times faster on a CPU, and
            attention adds little until the convolutions have learned.
        clip_norm: Largest norm of the gradient; 0 does not clip.
        skip_limit: How many batches in a row may be skipped because their gradient is not finite.
        ema: Decay per step of the averaged weights, which are saved and scored. 0 does not average.
        start: `random` weights, or `identity`: the output equals the input (`Network.start_as_identity`).
        seed: Fixes the initial weights and every crop.
        held_out: How many photos, and how many pairs, are kept for validation: the last ones.
        held_out_pairs: How many pairs, if not as many as photos.
        validate: Kinds of degradation for validation, each a key of `DEGRADATIONS`, with or without a level
            (`jpeg:40`). Every held-out photo is scored under each kind. An empty list degrades each photo once, as for
            training.
        validate_every: Steps between validations.
        validate_crop: Side of the middle of the held-out pictures that is scored, in pixels; 0 scores whole pictures.
        precision: `float32`, `bfloat16` or `float16` (autocast). `auto` is float32 or bfloat16, whichever is faster on
            the device.
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
        object.__setattr__(self, "stages", tuple(tuple(stage) for stage in self.stages))  # lists in JSON and TOML
        object.__setattr__(self, "validate", tuple(self.validate))

    @property
    def largest_crop(self) -> int:
        """Side of the largest crops in pixels."""
        return max([self.crop, *(crop for _, _, crop in self.stages)])

    @property
    def levels(self) -> tuple[float, float] | None:
        """Range of levels for `DEGRADATIONS`; None for the default of the degradation."""
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
        UsageError: The recipe or its `base` does not exist, a field is unknown or missing, or a value has the wrong
            type or range.
    """
    values = _read(source)
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    for key in (*values, *(overrides or {})):
        if key not in fields:
            raise UsageError(
                f"a recipe has no field {_shown(key)}", hint=did_you_mean(key[:99], fields) or _SEE_SHIPPED
            )
    for key, text in (overrides or {}).items():
        kind, words = _KINDS[str(fields[key].type)]
        try:
            values[key] = json.loads(text) if kind in (list, dict) else kind(text)
        except (ValueError, RecursionError):  # the latter of nested brackets
            raise UsageError(f"{key} must be {words}, not {_shown(text)}") from None
    if missing := [key for key in _NEEDED if key not in values]:
        raise UsageError(f"the recipe {source} lacks {', '.join(missing)}", hint="add them, or name a base")
    for key, value in values.items():
        kind, words = _KINDS[str(fields[key].type)]
        if value is None and fields[key].default is None:
            continue
        # Not isinstance: in Python, a bool is an int.
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise UsageError(f"{key} of the recipe {source} must be {words}, not {_shown(value)}")
        _check_range(key, value)
    if not _are_stages(stages := values.get("stages", [])):
        raise UsageError(
            f"stages must be a list such as [[20000, 8, 64]] (until step, batch, crop), not {_shown(stages)}",
            hint="give the steps in ascending order",
        )
    recipe = Recipe(**values)
    if (recipe.level_low is None) != (recipe.level_high is None):
        raise UsageError(
            "level_low and level_high are a range, and only one is given", hint="give both; they may be equal"
        )
    for kind_ in recipe.validate:
        degradation_of(kind_)
    if recipe.labels and recipe.degradation not in LABELLED:
        raise UsageError(
            f"labels do not fit {recipe.degradation}, which is random: a label is made once",
            hint=f"use labels with {' or '.join(LABELLED)}",
        )
    choices = {"task": tuple(TASKS), "degradation": (*DEGRADATIONS, PAIRS), **CHOICES}
    for key, names in choices.items():
        check_choice(key, getattr(recipe, key), names)
    if recipe.degradation != PAIRS:
        DEGRADATIONS[recipe.degradation](recipe.levels)  # refuses levels out of range
    from restore.networks import NETWORKS  # needs torch, so last

    check_choice("network", recipe.network, NETWORKS)
    check_choice(f"{recipe.network} config", recipe.config, NETWORKS[recipe.network].CONFIGS)
    return recipe


def _check_range(key: str, value: Any) -> None:
    """Refuse a number out of the range of its field, a long text, and deeply nested options."""
    if isinstance(value, int | float):
        least, most = _LEAST.get(key, 0), _MOST.get(key, 2**31 - 1)
        if key in _BELOW_1:
            if not 0 <= value < 1:
                raise UsageError(f"{key} must be at least 0 and below 1, not {_shown(value)}")
        elif not value >= least or value == math.inf:  # `not`: for nan
            raise UsageError(f"{key} must be at least {least}, not {_shown(value)}")
        elif value > most:
            raise UsageError(f"{key} must be at most {most:g}, not {_shown(value)}")
    elif isinstance(value, str) and (len(value) > _LONGEST or not value.isprintable()):
        raise UsageError(f"{key} must be at most {_LONGEST} printable characters, not {_shown(value)}")
    elif isinstance(value, dict | list):
        try:
            fits = len(json.dumps(value, allow_nan=False)) <= _LONGEST_LIST
        except (ValueError, TypeError, RecursionError):  # nan, a date of TOML, nested brackets
            fits = False
        if not fits:
            raise UsageError(f"{key} must be JSON of at most {_LONGEST_LIST} characters, not {_shown(value)}")


def _shown(value: Any) -> str:
    """A value of a recipe, cut to a readable length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested brackets
        return "a value that is too long to show"
    return text if len(text) <= 80 else f"{text[:77]}..."


def degradation_of(kind: str) -> Draw:
    """A degradation by name, with or without a level or a range of them: `rain`, `jpeg:40`, `jpeg:10-40`.

    Raises:
        UsageError: There is no such degradation, or the level is out of its range.
    """
    name, _, level = str(kind).partition(":")
    check_choice("degradation", name, DEGRADATIONS)
    try:
        ends = [float(end) for end in level.split("-")] if level else []
    except ValueError:
        ends = [math.nan] * 3
    if len(ends) > 2:
        raise UsageError(f"{kind!r} is not a degradation with a level", hint="write it like jpeg:40 or jpeg:10-40")
    return DEGRADATIONS[name]((ends[0], ends[-1]) if ends else None)


def shipped() -> dict[str, dict[str, Any]]:
    """The fields of the shipped recipes, by name."""
    return {path.stem: _read(path.stem) for path in sorted(_FOLDER.glob("*.toml"))}


def recipe_for(task: str, network: str | None = None, config: str | None = None, *, has_pairs: bool = False) -> str:
    """Name of the shipped recipe for a task, for that network and config if there is one.

    The task's own recipe comes first, then the only compact recipe, then the recipe with the name of the network.
    Without pairs of pictures, recipes for clean photos are preferred.

    Raises:
        UsageError: There is no such task, or the choice between several recipes is open.
    """
    check_choice("task", task, TASKS)
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
    raise UsageError(f"several recipes are for {task}: {', '.join(names)}", hint="choose one: restore train RECIPE")


_SEE_SHIPPED = "docs/training.md shows a recipe"


def _read(source: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a recipe, added to those of its base."""
    path = Path(source) if source.endswith((".toml", ".json")) else _FOLDER / f"{source}.toml"
    if not os.path.isfile(path):  # not path.is_file(), which raises an OSError for a long name
        check_choice(
            "recipe",
            source if len(source) <= 200 else f"{source[:197]}...",
            sorted(p.stem for p in _FOLDER.glob("*.toml")),
        )
    try:
        text = path.read_text(encoding="utf-8")
        values: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"cannot read the recipe {path}: too many nested brackets", hint=_SEE_SHIPPED) from None
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {error.strerror}", hint="check its permissions") from error
    except ValueError as error:
        place = re.search(r"line (\d+),? column (\d+)", str(error))
        where = f"line {place[1]}, column {place[2]} is" if place else "it is"
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise UsageError(f"cannot read the recipe {path}: {where} not valid {kind}", hint=_SEE_SHIPPED) from error
    if not isinstance(values, dict):
        raise UsageError(f"cannot read the recipe {path}: not a table of fields", hint=_SEE_SHIPPED)
    base = values.pop("base", None)
    if base is None:
        return values
    above = (*above, str(path))
    beside = path.parent / str(base)
    if not isinstance(base, str) or str(beside) in above:
        raise UsageError(f"base of the recipe {source} must name another recipe, not {_shown(base)}")
    return _read(str(beside) if os.path.isfile(beside) else base, above) | values


def _are_stages(value: list[Any]) -> bool:
    if not all(type(stage) is list and [type(x) for x in stage] == [int] * 3 and min(stage) > 0 for stage in value):
        return False
    return all(a[0] < b[0] for a, b in pairwise(value))
