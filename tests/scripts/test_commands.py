"""What all scripts have in common."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_an_error_of_a_script_is_told_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/pack_photos.py", str(tmp_path / "gone"), str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == f"error: {tmp_path / 'gone'} is not a folder"
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_scripts_import_restore_before_torch_so_that_nothing_spins(path: Path) -> None:
    imported = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(node.module or "")
    loading = [name for name in imported if name.partition(".")[0] in ("restore", "torch", "safetensors")]
    assert loading[0].partition(".")[0] == "restore"
