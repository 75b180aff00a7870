"""Which backend computes which weights, and what works where torch is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_files
import pytest
import torch
from conftest import Run, save
from fake_networks import ThreeConvolutions

import restore
from restore.checkpoints import catalogue
from restore.errors import RestoreError, UsageError, WeightsError
from restore.images import read_picture
from restore.inference import opening
from restore.inference.restorer import Restorer

# Python refuses to import a module that is None in sys.modules.
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from restore.cli.start import main; main()"


def without_torch(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True)


def test_a_file_that_ends_in_onnx_picks_its_backend(run: Run) -> None:
    pixels = save("a.png")
    onnx_files.inverting(Path("w.onnx"))
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "w.onnx", "--json", "r.json", "--threads", "1")
    assert (ran.code, ran.err) == (0, "")
    written = read_picture(Path("b.png"))
    np.testing.assert_array_equal(written.pixels, 255 - pixels)
    report = json.loads(Path("r.json").read_text())
    assert (report["device"], report["threads"]) == ("onnx:cpu", 1)
    assert "onnxruntime" in report["versions"] and "torch" not in report["versions"]
    ran = run("denoise", "a.png", "-o", "c.png", "--weights", "w.onnx", "--backend", "torch")
    assert ran.code == 2 and "w.onnx is for ONNX Runtime, not for torch" in ran.err


def test_weights_for_another_task_are_refused(run: Run) -> None:
    save("a.png")
    onnx_files.inverting(Path("w.onnx"), task="derain")
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "w.onnx")
    assert ran.code == 2 and "are for derain, not for denoise" in ran.err
    onnx_files.enlarging(Path("x.onnx"), task="denoise")
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "x.onnx")
    assert ran.code == 1 and "cannot be used to denoise: its network enlarges 2 times" in ran.err


def test_a_missing_export_is_told_as_a_missing_file(run: Run) -> None:
    save("a.png")
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "w.onnx")
    assert ran.code == 1 and "cannot find the weights file w.onnx" in ran.err


def test_a_name_is_found_in_the_own_folder_if_it_is_an_export_of_these_weights(run: Run, tiny_catalogue: Path) -> None:
    pixels, entry = save("a.png"), catalogue.load_catalogue()["tiny-denoise"]
    words = ("denoise", "a.png", "-o", "b.png", "--backend", "onnx")
    ran = run(*words)
    path = catalogue.own_folder() / "tiny-denoise.onnx"
    assert ran.code == 1 and f"there is no {path}" in ran.err and "restore export tiny-denoise -o" in ran.err
    path.parent.mkdir(parents=True)
    onnx_files.inverting(path, sha256="1" * 64)
    ran = run(*words)
    assert ran.code == 1 and f"{path} is not an export of tiny-denoise" in ran.err
    onnx_files.inverting(path, sha256=entry.sha256)
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    written = read_picture(Path("b.png"))
    np.testing.assert_array_equal(written.pixels, 255 - pixels)
    assert b"weights tiny-denoise.onnx sha256" in (written.xmp or b"")
    assert restore.load("denoise", backend="onnx").entry == entry


def test_other_files_need_an_export(tiny_file: Path) -> None:
    with pytest.raises(WeightsError, match="is not an export for ONNX Runtime") as caught:
        opening.find(str(tiny_file), "onnx")
    assert caught.value.hint is not None and f"restore export {tiny_file} -o" in caught.value.hint
    with pytest.raises(WeightsError, match="unknown weights"):
        opening.find("nonsense", "onnx")
    with pytest.raises(UsageError, match="unknown backend"):
        opening.find(str(tiny_file), "other")


def test_steps_of_a_run_may_use_both_backends(run: Run, tiny_catalogue: Path) -> None:
    pixels = save("a.png")
    onnx_files.inverting(Path("w.onnx"))
    ran = run("run", "denoise:weights=w.onnx,denoise", "a.png", "-o", "b.png", "--threads", "1")
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_array_equal(read_picture(Path("b.png")).pixels, pixels)


def test_commands_about_weights_say_that_it_is_an_export(run: Run) -> None:
    onnx_files.inverting(Path("w.onnx"))
    ran = run("weights", "verify", "w.onnx")
    assert ran.code == 1 and "w.onnx is an export for ONNX Runtime" in ran.out


def test_a_picture_is_restored_where_torch_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save("a.png")
    onnx_files.convolving(Path("w.onnx"))
    ran = without_torch("denoise", "a.png", "-o", "b.png", "--weights", "w.onnx", "--tile", "40", "--overlap", "8")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "b.png\n", "")
    expected = Restorer(ThreeConvolutions(), device="cpu").restore_picture(
        read_picture(Path("a.png")), tile=40, overlap=8
    )
    found = read_picture(Path("b.png")).pixels.astype(int)
    assert np.abs(found - expected.picture.pixels).max() <= 1


@pytest.mark.parametrize(
    "words",
    ["bench panet:s", "weights verify cs-kit-s-denoise", "export cs-kit-s-denoise -o b.onnx"],
)
def test_other_commands_say_that_they_need_torch(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = without_torch(*words.split())
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: this needs torch, which is not installed\nhint:  pip install torch"), (
        ran.stderr
    )


def test_weights_for_torch_say_what_to_do_without_it(
    run: Run, tiny_catalogue: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "has_torch", lambda: False)
    save("a.png")
    ran = run("denoise", "a.png", "-o", "b.png")
    assert ran.code == 1 and "torch is not installed, and there is no " in ran.err
    with pytest.raises(WeightsError, match="torch is not installed, and"):
        restore.load(tiny_file)
    with pytest.raises(RestoreError, match="needs torch, which is not installed"):
        restore.load("denoise", backend="torch")


def test_info_tells_of_a_machine_without_torch() -> None:
    ran = without_torch("info", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    devices = json.loads(ran.stdout)["devices"]
    assert devices["onnx"].endswith("cpu") and "cores" in devices["cpu"] and "GB free" in devices["memory"]


@pytest.mark.slow
def test_a_bundled_network_gives_torch_s_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Exported, and restored where torch is not installed: at most one level of 255 differs."""
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    save("a.png", side=200)
    assert run("export", "cs-kit-s-denoise", "-o", "w.onnx", "--tile", "128").code == 0
    ran = without_torch("denoise", "a.png", "-o", "b.png", "--weights", "w.onnx")
    assert (ran.returncode, ran.stderr) == (0, "")
    torch.set_num_threads(1)
    restored = restore.load("cs-kit-s-denoise", precision="float32").restore_picture(
        read_picture(Path("a.png")), tile=128
    )
    found = read_picture(Path("b.png")).pixels.astype(int)
    assert restored.tile == (128, 128)
    assert np.abs(found - restored.picture.pixels).max() <= 1
