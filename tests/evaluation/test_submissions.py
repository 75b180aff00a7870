from __future__ import annotations

import base64
import csv
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from restore.errors import DataError
from restore.evaluation.submissions import write_dnd, write_sidd


def blocks(count: int) -> list[tuple[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    return [(f"{i // 2 + 1:04d}_{i % 2 + 1:02d}", generator.random((8, 8, 3)).astype(np.float32)) for i in range(count)]


def test_sidd_gets_the_bytes_of_every_block_in_order(tmp_path: Path) -> None:
    restored = blocks(3)
    restored[1][1][0, 0] = (-1, 2, 0.5)  # clipped; 127.5 is rounded to even
    write_sidd(tmp_path / "s.csv", restored)
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [row["ID"] for row in rows] == ["0", "1", "2"]
    for row, (_, block) in zip(rows, restored, strict=True):
        decoded = np.frombuffer(base64.b64decode(row["BLOCK"]), np.uint8).reshape(8, 8, 3)
        np.testing.assert_array_equal(decoded, np.round(np.clip(block, 0, 1) * 255))
    assert np.frombuffer(base64.b64decode(rows[1]["BLOCK"]), np.uint8)[:3].tolist() == [0, 255, 128]


def test_an_interrupted_submission_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> object:
        yield from blocks(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sidd(tmp_path / "s.csv", interrupted())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_dnd_gets_a_cell_array_of_boxes_for_every_picture(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    restored = blocks(4)
    write_dnd(tmp_path / "bundled", restored)
    assert sorted(path.name for path in (tmp_path / "bundled").iterdir()) == ["0001.mat", "0002.mat"]
    held = io.loadmat(tmp_path / "bundled/0002.mat")
    assert held["Idenoised"].shape == (1, 2)
    np.testing.assert_array_equal(held["Idenoised"][0, 1], restored[3][1])
    assert (held["israw"].item(), held["eval_version"].item()) == (0, "1.0")


def test_a_folder_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("scipy.io")
    with pytest.raises(DataError, match="cannot make the folder"):
        write_dnd(tmp_path, blocks(1))


@pytest.mark.usefixtures("tiny_catalogue")
def test_eval_writes_what_the_authors_score(run: Run) -> None:
    io = pytest.importorskip("scipy.io")
    noisy = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), dtype=np.uint8)
    io.savemat("BenchmarkNoisyBlocksSrgb.mat", {"BenchmarkNoisyBlocksSrgb": noisy})
    args = ("eval", "--dataset", "SIDD", "--root", ".", "--split", "benchmark", "--device", "cpu")
    ran = run(*args, "--submission", "s.csv")
    assert (ran.code, ran.out) == (0, "s.csv\n")
    rows = list(csv.DictReader(Path("s.csv").read_text().splitlines()))
    last = np.frombuffer(base64.b64decode(rows[3]["BLOCK"]), np.uint8).reshape(16, 16, 3)
    np.testing.assert_array_equal(last, 255 - noisy[1, 1])  # the network inverts
