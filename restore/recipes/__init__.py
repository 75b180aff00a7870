"""What a training run is told before it starts: its recipe, and the folder it writes. Nothing here needs torch."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore.catalogue import did_you_mean
from restore.degradations import DEGRADATIONS as DEGRADATIONS
from restore.errors import DataError, UsageError
from restore.tasks import TASKS

PRECISIONS = ("auto", "float32", "bfloat16")
_FOLDER = Path(__file__).parent
_KINDS: dict[str, tuple[type[Any], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "str": (str, "text"),
}
_LEAST = {"steps": 1, "batch": 1, "crop": 1, "validate_every": 1, "warm_up": 0, "held_out": 0, "seed": 0}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run; one TOML file each.

    Attributes:
        task: Key of `TASKS`, written into the checkpoint.
        network, config: Key of `NETWORKS`, and of its `CONFIGS`.
        degradation: Key of `DEGRADATIONS`.
        steps: Optimiser steps in all; the learning rate follows them.
        batch, crop: Crops a step, and their side in pixels.
        learning_rate, final_learning_rate, warm_up: Linear from 0 over `warm_up` steps, then a half cosine (CS-KiT
            Section IV-E).
        weight_decay, beta2: AdamW's. A `beta2` below 0.999 stands a larger learning rate, for short runs.
        local_steps: So many steps at the beginning leave the networks' attention out (`Network.use_attention`): on a
            CPU they are three times faster, and until the convolutions have learned, attention adds little.
        clip_norm: Largest norm of the gradient.
        ema: Decay a step of the averaged weights, which are what is saved and scored.
        edge_weight: lambda of eq. 12. The paper does not give it; 0.05 is MPRNet's.
        seed: Fixes the initial weights and every crop.
        held_out: The last so many photos are kept for validation.
        validate_every: Steps between validations.
        precision: "float32", "bfloat16" (autocast), or "auto": whichever runs a step faster on the device.
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


def load_recipe(source: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """A recipe, with fields replaced.

    Args:
        source: The name of a shipped recipe, a `.toml` file, or the `recipe.json` of an earlier run.
        overrides: Fields and their values as text.

    Raises:
        UsageError: No such recipe; an unknown or missing field; a value of the wrong type or out of its range.
    """
    path = Path(source) if source.endswith((".toml", ".json")) else _FOLDER / f"{source}.toml"
    names = sorted(p.stem for p in _FOLDER.glob("*.toml"))
    if not path.is_file():
        raise UsageError(
            f"there is no recipe {source!r}", hint=did_you_mean(source, names) or f"choose one of {', '.join(names)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        values: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the recipe {path}: {error}") from error
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    for key in (*values, *(overrides or {})):
        if key not in fields:
            raise UsageError(f"a recipe has no field {key!r}", hint=did_you_mean(key, fields))
    for key, text in (overrides or {}).items():
        kind, words = _KINDS[str(fields[key].type)]
        try:
            values[key] = kind(text)
        except ValueError:
            raise UsageError(f"{key} is {words}, not {text!r}") from None
    if missing := [key for key, f in fields.items() if key not in values and f.default is dataclasses.MISSING]:
        raise UsageError(f"the recipe {source} lacks {', '.join(missing)}", hint="every field must be given")
    for key, value in values.items():
        kind, words = _KINDS[str(fields[key].type)]
        # Not isinstance: to Python, true is an integer.
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise UsageError(f"{key} of the recipe {source} is {words}, not {value!r}")
        if kind is not str and not (math.isfinite(value) and value >= _LEAST.get(key, 0)):
            raise UsageError(f"{key} is at least {_LEAST.get(key, 0)}, not {value}")
    recipe = Recipe(**values)
    for key, table in (("task", TASKS), ("degradation", DEGRADATIONS), ("precision", PRECISIONS)):
        _check_choice(key, getattr(recipe, key), table)
    from restore.networks import NETWORKS  # needs torch, so last

    _check_choice("network", recipe.network, NETWORKS)
    _check_choice(f"config of {recipe.network}", recipe.config, NETWORKS[recipe.network].CONFIGS)
    return recipe


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
    if not resume and run.is_dir() and any(run.iterdir()):
        raise DataError(f"{run} is not empty", hint="add --resume to go on with that run, or choose another folder")


def _check_choice(what: str, name: str, choices: Mapping[str, object] | tuple[str, ...]) -> None:
    if name not in choices:
        hint = did_you_mean(name, choices) or f"choose one of {', '.join(choices)}"
        raise UsageError(f"there is no {what} called {name!r}", hint=hint)
