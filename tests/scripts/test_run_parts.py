"""Files of runs in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scripts import run_parts


def test_a_state_in_parts_is_joined_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    content = np.random.default_rng(0).bytes(105)
    path.write_bytes(content)
    run_parts.split(path, 10)
    assert sorted(p.stat().st_size for p in tmp_path.iterdir()) == [5, *[10] * 10]
    run_parts.joined(path)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    assert path.read_bytes() == content
    run_parts.split(path, 105)  # small enough
    assert path.is_file()
