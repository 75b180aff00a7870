"""A server of the local page for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from web_client import find_nothing, running

from restore.web.server import Server


@pytest.fixture
def server(tiny_catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose only network inverts. Nothing is left on disk after it, whatever a test does."""
    monkeypatch.setattr("restore.web.picture_work.inspect", find_nothing)
    with running(tmp_path / "web") as server:
        yield server
    assert list((tmp_path / "web").iterdir()) == []
