"""Fixtures of training runs: small configs of networks, and photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_training import TINY

from restore.images import Picture, write_picture
from restore.networks import NETWORKS


@pytest.fixture
def tiny_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs `tiny` and `tiny-hard` of CS-KiT."""
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", TINY)
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny-hard", TINY | {"hard_scales": True})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs of 72x80 pixels; the last is held out."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        drawn = np.random.default_rng(seed).random((72, 80, 3), dtype=np.float32)
        smooth = cv2.normalize(cv2.GaussianBlur(drawn, (0, 0), 2), None, 20, 235, cv2.NORM_MINMAX)  # type: ignore[call-overload]
        write_picture(Picture(smooth.astype(np.uint8)), folder / f"{seed}.png")
    return folder
