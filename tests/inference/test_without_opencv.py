"""Restoring works without OpenCV (153 MB), but for transparency that hides pixels or is upscaled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from odd_files import MAKERS, Odd

from restore.images import read_picture

# Python refuses to import a module that is None in sys.modules.
WITHOUT_OPENCV = "import sys; sys.modules['cv2'] = None; from restore.cli.app import main; main()"
CASES = {
    **{f"{suffix[1:]}{suffix}": (name, Odd()) for name, (_, suffix) in MAKERS.items() if name != "RAW"},
    "raw.dng": ("RAW", Odd(depth="16")),
    "deep.png": ("PNG", Odd("RGB", "16")),
    "stream.j2k": ("JPEG 2000", Odd(extras=frozenset({"stream"}))),
}


def test_files_of_every_format_are_restored_without_opencv(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for file, (name, odd) in CASES.items():
        data = MAKERS[name][0](odd)
        assert data is not None
        (folder / file).write_bytes(data)
    command = [sys.executable, "-c", WITHOUT_OPENCV, "denoise", str(folder), "-o", str(out), "--threads", "1"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    written = {path.name for path in out.iterdir()}
    assert written == {*CASES, "raw.tif"} - {"raw.dng"}
    for name in written:
        assert read_picture(out / name).pixels.size
