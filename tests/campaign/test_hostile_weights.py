"""Checkpoints with hostile headers and configs, and hostile recipes: loaded or refused in words, within the limits."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from limited_children import run_all
from mutators import mutated
from mutators_boxes import EXTREMES
from test_mutated_pictures import SEED

from restore import checkpoints
from restore.networks import NETWORKS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")

SMALL: dict[str, dict[str, Any]] = {
    "cs-kit": {"dim": 8, "blocks": 1, "attend": [2]},
    "kit": {"dim": 8, "blocks": 1},
    "drsformer": {"dim": 8, "blocks": [1, 1, 1, 1]},
    "panet": {"dim": 8, "blocks": 2},
    "pa-edsr": {"dim": 8, "blocks": 2, "reduction": 2},
}
ODD: tuple[Any, ...] = (
    *EXTREMES, -1, 6000, 10**9, 10**30, 0.5, 1e300, "x", "\x1b[31m", "", None, True, [], [[]], {}, [10**9], "9" * 5000,
)  # fmt: skip
RECIPES = ("panet-s-denoise-gaussian", "cs-kit-s-denoise", "drsformer-rain200h")


def hostile_checkpoints(count: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Files whose config, header or bytes are wrong in one or two places."""
    random = Random(SEED)
    files = {}
    for name, config in SMALL.items():
        task = "upscale" if name == "pa-edsr" else "denoise"
        checkpoints.save(folder / "whole.safetensors", NETWORKS[name](**config), name, {"task": task})
        files[name] = (folder / "whole.safetensors").read_bytes()
    path = folder / "hostile.safetensors"
    for number in range(count):
        data = files[random.choice(list(files))]
        (length,) = struct.unpack_from("<Q", data)
        header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
        kind = random.randrange(5)
        if kind == 0:
            config = json.loads(header["__metadata__"]["config"])
            config[random.choice([*config, "unknown"])] = random.choice(ODD)
            header["__metadata__"]["config"] = json.dumps(config)
        elif kind == 1:
            header["__metadata__"][random.choice(list(header["__metadata__"]))] = str(random.choice(ODD))
        elif kind == 2:
            tensor = header[random.choice([key for key in header if key != "__metadata__"])]
            tensor[random.choice(list(tensor))] = random.choice(ODD)
        elif kind == 3:
            header["__metadata__"]["config"] = random.choice(
                ("[" * 100_000, '{"dim": 8, "dim": 9}', "{}", '{"a":' * 3000 + "1" + "}" * 3000, "NaN", "1e999", "null")
            )
        text = json.dumps(header).encode()
        data = struct.pack("<Q", len(text)) + text + tensors
        path.write_bytes(mutated(data, random) if kind == 4 else data)
        yield f"seed {SEED}, number {number}", str(path)


def hostile_recipes(count: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Recipes with one hostile value, key or byte."""
    random = Random(SEED)
    values = (
        "-1", "0", "1e400", "nan", "inf", '"x"', "[]", "[[]]", "{}", "true", "99999999999999999999999", "'''\n'''",
        "[" * 2000 + "]" * 2000, '"' + "k" * 10_000 + '"', "1979-05-27", r'"\u001b[31m"', "[-1]", '["a:b:c"]',
    )  # fmt: skip
    keys = (
        "steps", "batch", "crop", "beta1", "beta2", "ema", "seed", "rate", "losses", "degradation", "pairs_share",
        "stages", "validate", "held_out", "precision", "network", "config", "task", "base", "warm_up", "unknown", "",
    )  # fmt: skip
    path = folder / "hostile.toml"
    for number in range(count):
        text = f'base = "{random.choice(RECIPES)}"\n{random.choice(keys)} = {random.choice(values)}\n'
        data = text.encode()
        path.write_bytes(mutated(data, random) if random.random() < 0.2 else data)
        yield f"seed {SEED}, number {number}: {text[:120]!r}", str(path)


def test_a_few_hostile_checkpoints_are_refused(tmp_path: Path) -> None:
    run_all("cases:configured", hostile_checkpoints(20, tmp_path), f"hostile checkpoints, seed {SEED}")


def test_a_few_hostile_recipes_are_refused(tmp_path: Path) -> None:
    run_all("cases:recipe", hostile_recipes(40, tmp_path), f"hostile recipes, seed {SEED}")


@pytest.mark.slow
def test_hostile_checkpoints_are_refused(tmp_path: Path) -> None:
    run_all("cases:configured", hostile_checkpoints(800, tmp_path), f"hostile checkpoints, seed {SEED}")


@pytest.mark.slow
def test_hostile_recipes_are_refused(tmp_path: Path) -> None:
    run_all("cases:recipe", hostile_recipes(2000, tmp_path), f"hostile recipes, seed {SEED}")
