"""What people read first: help, suggestions for what they type, and what the shell completes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Run

from restore.checkpoints import catalogue
from restore.cli import complete
from restore.cli.app import app
from restore.cli.columns import facts, table
from restore.cli.command_table import ROWS
from restore.cli.help import DOCS_URL
from restore.cli.usage_errors import _OTHER_NAMES, in_our_words, meant_by
from restore.networks import NETWORKS
from restore.tasks import TASKS

ROOT: Any = typer.main.get_command(app)
DOCS = Path(__file__).parents[2] / "docs"


def commands(command: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words after `restore`."""
    yield " ".join(path), command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", ROWS)
def test_the_summary_in_the_table_is_that_of_the_command(name: str) -> None:
    command = COMMANDS[name]
    assert command.name == name and command.get_short_help_str(limit=200) == ROWS[name].summary


@pytest.fixture
def shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Prints the help of a command in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return lambda words: run(*words.split(), "--help").out


@pytest.mark.parametrize("words", COMMANDS)
def test_help_fits_80_columns_and_names_no_type_of_python(shown: Any, words: str) -> None:
    text = shown(words)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"<\w|\bTEXT\b|\bINTEGER\b|\bFLOAT\b|list\[|x>=|<=x|x<=|\.\.\.\]", text)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_has_a_help_text_and_every_value_a_name(words: str) -> None:
    for param in COMMANDS[words].params:
        assert param.help or param.name == "help"
        assert param.metavar or param.is_flag, f"{param.name} has no metavar"


@pytest.mark.parametrize("words", COMMANDS)
def test_help_ends_with_two_examples_and_a_page_that_exists(shown: Any, words: str) -> None:
    *_, examples, link = shown(words).rstrip().split("\n\n")
    head, *lines = examples.splitlines()
    assert head == "Examples:" and len(lines) == 2
    address, _, page = link.removeprefix("Docs: ").rpartition("/")
    assert address == DOCS_URL and (DOCS / page).is_file()


@pytest.mark.parametrize("words", COMMANDS)
def test_examples_are_commands_with_options_that_exist(words: str) -> None:
    for line in COMMANDS[words].epilog.splitlines()[1:3]:
        program, *args = shlex.split(line)
        assert program == "restore"
        command, path = ROOT, ["restore"]
        while args and args[0] in getattr(command, "commands", {}):
            path.append(args.pop(0))
            command = command.commands[path[-1]]
        command.make_context(" ".join(path), args)  # raises what a user would see


@pytest.mark.parametrize("task", TASKS)
def test_the_options_of_a_task_are_in_panels(shown: Any, task: str) -> None:
    titles = re.findall(r"^(\S.*):$", shown(task), re.MULTILINE)
    assert titles == ["Input and output", "Quality", "Weights", "Batch", "Speed and memory", "Other", "Examples"]


def test_required_options_are_marked_and_in_the_usage_line(shown: Any) -> None:
    text = " ".join(shown("weights import").split())
    assert text.startswith("Usage: restore weights import FILE.pth --network NETWORK --task TASK [OPTIONS]")
    assert text.count("required]") == 3


def test_a_command_of_commands_without_one_shows_its_help(run: Run) -> None:
    for words in ("", "weights", "data"):
        ran = run(*words.split())
        assert (ran.code, ran.out) == (2, "") and ran.err == run(*words.split(), "--help").out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("sharpen", "did you mean 'deblur'?"),
        ("unblur", "did you mean 'deblur'?"),
        ("enlarge", "did you mean 'upscale'?"),
        ("superres", "did you mean 'upscale'?"),
        ("sr", "did you mean 'upscale'?"),
        ("upsample", "did you mean 'upscale'?"),
        ("remove-noise", "did you mean 'denoise'?"),
        ("Remove_Noise", "did you mean 'denoise'?"),
        ("compress", "did you mean 'dejpeg'?"),
        ("enhance", "did you mean 'denoise', 'deblur' or 'upscale'?"),
        ("list", "did you mean 'weights list' or 'data list'?"),
        ("version", "did you mean 'restore --version'?"),
        ("help", "did you mean 'restore --help'?"),
        ("dnoise a.png", "did you mean 'denoise'?"),
        ("weights lst", "did you mean 'list'?"),
        ("xyzzy", "`restore --help` lists the commands"),
        ("weights xyzzy", "`restore weights --help` lists the commands"),
    ],
)
def test_what_is_no_command_gets_a_suggestion(run: Run, words: str, hint: str) -> None:
    ran = run(*words.split())
    word = words.split()[-1] if words.startswith("weights") else words.split()[0]
    assert (ran.code, ran.out, ran.err) == (2, "", f"error: unknown command {word!r}\nhint:  {hint}\n")


def test_a_name_of_another_kind_means_commands_that_exist() -> None:
    meant = {name for word in _OTHER_NAMES for name in meant_by(word) if not name.startswith("restore --")}
    assert meant <= COMMANDS.keys()
    assert not COMMANDS.keys() & {name for task in TASKS.values() for name in task.other_names}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("denoise a.png --strenth 1", "error: unknown option --strenth\nhint:  did you mean '--strength'?\n"),
        (
            "denoise a.png --scale 2",
            "error: unknown option --scale here\n"
            "hint:  `restore upscale`, `restore auto` or `restore eval` has --scale\n",
        ),
        ("denoise a.png --out b.png", "error: unknown option --out\nhint:  did you mean '--output'?\n"),
        ("denoise --version", "error: unknown option --version here\nhint:  `restore` has --version\n"),
        (
            "denoise a.png --xyzzy",
            "error: unknown option --xyzzy\nhint:  `restore denoise --help` lists the options\n",
        ),
        ("denoise a.png -o", "error: -o needs a value\nhint:  `restore denoise --help` lists the options\n"),
        (
            "denoise a.png --overwrite=1",
            "error: --overwrite takes no value\nhint:  `restore denoise --help` lists the options\n",
        ),
        ("denoise a.png --quality x", "error: --quality is a whole number from 1 to 100, not 'x'\n"),
        ("denoise a.png --sigma nan", "error: --sigma is a number from 0 to 255, not 'nan'\n"),
        (
            "denoise a.png --on-error stopp",
            "error: --on-error is continue or stop, not 'stopp'\nhint:  did you mean 'stop'?\n",
        ),
        ("denoise a.png -o b.png --output c.png", "error: --output is given more than once\nhint:  give it once\n"),
        ("train --data A --data B --out r", "error: --data is given more than once\nhint:  give it once\n"),
        ("eval --clean A --sigma 15 --sigma=25", "error: --sigma is given more than once\nhint:  give it once\n"),
        ("info x", "error: too many arguments: x\nhint:  `restore info --help` lists the options\n"),
        (
            "weights import a.pth --network kit",
            "error: --task is missing\nhint:  restore weights import deraining.pth --network drsformer --task derain\n",
        ),
    ],
)
def test_wrong_usage_is_an_error_in_one_voice(run: Run, words: str, text: str) -> None:
    ran = run(*words.split())
    assert (ran.code, ran.out, ran.err) == (2, "", text)


@pytest.mark.parametrize("words", ["bench cs-kit:s --size 8x8 --size 12x12 --json", "train --set a=1 --set b=2 --out"])
def test_options_that_take_several_values_repeat(run: Run, words: str) -> None:
    ran = run(*words.split())
    assert ran.code == 2 and ran.err.startswith(f"error: {words.split()[-1]} needs a value")


def test_a_value_that_typer_refuses_for_a_reason_of_its_own_is_named() -> None:
    (param,) = (one for one in COMMANDS["denoise"].params if one.name == "strength")
    assert in_our_words(typer.BadParameter("Cryptic.", param=param)).message == "the value of --strength is wrong"


def test_tables_wrap_their_last_column() -> None:
    text = table(("NAME", "SUMMARY"), [("a", "one two three four"), ("b", "five")], width=20)
    assert text == "NAME  SUMMARY\na     one two three\n      four\nb     five"


def test_facts_keep_their_indent_in_every_line() -> None:
    assert facts([("a", "b c"), ("long", "d")], indent="  ", width=12) == "  a:     b c\n  long:  d"
    assert facts([("a", "one two")], indent="  ", width=10) == "  a:  one\n      two"


@pytest.mark.parametrize(
    "words", ["weights list", "weights show cs-kit-s-denoise", "data list", "data show SIDD", "data show CBSD68"]
)
def test_tables_fit_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = run(*words.split())
    assert ran.code == 0 and max(map(len, ran.out.splitlines())) <= 80


# Completion


def completed(words: str, **environment: str) -> list[str]:
    """What bash is offered for the last word."""
    count = len(words.split(" ")) - 1
    environment |= {"_RESTORE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    code = (
        "import sys; sys.argv = ['restore']\nfrom restore.cli.app import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return ran.stdout.split()


def test_the_shell_completes_commands_options_and_names() -> None:
    assert completed("restore de") == ["denoise", "deblur", "derain", "dejpeg", "demosaic"]
    assert completed("restore denoise a.png --self") == ["--self-ensemble"]
    assert completed("restore train kit-go") == ["kit-gopro"]
    assert completed("restore denoise a.png --weights panet-s-de") == [
        name for name in catalogue.load_catalogue() if name.startswith("panet-s-de")
    ]


def test_names_to_complete_are_those_that_exist() -> None:
    assert set(complete.NETWORKS) == set(NETWORKS)
    assert "cs-kit-s-denoise" in complete.recipes() and "CBSD68" in complete.datasets()
    assert complete.weights() == list(catalogue.load_catalogue())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(tmp_path: Path, shell: str) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    code = "import sys; sys.argv[0] = 'restore'; from restore.cli.app import main; main()"
    command = [sys.executable, "-c", code, "--install-completion", shell]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert f"{shell} completion installed" in ran.stdout
    assert any("_RESTORE_COMPLETE" in file.read_text() for file in tmp_path.rglob("*") if file.is_file())
