"""Fixtures of the Hugging Face Hub: the real client against a Hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub, serve
from huggingface_hub import close_session, constants


@contextmanager
def client_of_a_hub(folder: Path, monkeypatch: pytest.MonkeyPatch, *, takes_xet: bool = False) -> Iterator[Hub]:
    """A Hub, and a client for it with an empty cache in `folder` and without login."""
    with serve() as server:
        for name, value in {
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": not takes_xet,
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(folder / "hub"),
            "HF_TOKEN_PATH": str(folder / "token"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "*")
        close_session()  # the client's connections keep the old environment
        yield server
        close_session()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub, and a client for it with an empty cache and without login."""
    with client_of_a_hub(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token for the Hub."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
