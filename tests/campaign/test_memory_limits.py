"""Runs under ever less memory: each gives the same pixels as its tiles give with enough memory, or one clear error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from restore.images import Picture, read_picture, write_picture

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")]

LIMITS = range(680, 920, 12)  # MB of address space; torch alone takes some 600


def denoise(weights: str, out: str, *options: str, megabytes: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "restore", "denoise", "in.png", "-o", out, "--weights", weights, *options]
    command += ["--json", "report.json", "--overwrite", "--threads", "1"]
    limit = "" if megabytes is None else f"ulimit -v {1024 * megabytes}; "
    return subprocess.run(["sh", "-c", limit + 'exec "$@"', "sh", *command], capture_output=True, text=True)


@pytest.mark.parametrize("weights", ["cs-kit-s-denoise", "kit-s-denoise"])
def test_little_memory_gives_the_pixels_of_its_tiles_or_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    write_picture(Picture(noise), Path("in.png"))
    statuses = []
    for megabytes in LIMITS:
        ran = denoise(weights, "out.png", "--tile", "512", megabytes=megabytes)
        assert "Traceback" not in ran.stderr and ran.returncode in (0, 1), f"{megabytes} MB: {ran.stderr}"
        if ran.returncode == 1:
            assert ran.stderr.count("error:") == 1 and "memory" in ran.stderr, f"{megabytes} MB: {ran.stderr}"
            assert not Path("out.png").exists()
            statuses.append("refused")
            continue
        (picture,) = json.loads(Path("report.json").read_text())["pictures"]
        statuses.append("retiled" if picture["retiled"] else "restored")
        enough = denoise(weights, "enough.png", "--tile", str(max(picture["tile"])))
        assert enough.returncode == 0
        np.testing.assert_array_equal(
            read_picture(Path("out.png")).pixels, read_picture(Path("enough.png")).pixels, err_msg=f"{megabytes} MB"
        )
        Path("out.png").unlink()
    print(f"\n{weights} from {LIMITS[0]} to {LIMITS[-1]} MB: {statuses}")
    assert {"refused", "restored"} <= set(statuses)
