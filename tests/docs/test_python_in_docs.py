"""Every block of Python in README and docs/ runs, with a tiny network behind every name of weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import save
from doc_pages import PAGES, Block, blocks
from doc_weights import add_own, tiny_weights

import restore
from restore import checkpoints
from restore.checkpoints import pull_push
from restore.checkpoints.hub import Address

BLOCKS = [block for page in PAGES for block in blocks(page) if block.language == "python"]


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A tiny network behind every bundled name."""
    with tiny_weights(tmp_path_factory.mktemp("bundled")):
        yield


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_python_of_the_docs_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    add_own("hub", "denoise")
    load = checkpoints.load
    monkeypatch.setattr(  # the Hub has tests of its own
        checkpoints, "load", lambda weights, *task: load("hub" if str(weights).startswith("hf://") else weights)
    )
    save("photo.jpg")
    array = np.zeros((8, 8, 3), np.uint8)
    address = Address("owner/name", "0" * 40)
    monkeypatch.setattr(pull_push, "push_network", lambda *_, **__: (address, ""))
    names = {"restore": restore, "array": array, "batch": torch.zeros(1, 3, 8, 8)}
    exec(compile("\n" * (block.line - 1) + block.code, block.page, "exec"), names)


def test_there_are_blocks_to_run() -> None:
    assert {"README.md", "docs/python.md", "docs/hub.md"} <= {block.page for block in BLOCKS}
