"""The cases of ../shared/cases/research: what people who train and score networks meet, each with its right outcome."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import resource
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ran, Run
from hub_server import Hub

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.cli import training_display
from restore.datasets.listing import list_pictures
from restore.training.recipe import load_recipe
from restore.training.sources import find_sources
from restore.training.state import saved_fingerprint
from restore.training.training_data import split_of

SHARED = Path(__file__).parents[3] / "shared"
MAKE = SHARED / "cases" / "research" / "make.py"
pytest_plugins = ["hub_fixtures"]
pytestmark = [
    pytest.mark.skipif(not MAKE.exists(), reason="../shared is not here"),
    # The client warns when it uploads without Xet.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
RECIPE = "panet-s-denoise-gaussian"
SMALL = {  # of the cases' docstrings, with fewer steps
    "steps": "2", "local_steps": "2", "batch": "2", "crop": "32", "held_out": "2", "validate_every": "1",
    "warm_up": "1", "precision": "float32", "validate": "[]",
}  # fmt: skip


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("research")
    subprocess.run([sys.executable, str(MAKE), str(folder)], check=True)
    return folder


def small(**changes: str) -> list[str]:
    """Options of a run that takes a moment."""
    return [word for key, value in (SMALL | changes).items() for word in ("--set", f"{key}={value}")]


def trained(run: Run, *options: str, recipe: str = RECIPE, out: str = "run", **changes: str) -> Ran:
    """A short run that succeeds."""
    ran = run("train", recipe, *small(**changes), "--threads", "1", "--out", out, *options)
    assert ran.code == 0, ran.err
    return ran


def session_of(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "sessions.jsonl").read_text().splitlines()[-1])
    return found


def state_of(out: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(Path(out, "state.pt"), weights_only=True)
    return state


# Data


@pytest.mark.parametrize("other", ["b", "grown"])
def test_a_run_is_not_resumed_on_other_data_unless_asked(run: Run, cases: Path, other: str) -> None:
    folder = cases / "resume_other_data"
    trained(run, "--data", str(folder / "a"), "--max-time", "0.3s", steps="40", local_steps="40")
    before = state_of("run")
    go_on = ("train", "--resume", "--out", "run", "--threads", "1", "--max-time", "0.3s", "--data")
    ran = run(*go_on, str(folder / other))
    assert ran.code == 2 and "error: the run was trained on other files: 8 pictures of the folder `a`" in ran.err
    assert state_of("run")["step"] == before["step"] and "--new-data" in ran.err
    assert run(*go_on, str(folder / "a")).code == 0  # the same files are no news
    shutil.copytree(folder / "a", "moved/a")
    assert run(*go_on, "moved/a").code == 0
    ran = run(*go_on, str(folder / other), "--new-data")
    assert ran.code == 0, ran.err
    card = Path("run/README.md").read_text()
    assert "of the folder `a`" in card and f"of the folder `{other}`" in card
    assert run(*go_on, str(folder / other)).code == 0  # now these are the run's own


def test_what_was_held_out_is_never_trained_on(run: Run, cases: Path) -> None:
    folder = cases / "resume_other_data"
    trained(run, "--data", str(folder / "a"))
    ran = run("train", "--resume", "--new-data", "--data", str(folder / "grown"), "--out", "run", "--threads", "1")
    assert ran.code == 0, ran.err
    recipe = load_recipe("run/recipe.json")
    split = split_of(recipe, find_sources(folder / "grown", None), saved_fingerprint(state_of("run")))
    assert [path.name for (path,) in split.held_photos] == ["08.png", "09.png"]  # not 10 and 11, the last ones
    assert len(split.photos) == 10


def test_a_state_that_names_no_data_is_resumed_with_a_note(run: Run, cases: Path) -> None:
    photos = str(cases / "resume_other_data" / "a")
    trained(run, "--data", photos, "--max-time", "0.3s", steps="40", local_steps="40")
    state = state_of("run")
    del state["data"]
    torch.save(state, "run/state.pt")
    ran = run("train", "--resume", "--out", "run", "--max-time", "0.3s", "--data", photos)
    assert ran.code == 0 and "note:  the state of this run does not say which pictures" in ran.err
    assert state_of("run")["data"] is not None


def test_two_folders_for_one_option_are_refused(run: Run, cases: Path) -> None:
    a, b = (str(cases / "two_folders" / name) for name in "ab")
    assert run("train", RECIPE, *small(), "--data", a, "--data", b, "--out", "run").code == 2
    assert run("eval", "--clean", a, "--sigma", "15", "--sigma", "25", "--weights", "none").code == 2


LAYOUTS = [
    (("--dataset", "Rain100L", "--root", "rain100"), 10, 2),
    (("--clean", "rain100", "--degraded", "rain100/rainy"), 10, 2),
    (("--dataset", "Rain200L", "--root", "rain200"), 10, 2),
    (("--clean", "rain200/norain", "--degraded", "rain200/rain/X2"), 10, 2),
    (("--clean", "many/clean", "--degraded", "many/degraded"), 33, 3),  # all versions of a picture stay together
    (("--dataset", "SIDD", "--root", "."), 10, 2),
    (("--dataset", "SIDD", "--root", "SIDD_Medium_Srgb"), 10, 2),
    (("--dataset", "GoPro", "--root", "GOPRO_Large"), 10, 2),
]


@pytest.mark.parametrize(("options", "used", "held_out"), LAYOUTS)
def test_downloads_are_trained_on_as_they_are(
    run: Run, cases: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...], used: int,
    held_out: int,
) -> None:  # fmt: skip
    monkeypatch.chdir(cases / "real_layouts")
    out = str(tmp_path / "run")
    trained(run, *options, "--task", "denoise", out=out, steps="1", local_steps="1")
    assert re.match(rf"{used} pairs .*, {held_out} more held out\.", session_of(out)["data"])
    own = options[:1] == ("--clean",)
    ran = run("data", "check", *(options if own else (options[1], *options[2:])))
    assert f"{used + held_out} pairs" in ran.out


def test_subfolders_are_included_on_request(run: Run, cases: Path) -> None:
    frames = cases / "real_layouts" / "GOPRO_Large" / "train"
    for side in ("sharp", "blur"):
        for sequence in frames.iterdir():
            shutil.copytree(sequence / side, Path(side, sequence.name))
    sides = ("--clean", "sharp", "--degraded", "blur")
    ran = run("train", RECIPE, *small(), *sides, "--out", "run")
    assert ran.code == 1 and "add -r for the subfolders" in ran.err
    trained(run, *sides, "-r", steps="1", local_steps="1")
    assert session_of("run")["data"].startswith("10 pairs ")
    assert "12 pairs, no faults" in run("data", "check", *sides, "-r").out
    assert "mean of 12" in run("eval", *sides, "-r", "--weights", "none").out


@pytest.mark.parametrize("low", ["LRx2", "LRx2_div2k"])
def test_pairs_of_two_sizes_are_trained_on_scored_and_checked(
    run: Run, cases: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, low: str
) -> None:
    monkeypatch.chdir(cases / "enlarging_pairs")
    sides = ("--clean", "HR", "--degraded", low)
    assert "8 pairs, no faults" in run("data", "check", *sides).out
    ran = run("eval", *sides, "--task", "upscale", "--weights", "none")
    assert ran.code == 0 and "y-border, mean of 8: input " in ran.out
    trained(run, *sides, recipe="pa-edsr-s-x2", out=str(tmp_path / "run"), steps="1", local_steps="1")
    ran = run("eval", *sides, "--weights", "none")  # for denoising, sizes must be equal
    assert ran.code == 1 and "pairs must have the same size" in ran.err


def test_small_pictures_are_left_out_aloud_and_not_counted(run: Run, cases: Path) -> None:
    ran = trained(run, "--data", str(cases / "small_pictures" / "small"), crop="64")
    assert "note:  4 of 8 photos are smaller than a crop of 64 pixels and left out" in ran.err
    assert session_of("run")["data"] == "4 pictures of the folder `small`, 2 more held out."
    assert "4 pictures of the folder `small`" in Path("run/README.md").read_text()


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("rgb16", "1 of 8 photos have more than 8 bits and are rounded to 8"),
        ("folder", "1 folder named like a picture"),
        ("dangling", "1 link to nothing"),
        ("appledouble", "1 dot file"),
    ],
)
def test_check_and_train_agree_on_odd_entries(run: Run, cases: Path, kind: str, note: str) -> None:
    folder = cases / "odd_entries" / kind
    ran = trained(run, "--data", str(folder))
    assert note in ran.err and session_of("run")["data"].startswith("8 pictures ")
    ran = run("data", "check", "--clean", str(folder))
    assert ran.code == 0 and "10 pictures, no faults" in ran.out
    assert (note in ran.err) == (kind != "rgb16")  # nothing is passed over there
    assert len(list_pictures(folder)) == 10


@pytest.mark.parametrize(
    ("recipe", "changes"), [("panet-dejpeg-q10", {"config": "s-grey"}), (RECIPE, {}), (RECIPE, {"config": "s-grey"})]
)
def test_grey_pictures_are_trained_on(run: Run, cases: Path, recipe: str, changes: dict[str, str]) -> None:
    ran = trained(run, "--data", str(cases / "grey_training" / "grey"), recipe=recipe, **changes)
    assert "note:  8 of 8 photos are grey and get equal channels" in ran.err
    network, _ = checkpoints.load("run/last.safetensors")
    assert network.channels == (1 if changes else 3)


def test_it_is_said_that_photos_are_decoded_and_where_to(
    run: Run, cases: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_display, "_MOMENT", 0)  # seconds without a word
    ran = trained(run, "--data", str(cases / "resume_other_data" / "a"))
    assert re.search(rf"decoding photos into {re.escape(str(cache_folder))}, .*: \d of 8", ran.err)


# Runs


def test_a_perfect_pair_does_not_hide_the_others(run: Run, cases: Path) -> None:
    sides = ("--clean", str(cases / "perfect_pair/clean"), "--degraded", str(cases / "perfect_pair/degraded"))
    ran = run("eval", *sides, "--weights", "none", "--json", "s.json", "--csv", "s.csv")
    assert "input 24.81 dB (1 of 6 equal the clean picture and are left out)" in ran.out
    found = json.loads(Path("s.json").read_text(), parse_constant=pytest.fail)
    assert (round(found["mean"]["input_psnr"], 2), found["infinite"]) == (24.81, {"input_psnr": 1})
    rows = {row["picture"]: row["input_psnr"] for row in csv.DictReader(Path("s.csv").read_text().splitlines())}
    assert (round(float(rows["mean"]), 2), rows["infinite"]) == (24.81, "1")
    trained(run, *sides, degradation="pairs", held_out="4")
    for line in Path("run/log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_runs_whose_held_out_pictures_are_all_perfect_log_strict_json(run: Run, cases: Path) -> None:
    clean = str(cases / "perfect_pair" / "clean")
    ran = trained(run, "--clean", clean, "--degraded", clean, degradation="pairs")
    assert "is given for the clean and for the degraded pictures" in ran.err
    assert "held-out pictures equal to the clean ones -> " in ran.err
    assert "(2 inputs equal the clean picture and are left out)" in ran.err
    log = [json.loads(line, parse_constant=pytest.fail) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert (log[-1]["validation"][0], log[-1]["infinite"]) == (None, 2)
    assert "| - |" in Path("run/README.md").read_text()


def test_the_command_to_continue_is_the_given_one(run: Run, cases: Path) -> None:
    pytest.importorskip("tensorboard")
    data = str(cases / "go_on" / "photos")
    given = ("--device", "cpu", "--save-every", "30s", "--tensorboard", "--max-time", "0.3s", "--data", data)
    ran = trained(run, *given, steps="2000", local_steps="2000")
    command = ran.err.splitlines()[-1].partition("continue with: restore train ")[2]
    assert command.startswith(f"--resume {RECIPE} --set steps=2000")
    for part in ("--threads 1", "--device cpu", "--save-every 30s", "--tensorboard", f"--data {data}", "--out run"):
        assert part in command
    assert run("train", *shlex.split(command)).code == 0


@pytest.mark.parametrize(
    "value", ["beta1=1", "beta2=1.5", "seed=99999999999999999999999", "ema=1", "ema=2", "pairs_share=7"]
)
def test_values_out_of_range_are_refused_before_anything_starts(run: Run, cases: Path, value: str) -> None:
    ran = run("train", RECIPE, *small(), "--data", str(cases / "recipe_values/photos"), "--out", "run", "--set", value)
    assert ran.code == 2 and ran.err.startswith(f"error: {value.partition('=')[0]} must be ")
    assert "Traceback" not in ran.err and not Path("run").exists()


def test_a_recipe_file_is_checked_like_its_options(run: Run, cases: Path) -> None:
    folder = cases / "recipe_values"
    ran = run("train", str(folder / "betas.toml"), *small(), "--data", str(folder / "photos"), "--out", "run")
    assert ran.code == 2 and "error: beta1 must be " in ran.err


def test_a_disk_that_fills_is_one_error_and_the_state_stays_whole(
    run: Run, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = []
    whole = torch.save

    def save(state: dict[str, Any], path: Path) -> None:
        saves.append(state["step"])
        if len(saves) == 1:
            whole(state, path)
            return
        Path(path).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/7: file write failed")

    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0})())
    ran = run("train", RECIPE, *small(), "--data", str(cases / "disk_full" / "photos"), "--out", "run")
    assert (ran.code, ran.out) == (1, "") and "Traceback" not in ran.err
    errors = [line for line in ran.err.splitlines() if line.startswith("error:")]
    assert errors == [f"error: cannot write to run: {os.strerror(errno.ENOSPC)}"]
    assert state_of("run")["step"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [6, 10, 18])
def test_a_full_disk_stops_a_run_whole(cases: Path, megabytes: int) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets users mount nothing")
    folder = cases / "disk_full"
    inside = (
        f"mount -t tmpfs -o size={megabytes}m tmpfs mnt; "
        f"{sys.executable} -m restore train {RECIPE} {' '.join(small(steps='30', local_steps='30'))} "
        "--threads 1 --data photos --out mnt/run; code=$?; "
        f"{sys.executable} -c 'import torch; torch.load(\"mnt/run/state.pt\", weights_only=True)' || exit 9; exit $code"
    )
    ran = subprocess.run(["unshare", "-rm", "sh", "-c", inside], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    (line,) = (line for line in ran.stderr.splitlines() if line.startswith("error:"))
    assert line.endswith("No space left on device")


# Weights


@pytest.mark.parametrize(
    ("model", "network", "task", "reason"),
    [
        ("pan_dn_full", "panet", "upscale", "its network does not enlarge"),
        ("pan_sr4_full", "pa-edsr", "denoise", "its network enlarges 4 times"),
    ],
)
def test_weights_of_another_task_are_not_imported(
    run: Run, monkeypatch: pytest.MonkeyPatch, model: str, network: str, task: str, reason: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_full.py", str(SHARED / "golden"), model, "made.pth"])
    runpy.run_path(str(MAKE.with_name("make_full.py")))
    ran = run("weights", "import", "made.pth", "--network", network, "--task", task, "--name", "x")
    assert ran.code == 1 and reason in ran.err and "x" not in catalogue.load_catalogue()


@pytest.mark.parametrize("name", ["ema", "model_ema"])
def test_averaged_weights_are_imported(run: Run, cases: Path, name: str) -> None:
    file = cases / "ema_beside_raw" / f"{name}.pth"
    ran = run("weights", "import", str(file), "--network", "drsformer", "--task", "derain", "--name", "x")
    assert (ran.code, ran.out) == (0, "x\n"), ran.err
    from safetensors.torch import load_file

    averaged = load_file(SHARED / "golden" / "drs_r16.safetensors")
    sums = {float(value.double().sum()) for value in checkpoints.load("x")[0].state_dict().values()}
    assert {float(value.double().sum()) for value in averaged.values()} <= sums  # the raw ones are 0.001 larger


@pytest.mark.parametrize("name", ["blocks", "dim"])
def test_a_huge_config_is_refused_at_once(run: Run, cases: Path, name: str) -> None:
    folder = cases / "huge_config"
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = folder / f"{name}.safetensors"
    ran = run("denoise", str(folder / "p.png"), "-o", "o.png", "--weights", str(file))
    assert ran.code == 1 and ran.err.startswith("error:") and "Traceback" not in ran.err
    assert time.monotonic() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KB


def test_a_published_run_loses_nothing(run: Run, cases: Path, hub: Hub, logged_in: None) -> None:
    trained(run, "--data", str(cases / "published_run" / "photos"))
    ran = run("weights", "push", "run/last.safetensors", "--repo", "owner/x", "--licence", "MIT")
    assert ran.code == 0, ran.err
    files = hub.repos["owner/x"].commits[hub.repos["owner/x"].refs["main"]]
    own, config, card = Path("run/README.md").read_text(), json.loads(files["config.json"]), files["README.md"].decode()
    after = re.findall(r"^\| 2.* \| ([\d.]+) \| ([\d.]+) \|$", own, re.MULTILINE)[-1]
    (score,) = config["scores"]
    assert (f"{score['input_psnr']:.2f}", f"{score['psnr']:.2f}") == after
    assert score["set"] == "2 held-out pictures at step 2"
    assert config["trained_on"].startswith("8 pictures of the folder 'photos', 2 more held out; degradation blind-g")
    assert (config["recipe"], config["steps"]) == (f"{RECIPE}, changed", 2)
    for part in ("8 pictures of the folder 'photos'", "blind-gaussian, 0 to 75", RECIPE, after[1]):
        assert part in card
    assert run("weights", "pull", "hf://owner/x").code == 0
    shown = " ".join(run("weights", "show", "x").out.split())
    assert "not by this project" not in shown
    assert f"recipe {RECIPE}, changed, 2 steps" in shown and f"rgb {after[1]} {after[0]}" in shown


# Several processes


@pytest.mark.slow
def test_processes_that_score_together_print_one_line(cases: Path) -> None:
    folder = cases / "eval_together"
    command = ["-m", "restore", "eval", "--clean", "clean", "--degraded", "degraded", "--weights", "none"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    alone, both = (
        subprocess.run([*start, *command], cwd=folder, capture_output=True, text=True, check=True).stdout
        for start in ([sys.executable], torchrun)
    )
    assert both == alone and both.count("\n") == 1 and "mean of 10" in both
