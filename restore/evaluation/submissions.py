"""Files for benchmarks whose authors keep the clean pictures: SIDD and DND."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from restore.degradations import Image
from restore.errors import DataError
from restore.files import whole_file


def write_sidd(path: Path, restored: Iterable[tuple[str, Image]]) -> None:
    """Write SIDD's `SubmitSrgb.csv`: a line for each block with its number and its bytes in base64.

    Args:
        path: The file.
        restored: Names and blocks in the order of the benchmark file; `(256, 256, 3)`, 1 is white.
    """
    with whole_file(path) as unfinished, open(unfinished, "w", newline="", encoding="ascii") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("ID", "BLOCK"))
        for number, (_, block) in enumerate(restored):
            levels = np.round(np.clip(block, 0, 1) * 255).astype(np.uint8)
            rows.writerow((number, base64.b64encode(levels.tobytes()).decode("ascii")))


def write_dnd(folder: Path, restored: Iterable[tuple[str, Image]]) -> None:
    """Write one MATLAB file for each picture with its restored boxes, as the authors' `bundle_submission_srgb` does.

    Args:
        folder: A new folder.
        restored: Names such as 0001_01 (picture and box) and boxes; `(H, W, 3)`, 1 is white.

    Raises:
        DataError: SciPy is not installed, or the folder already exists.
    """
    try:
        import scipy.io
    except ImportError:
        raise DataError("no writer of MATLAB files is installed", hint="pip install 'restore-photos[mat]'") from None
    try:
        folder.mkdir()
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror}", hint="name a new folder") from error
    boxes: dict[str, list[Image]] = {}
    for name, box in restored:
        boxes.setdefault(name.rpartition("_")[0], []).append(np.clip(box, 0, 1).astype(np.float32))
    for name, images in boxes.items():
        cells = np.empty((1, len(images)), dtype=object)
        for index, image in enumerate(images):
            cells[0, index] = image
        with whole_file(folder / f"{name}.mat") as unfinished, open(unfinished, "wb") as file:
            scipy.io.savemat(file, {"Idenoised": cells, "israw": False, "eval_version": "1.0"}, do_compression=True)


SUBMISSIONS: dict[str, Callable[[Path, Iterable[tuple[str, Image]]], None]] = {"SIDD": write_sidd, "DND": write_dnd}
