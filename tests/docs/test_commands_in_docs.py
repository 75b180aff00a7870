"""Every command of README, CONTRIBUTING and docs/: what is cheap runs on small files, the rest is parsed.

A command runs in an empty folder, in which the pictures and folders that it names are made. A tiny network is behind
every name of weights. `train` runs up to its loop. What needs the Hub, a GPU or a dataset is parsed by the real parser.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from conftest import Run
from doc_pages import ROOT, Block, Command, commands, inline_commands, restore_commands, scripts
from doc_weights import add_own, save_repeats, tiny_weights

from restore.checkpoints.hub import Address
from restore.cli import app
from restore.datasets.registry import datasets
from restore.images import Picture, write_picture
from restore.inspection import verdict
from restore.networks import NETWORKS
from restore.tasks import TASKS
from restore.training.recipe import load_recipe

COMMANDS = restore_commands()
OWN = {"theirs", "NAME", "W", "WEIGHTS"}  # names for weights that a reader has imported or trained
RUN = {"weights list", "weights show", "weights verify", "data list", "data show", "info"}


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A tiny network behind every bundled name."""
    with tiny_weights(tmp_path_factory.mktemp("bundled")):
        yield


@pytest.fixture(scope="module", autouse=True)
def one_command_line() -> Iterator[None]:
    """The commands are built once, which takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


class Parsed(dict[str, Any]):
    """The values of a command's options, and its name without `restore`."""

    name: str


def parse(words: tuple[str, ...]) -> Parsed:
    """Parse what follows `restore`; what is wrong is an exception, as on the command line."""
    command: Any = typer.main.get_command(app.app)
    names, rest, context = [], list(words), None
    while True:
        context = command.make_context("restore", rest, parent=context)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands") or (command.invoke_without_command and not rest):
            break
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
    parsed = Parsed(context.params)
    parsed.name = " ".join(names)
    return parsed


def words_of(command: Command) -> tuple[str, ...]:
    """What follows `restore`, for one process of those that torchrun starts as well."""
    if command.words[0] == "restore":
        return command.words[1:]
    from torch.distributed.run import get_args_parser

    launch = get_args_parser().parse_args(list(command.words[1:]))
    assert launch.module and launch.training_script == "restore", command
    return tuple(launch.training_script_args)


def check_options(words: tuple[str, ...]) -> None:
    """Check the names of commands and options where `...` stands for the rest."""
    command: Any = typer.main.get_command(app.app)
    for word in words:
        if word.startswith("-") and word != "-":
            known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            assert word.partition("=")[0] in known, f"{word} is no option of {command.name}"
        elif hasattr(command, "commands"):
            assert word in command.commands, f"there is no command {word}"
            command = command.commands[word]


def check_names(parsed: Parsed) -> None:
    """Check the names that the parser takes as any text: datasets, networks, tasks, addresses of the Hub."""
    for key, value in parsed.items():
        if not isinstance(value, str):
            continue
        if value.startswith("hf://"):
            Address.parse(value)
        if key == "dataset" or (key == "name" and parsed.name.startswith("data ")):
            assert value in datasets(), f"{value} is no dataset"
        assert key != "network" or value in NETWORKS, f"{value} is no network"
        assert key != "task" or value in TASKS, f"{value} is no task"


def make_picture(path: Path, seed: int = 0, *, is_grey: bool = False, size: tuple[int, int] = (32, 24)) -> None:
    """A small picture, width and height in `size`, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 1 if is_grey else 3)).astype(np.uint8)
    write_picture(Picture(pixels), path)


def make_input(text: str, *, is_grey: bool) -> None:
    """The picture, the matches of the pattern, or the folder of pictures that `text` names."""
    if re.search(r"\.\w{3,4}$", text) and "*" not in text:
        make_picture(Path(text), is_grey=is_grey)
    elif "*" in text:
        for i in range(2):
            make_picture(Path(text.replace("*", f"picture{i}")), i, is_grey=is_grey)
    else:
        make_folder(Path(text), is_grey=is_grey)


def make_folder(folder: Path, *, is_grey: bool = False) -> None:
    """A folder of two pictures, and one in a subfolder."""
    for i, name in enumerate(("a.jpg", "b.png", "below/c.png")):
        make_picture(folder / name, i, is_grey=is_grey)


def make_run(folder: Path, parsed: Parsed) -> None:
    """What an interrupted run of training leaves."""
    folder.mkdir(parents=True)
    recipe = load_recipe("cs-kit-s-denoise")
    (folder / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
    (folder / "state.pt").write_bytes(b"")


def prepare(parsed: Parsed, command: Command, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make what a command needs; whether it can run here."""
    on_this_machine = parsed.get("device") in (None, "auto", "cpu")
    weights = parsed.get("weights")
    if isinstance(weights, str) and weights.startswith("hf://"):
        return False
    if re.search(r"\.(pth|onnx)\b", f"{weights or parsed.get('name')} {parsed.get('inputs')}"):  # of an extra
        return False
    if parsed.name == "train" and parsed["recipe"] == "inspect":  # takes minutes
        return False
    if isinstance(weights, Path) and weights.suffix == ".npz":
        make_folder(weights.parent)
        shutil.copy(verdict.WEIGHTS, weights)
    if isinstance(weights, str) and weights.endswith(".safetensors"):
        save_repeats(Path(weights), parsed.name if parsed.name in TASKS else "denoise")
    if parsed.name in TASKS and ("://" in f"{parsed['inputs']} {parsed['output']}" or parsed["engine"] == "ray"):
        return False  # tests/batch has a store and a cluster
    if parsed.name in TASKS:
        for text in parsed["inputs"]:
            if text != "-":
                make_input(text, is_grey=parsed.name == "demosaic")
        if (crop := parsed.get("crop")) and crop[0].isdigit():
            left, top, width, height = map(int, crop.split(","))
            make_picture(Path(parsed["inputs"][0]), size=(left + width, top + height))
        if "-" in parsed["inputs"] or parsed["output"] == "-":
            make_picture(Path("in.png"))
            stdin = io.TextIOWrapper(io.BytesIO(Path("in.png").read_bytes()))
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), write_through=True))
        return on_this_machine and not parsed["watch"]  # which never ends
    if parsed.name in ("weights show", "weights verify") and str(parsed["name"]).startswith("runs/"):
        run = Path(*Path(parsed["name"]).parts[:2])
        save_repeats(run / "last.safetensors", "denoise")
    folders = [parsed.get(key) for key in ("data", "clean", "degraded", "restored")]
    for folder in filter(None, folders):
        make_folder(Path(folder))
    if parsed.name == "train":
        monkeypatch.setattr("restore.training.loop.train", lambda plan, data, out, **_: out / "last.safetensors")
        monkeypatch.setattr("restore.cli.train._steps_done", lambda _: 1 << 31)
        if parsed["resume"]:
            make_run(Path(parsed["out"]), parsed)
        if str(parsed["recipe"]).endswith(".toml"):
            Path(parsed["recipe"]).write_text('base = "cs-kit-s-denoise"\n')
        return on_this_machine and parsed["dataset"] is None
    if parsed.name == "data check" and parsed["for_"] == "train":
        return False  # two pictures are too few to train on
    if parsed.name in ("eval", "data check"):
        return on_this_machine and parsed["clean"] is not None
    return parsed.name in RUN


def try_out(command: Command, run: Run, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a command, or parse it; whether it ran."""
    words = words_of(command)
    if "..." in words:
        check_options(tuple(word for word in words if word != "..."))
        return False
    parsed = parse(words)
    check_names(parsed)
    for key in ("weights", "name", "start_from", "transfer_from"):
        if parsed.get(key) in OWN and parsed.name in {*TASKS, "eval", "train", "weights show"}:
            add_own(parsed[key], parsed.get("task") or (parsed.name if parsed.name in TASKS else "denoise"))
    if not prepare(parsed, command, monkeypatch):
        return False
    ran = run(*words)
    assert ran.code == 0, f"{command.where}: {' '.join(command.words)}\n{ran.err}"
    return True


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.where)
def test_a_command_of_the_docs_works(command: Command, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tuple(word.replace("C:\\", "").replace("\\", "/") for word in command.words)  # Windows paths
    try_out(command._replace(words=words), run, monkeypatch)


def test_pieces_of_commands_within_a_line_have_options_that_exist() -> None:
    for command in inline_commands():
        try:
            check_options(command.words[1:])
        except AssertionError as error:
            pytest.fail(f"{command.where}: {' '.join(command.words)}: {error}")


def test_scripts_that_the_pages_call_exist_and_have_their_options() -> None:
    for command in scripts():
        source = (ROOT / command.words[1]).read_text(encoding="utf-8")
        for word in filter(re.compile("--").match, command.words[2:]):
            parameter = word[2:].replace("-", "_")  # Typer makes the option of it
            assert re.search(rf'"{word}["/]|\b{parameter}: Annotated', source), f"{command.where}: {word}"


@pytest.mark.parametrize(
    "line",
    [
        "restore denoise photo.jpg -o out.jpg --strenght 0.7",
        "restore denoise photo.jpg -o out.jpg --strength 2",
        "restore denoise photo.jpg -o out.jpg --weights none-such",
        "restore denois photo.jpg -o out.jpg",
        "restore train --data PHOTOS --out runs/a --set no_such_field=1",
        "restore train ... --no-such-option",
        "restore eval --dataset NoSuchSet --root DIR",
        "restore weights import a.pth --network none-such --task derain",
        "torchrun --nprocs-per-node 2 -m restore denoise holiday -o clean",
    ],
)
def test_a_wrong_command_is_found(line: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = commands(Block("page.md", 1, "sh", line))
    with pytest.raises((Exception, SystemExit)) as stop:  # of the parser, of restore, or of the assertion
        try_out(command, run, monkeypatch)
    assert not isinstance(stop.value, SystemExit) or stop.value.code


def test_chains_pipes_comments_and_variables_of_a_shell_are_understood() -> None:
    code = "A=1 restore info && restore a 'b c' - < in.png | restore d > out.png  # restore e\nrestore f \\\n  --g\n"
    words = [(c.words, c.stdin) for c in commands(Block("page.md", 1, "sh", code))]
    assert words == [
        (("restore", "info"), None),
        (("restore", "a", "b c", "-"), "in.png"),
        (("restore", "d"), None),
        (("restore", "f", "--g"), None),
    ]
