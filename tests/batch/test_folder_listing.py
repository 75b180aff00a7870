"""Links and folders among many paths, by one listing of each folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from restore.batch import listing, planning
from restore.batch.listing import Listing, existing
from restore.errors import PictureError, UsageError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files, folders and links of every kind."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/b.png", "in/deep/c.png", "out/a.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for link, to in (("in/link.png", "b.png"), ("in/gone.png", "nowhere"), ("in/dir", "deep"), ("linked", "in")):
        os.symlink(to, link)
    os.symlink("in/loop", "in/loop")
    return tmp_path


PATHS = [
    "in/a.png", "in/b.png", "in/link.png", "in/gone.png", "in/deep", "in/dir", "in/dir/c.png", "in/loop", "in/new.png",
    "linked/a.png", "linked/link.png", "out/a.png", "new/deep/a.png", "a.png", ".", "..", "in", "linked/../in/a.png",
]  # fmt: skip


@pytest.mark.parametrize("many", [1, 99])
def test_a_listing_knows_what_the_system_says_of_each_path(
    here: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(listing, "_MANY", many)
    for paths in (PATHS, [str(here / path) for path in PATHS]):
        found = Listing(paths)
        assert [os.path.join(*found.real(path)) for path in paths] == [os.path.realpath(path) for path in paths]
        assert [found.is_folder(path) for path in paths] == [os.path.isdir(path) for path in paths]
        files = [path for path in paths if not path.endswith(".")]  # as outputs are named
        assert existing(files) == set(filter(os.path.lexists, files))


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that the system is asked about, one by one."""
    paths: list[str] = []
    for name in ("stat", "lstat", "access"):
        ask = getattr(os, name)

        def noted(path: Any, *more: Any, ask: Any = ask, **options: Any) -> Any:
            paths.append(str(path))
            return ask(path, *more, **options)

        monkeypatch.setattr(os, name, noted)
    return paths


def test_planning_many_pictures_asks_for_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("many", "many/deep", "done", "done/deep"):
        os.mkdir(folder)
        for i in range(600):
            Path(folder, f"{i}.png").touch()
    paths = asked(monkeypatch)
    for output in ("new", "done"):
        jobs = planning.plan(["many"], output, recursive=True).jobs
        assert len(jobs) == 1200 and len(planning.done(jobs)) == (1200 if output == "done" else 0)
    assert not [path for path in paths if path.endswith(".png")]
    assert len(paths) < 150


def test_links_among_many_pictures_are_still_seen() -> None:
    os.mkdir("many")
    for i in range(50):
        Path(f"many/{i}.png").touch()
    os.mkdir("results")
    os.symlink("../many/7.png", "results/8.png")
    with pytest.raises(UsageError, match=r"results/8\.png is also an input and would be replaced"):
        planning.plan(["many"], "results")
    os.remove("results/8.png")
    os.mkdir("results/9.png")
    with pytest.raises(PictureError, match=r"cannot write results/9\.png: it is a folder"):
        planning.plan(["many"], "results")
    os.rmdir("results/9.png")
    os.symlink("9.png", "many/10.jpg")  # the same picture twice, under two names
    assert len(planning.plan(["many"], "results").jobs) == 51
    with pytest.raises(UsageError, match="would both be written to"):
        planning.plan(["many"], "results", format="png")


def test_collisions_are_found_whichever_process_has_the_pictures() -> None:
    from restore.batch.processes import Rank

    for name in ("many/a.png", "many/a.jpg", *(f"many/{i}.png" for i in range(40))):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    for index in range(3):
        with pytest.raises(UsageError, match=r"many/a\.jpg and many/a\.png would both be written to out/a\.png"):
            planning.plan(["many"], "out", format="png", rank=Rank(index, 3))
    plans = [planning.plan(["many"], "out", rank=Rank(index, 3)) for index in range(3)]
    assert {plan.total for plan in plans} == {42}
    assert sorted(str(job) for plan in plans for job in plan.jobs) == sorted(
        map(str, planning.plan(["many"], "out").jobs)
    )
