"""How the repository is built: imports, sizes, names, and what must not be in a file."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import importlinter.cli
import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(path for room in ("restore", "scripts") for path in (ROOT / room).rglob("*.py"))
MOST_LINES_OF_A_FUNCTION = 80
MOST_LINES_OF_A_MODULE = 500
NOT_TEXT = {".jpg", ".npy", ".npz", ".png", ".safetensors"}
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(work|root|home|Users|opt|mnt|srv)/\w")
REGISTRY = re.compile(r"index-url|find-links|pypi\.org|pythonhosted\.org|file:///(?!tmp/)")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text_files() -> Iterator[tuple[str, str]]:
    """Name and content of every text file that git tracks; in an unpacked sdist, of every text file."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in listed.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not {"build", "dist", "runs", "__pycache__"} & set(path.parts)]
    for path in paths:
        if path.is_file() and path.suffix not in NOT_TEXT and path != Path(__file__):
            yield named(path), path.read_text(encoding="utf-8", errors="ignore")


def test_imports_run_downwards_and_in_no_circle(capsys: pytest.CaptureFixture[str]) -> None:
    status = importlinter.cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == importlinter.cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_contributing_lists_the_rooms_in_the_order_of_imports(project: Any) -> None:
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = text.split("## Order of imports")[1].split("```")[1]
    drawn = [re.findall(r"[\w]+", line.split("  ")[0]) for line in drawing.strip().splitlines()]
    assert drawn == [re.findall(r"[\w]+", layer) for layer in layers]


def test_every_path_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:restore|tests|scripts|docs|weights|\.github)/[\w./-]+)`", text))
    assert len(paths) > 20
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{named(path)}:{node.lineno} {node.name}: {lines} lines"
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]
    assert not long


def test_no_module_is_longer_than_500_lines() -> None:
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_MODULE}


def test_tests_mirror_the_package() -> None:
    rooms = {path.name for path in (ROOT / "restore").iterdir() if (path / "__init__.py").exists()}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders <= rooms | {"campaign", "docs", "scripts", "shared_cases"}
    assert rooms <= folders


def test_test_modules_have_different_names() -> None:
    count = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert not [name for name, times in count.items() if times > 1]  # pytest imports them by their base names


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [f"{name}: {match[0]}" for name, text in text_files() for match in MACHINE_PATH.finditer(text)]
    assert not found


def test_no_file_that_installs_names_a_package_index() -> None:
    """Docs may tell people of PyTorch's CPU index; what runs by itself takes the index of its machine."""
    found = [
        f"{name}: {match[0]}"
        for name, text in text_files()
        if not name.endswith(".md")
        for match in REGISTRY.finditer(text)
    ]
    assert not found


def test_every_extra_that_a_text_names_exists(project: Any) -> None:
    extras = set(project["project"]["optional-dependencies"])
    named_extras = {
        (name, extra)
        for name, text in text_files()
        for match in re.finditer(r"(?:restore-photos|install [^\n]*\"\.)\[([a-z, ]+)\]", text)
        for extra in match[1].replace(" ", "").split(",")
    }
    assert len(named_extras) > 5
    assert not {(name, extra) for name, extra in named_extras if extra not in extras}


def test_every_hint_to_install_names_the_distribution() -> None:
    wrong = re.compile(r"pip install [^&|;`\n]*?(?<![\w./-])restore(?![\w./-])")
    found = [f"{name}: {match[0]}" for name, text in text_files() for match in wrong.finditer(text)]
    assert not found  # `restore` on the package index is another project
