"""Pictures that are cut while they are read, as when a card is pulled, are read whole or refused. Nothing crashes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from limited_children import run_all
from test_mutated_pictures import SEED, sources

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files cannot be cut while they are open")


def files_to_cut(rounds: int, folder: Path) -> Iterator[tuple[str, str]]:
    random = Random(SEED)
    for _ in range(rounds):
        for number, (extension, data) in enumerate(sources()):
            path = folder / f"c-{random.randrange(6000)}{extension}"
            path.write_bytes(data)
            yield f"seed {SEED}, file {number} ({path.name})", str(path)
            path.unlink()


def test_a_few_files_are_cut_while_they_are_read(tmp_path: Path) -> None:
    run_all("cases:cut", files_to_cut(1, tmp_path), f"cut files, seed {SEED}")


@pytest.mark.slow
def test_files_are_cut_while_they_are_read(tmp_path: Path) -> None:
    run_all("cases:cut", files_to_cut(20, tmp_path), f"cut files, seed {SEED}")
