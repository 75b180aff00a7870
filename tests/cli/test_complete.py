"""What the shells offer when Tab is pressed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def offered(shell: str, words: str) -> str:
    """What a shell gets for the last of the words; fails if torch was imported."""
    code = (
        "import sys; sys.argv = ['restore']\nfrom restore.cli.app import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    environment = {
        "_RESTORE_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment}).stdout


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("zsh", "restore denoise --weights cs-kit-s-den", "cs-kit-s-denoise"),
        ("fish", "restore data show CBSD6", "CBSD68"),
        ("zsh", "restore train --task deno", "denoise"),
        ("bash", "restore config set denoise.stren", "denoise.strength"),
        ("fish", "restore run --recipe old-sc", "old-scans"),
        ("zsh", "restore config un", "unset"),
    ],
)
def test_the_shells_are_offered_commands_and_names(shell: str, words: str, expected: str) -> None:
    assert expected in offered(shell, words)


def test_a_broken_config_file_does_not_disturb_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_CONFIG", "nowhere.toml")
    monkeypatch.setenv("RESTORE_DENOISE_RECURSIVE", "maybe")
    assert "cs-kit-s-denoise" in offered("bash", "restore denoise --weights cs-kit-s-den")
