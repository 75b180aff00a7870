"""What the package says of itself agrees with the files beside it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import restore

ROOT = Path(__file__).parents[1]
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project() -> Any:
    return tomllib.loads(text("pyproject.toml"))["project"]


def distribution(requirement: str) -> str:
    """
    >>> distribution("huggingface_hub>=1.0")
    'huggingface-hub'
    """
    return re.split(r"[\[<>=~! ;]", requirement)[0].lower().replace("_", "-")


def test_the_version_is_the_newest_release_of_the_changelog() -> None:
    version, _ = RELEASE.findall(text("CHANGELOG.md"))[0]
    assert restore.__version__ == version


def test_the_lines_to_install_without_torch_name_all_other_dependencies(project: Any) -> None:
    (line,) = re.findall(r"^pip install -c constraints.txt onnxruntime (.+)$", text("docs/onnx.md"), re.MULTILINE)
    needed = {distribution(requirement) for requirement in project["dependencies"]}
    assert {distribution(name) for name in line.split()} == needed - {"torch"}


def test_releases_of_the_changelog_go_from_new_to_old() -> None:
    releases = RELEASE.findall(text("CHANGELOG.md"))
    versions = [tuple(map(int, version.split("."))) for version, _ in releases]
    assert versions == sorted(versions, reverse=True) and versions[-1] == (0, 1, 0)
    dates = [date for _, date in releases]
    assert dates == sorted(dates, reverse=True)


def test_the_citation_is_of_the_newest_release() -> None:
    version, date = RELEASE.findall(text("CHANGELOG.md"))[0]
    citation = text("CITATION.cff")
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [version]
    assert re.findall(r'^date-released: "(\S+)"$', citation, re.MULTILINE) == [date]


def test_every_direct_dependency_is_pinned_in_constraints(project: Any) -> None:
    wanted = list(project["dependencies"])
    for requirements in project["optional-dependencies"].values():
        wanted += requirements
    names = {distribution(requirement) for requirement in wanted} - {project["name"]}
    pinned = {distribution(line) for line in text("constraints.txt").splitlines() if "==" in line}
    assert names <= pinned


def test_all_takes_every_extra_that_users_need(project: Any) -> None:
    extras = set(project["optional-dependencies"])
    (everything,) = project["optional-dependencies"]["all"]
    taken = set(everything.removeprefix(f"{project['name']}[").removesuffix("]").split(","))
    services = {"ray", "wandb"}  # for those who have a cluster or an account
    assert taken == extras - services - {"all", "browser", "dev", "docs", "test"}


def test_the_workflow_runs_both_commands_of_the_readme() -> None:
    commands = re.findall(r"^pip install -c constraints\.txt .*&&.*$", text("README.md"), re.MULTILINE)
    assert len(commands) == 2
    workflow = text(".github/workflows/tests.yml")
    assert all(command in workflow for command in commands)
    assert commands[1] in text(".ci/run")


def test_the_dockerfile_copies_files_that_exist_and_installs_as_the_readme_does() -> None:
    lines = [line for line in text("Dockerfile").splitlines() if line and not line.startswith("#")]
    steps = [line.split(None, 1) for line in lines]
    assert [step[0] for step in steps[:1]] == ["FROM"] and steps[0][1] == "python:3.12-slim"
    copied = {name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]}
    assert {"restore", "weights", "constraints.txt"} <= copied and all((ROOT / name).exists() for name in copied)
    allowed = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert allowed == copied and "*" in text(".dockerignore").splitlines()
    command = "pip install -c constraints.txt ."
    assert command in text("README.md")
    assert any(command in rest.replace("--no-cache-dir ", "") for word, rest in steps if word == "RUN")
    assert ["ENTRYPOINT", '["restore"]'] in steps and ["VOLUME", "/data"] in steps
    assert [rest for word, rest in steps if word == "USER"] == ["restore"]
    assert "Dockerfile" in text("docs/batches.md") and 'restore = "restore.cli' in text("pyproject.toml")


def test_the_page_on_the_package_index_has_no_relative_address() -> None:
    """Read with the substitutions of pyproject.toml, as the build does."""
    hook = tomllib.loads(text("pyproject.toml"))["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    page = text("README.md")
    assert re.search(r"\]\(docs/", page)
    for substitution in hook["substitutions"]:
        page = re.sub(substitution["pattern"], substitution["replacement"], page)
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", page)
    assert all(target.startswith(("https://", "#")) for pair in targets for target in pair if target)
    for picture in re.findall(r"raw\.githubusercontent\.com/restore-photos/restore/main/([^)\"]+)", page):
        assert (ROOT / picture).is_file()
