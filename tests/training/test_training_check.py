"""`restore data check --for train`: the trainer's own rule, without a step of training."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, save

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")
FIELDS = {
    "config": "tiny", "steps": 1, "local_steps": 0, "stages": "[]", "batch": 1, "crop": 64, "held_out": 1, "warm_up": 0,
    "validate_every": 1, "validate": "[]", "precision": "float32",
}  # fmt: skip
SET = [word for key, value in FIELDS.items() for word in ("--set", f"{key}={value}")]


def trained_on(run: Run, *data: str) -> str:
    """What a run says of its pictures."""
    shutil.rmtree("run", ignore_errors=True)
    ran = run("train", "cs-kit-s-denoise", *SET, "--threads", "1", "--out", "run", *data)
    assert ran.code == 0, ran.err
    about: str = json.loads(Path("run/sessions.jsonl").read_text())["data"]
    notes = sorted(line for line in ran.err.splitlines() if line.startswith("note:"))
    return "\n".join([about.replace("`", "").rstrip("."), *notes])


def checked(run: Run, *data: str) -> str:
    """What the check says of them."""
    ran = run("data", "check", *data, "--for", "train", "--recipe", "cs-kit-s-denoise", *SET)
    assert ran.code == 0, ran.err
    about, _, rest = ran.out.partition("; recipe cs-kit-s-denoise, changed, no faults")
    assert rest == "\n"
    return "\n".join([about, *sorted(line for line in ran.err.splitlines() if line.startswith("note:"))])


def test_the_check_says_what_a_run_says(run: Run) -> None:
    for index in range(4):
        save(f"photos/{index}.png", side=48 if index == 1 else 80)
    Path("photos/._0.png").touch()
    about = checked(run, "--clean", "photos")
    assert about.startswith("2 pictures of the folder photos, 1 more held out\n")
    assert "1 of 3 photos are smaller than a crop of 64 pixels and left out" in about and "1 dot file" in about
    assert about == trained_on(run, "--data", "photos")
    sides = ("--clean", "photos", "--degraded", "photos")
    about = checked(run, *sides)
    assert "is given for the clean and for the degraded pictures" in about
    assert about == trained_on(run, *sides)


def test_every_picture_that_a_run_would_refuse_is_named(run: Run) -> None:
    for index in range(9):
        save(f"clean/{index}.png", side=64)
        save(f"noisy/{index}.png", side=32 if index % 2 else 64)
    Path("clean/8.png").write_bytes(b"no picture")
    ran = run("data", "check", "--clean", "clean", "--degraded", "noisy", "--for", "train", *SET)
    assert ran.code == 1 and ran.out.count("64x64 clean and 32x32 degraded") == 4
    assert "8.png" in ran.out and "error: 5 faults for the recipe" in ran.err
    Path("noisy/extra.png").write_bytes(Path("noisy/0.png").read_bytes())
    ran = run("data", "check", "--clean", "clean", "--degraded", "noisy", "--for", "train", *SET)
    assert ran.code == 1 and "extra.png has no clean partner" in ran.out


def test_pairs_for_upscaling_are_checked_by_the_scale_of_the_recipe(run: Run) -> None:
    for index in range(3):
        save(f"high/{index:04d}.png", side=128)
        save(f"low/{index:04d}x2.png", side=64)
    for recipe, code in (("pa-edsr-s-x2", 0), ("pa-edsr-s-x4", 1)):
        ran = run(
            "data", "check", "--clean", "high", "--degraded", "low", "--for", "train", "--recipe", recipe,
            "--set", "held_out=1", "--set", "crop=32",
        )  # fmt: skip
        assert ran.code == code, ran.err
        assert ("2 pairs of the folders high and low, 1 more held out" in ran.out) == (code == 0)


def test_blocks_of_matlab_files_are_trained_on(run: Run, cache_folder: Path) -> None:
    io = pytest.importorskip("scipy.io")
    blocks = np.random.default_rng(0).integers(0, 256, (2, 1, 3, 72, 72, 3), dtype=np.uint8)
    Path("SIDD").mkdir()
    for kind, array in zip(("Noisy", "Gt"), blocks, strict=True):
        io.savemat(f"SIDD/Validation{kind}BlocksSrgb.mat", {f"Validation{kind}BlocksSrgb": array})
    data = ("--root", "SIDD", "--split", "validation")
    about = trained_on(run, "--dataset", "SIDD", *data)
    assert about.startswith("2 pairs of SIDD validation, 1 more held out\n")
    assert "these are its validation pictures, so do not score on them" in about
    assert about == checked(run, "SIDD", *data)
    (folder,) = (cache_folder / "blocks").iterdir()
    from restore.datasets.pairs import read_rgb

    np.testing.assert_array_equal(read_rgb(folder / "clean/0001_02.png"), blocks[1, 0, 1] / np.float32(255))
    np.testing.assert_array_equal(read_rgb(folder / "degraded/0001_03.png"), blocks[0, 0, 2] / np.float32(255))


def test_a_dataset_without_clean_pictures_is_refused(run: Run) -> None:
    io = pytest.importorskip("scipy.io")
    Path("SIDD").mkdir()
    noisy = np.zeros((1, 1, 8, 8, 3), np.uint8)
    io.savemat("SIDD/BenchmarkNoisyBlocksSrgb.mat", {"BenchmarkNoisyBlocksSrgb": noisy})
    ran = run("data", "check", "SIDD", "--root", "SIDD", "--split", "benchmark", "--for", "train")
    assert ran.code == 1 and "error: SIDD benchmark has no clean pictures to train on" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--for", "trian"), "purpose"),
        (("--recipe", "kit-sidd"), "a recipe is for pictures to train on"),
        (("--for", "train", "--recipe", "kit-sid"), "did you mean 'kit-sidd'"),
    ],
)
def test_contradictions_are_refused(run: Run, options: tuple[str, ...], message: str) -> None:
    save("photos/0.png")
    ran = run("data", "check", "--clean", "photos", *options)
    assert ran.code == 2 and re.search(message, ran.err)
