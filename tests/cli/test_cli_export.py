"""`restore export`."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from conftest import Run

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def test_export_writes_a_file_whose_path_is_the_result(run: Run, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    ran = run("export", "tiny-denoise", "-o", "a.dtmodel", "--tile", "192")
    assert (ran.code, ran.out) == (0, "a.dtmodel\n")
    assert "largest difference from torch: " in ran.err
    assert "denoise-restore-tiny-denoise/model.onnx" in zipfile.ZipFile("a.dtmodel").namelist()
    assert [path.name for path in Path().iterdir()] == ["a.dtmodel"]


@pytest.mark.parametrize("target", ["a.onnx", "a.dtmodel"])
def test_export_replaces_nothing_without_overwrite(run: Run, target: str) -> None:
    Path(target).write_text("mine")
    ran = run("export", "tiny-denoise", "-o", target)
    assert ran.code == 1 and f"{target} already exists" in ran.err and "--overwrite" in ran.err
    assert Path(target).read_text() == "mine"


def test_export_refuses_a_name_of_another_kind(run: Run) -> None:
    ran = run("export", "tiny-denoise", "-o", "a.pt")
    assert ran.code == 2 and "end the name in .onnx" in ran.err


def test_a_missing_package_is_one_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", sys)  # stands for an installed one
    ran = run("export", "tiny-denoise", "-o", "a.onnx")
    assert ran.code == 1 and "pip install 'restore-photos[onnx]'" in ran.err and "onnxscript" in ran.err
    assert not list(Path().iterdir())
