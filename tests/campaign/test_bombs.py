"""Every bomb takes less than 2 GB and 10 s, and is read or refused with one clear error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bombs import BOMBS
from limited_children import run_all

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")

SHARED = Path(__file__).parents[3] / "shared" / "cases" / "pictures"


def made(names: list[str], folder: Path) -> Iterator[tuple[str, str]]:
    for name in names:
        make, extension = BOMBS[name]
        path = folder / f"bomb{extension}"
        path.write_bytes(make())
        assert path.stat().st_size < 1_100_000, name
        yield name, str(path)


def test_a_few_bombs_do_no_harm(tmp_path: Path) -> None:
    quick = [name for name in BOMBS if "300 MB" not in name and "60,000 x" not in name][::4]
    run_all("cases:copied", made(quick, tmp_path), "bombs")


@pytest.mark.slow
def test_no_bomb_does_harm(tmp_path: Path) -> None:
    run_all("cases:copied", made(list(BOMBS), tmp_path), "bombs")
