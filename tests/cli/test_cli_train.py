from __future__ import annotations

import dataclasses
import json
import math
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Run, save

from restore.cli import train as cli_train
from restore.cli import training_display
from restore.cli.option_words import parse_change, parse_time
from restore.cli.training_display import Display, describe_progress
from restore.errors import UsageError
from restore.networks import NETWORKS
from restore.training import loop
from restore.training.options import Options
from restore.training.progress import Progress
from restore.training.recipe import Recipe, load_recipe

pytestmark = pytest.mark.usefixtures("tiny_catalogue")
PLAN = load_recipe("cs-kit-s-denoise")


@pytest.fixture
def photos(run: Run) -> None:
    """`photos/`, two pictures; `small.toml`, a recipe that takes a moment."""
    for seed in range(2):
        save(f"photos/{seed}.png", seed=seed)
    small = dataclasses.asdict(PLAN) | {
        "config": "tiny", "steps": 2, "stages": [], "batch": 1, "crop": 64, "held_out": 1, "validate_every": 1,
        "precision": "float32",
    }  # fmt: skip
    Path("small.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in small.items() if value is not None)
    )


@pytest.fixture
def asked(photos: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `loop.train` is called with; it is not run."""
    seen: dict[str, Any] = {}

    def train(recipe: Recipe, data: Path, out: Path, *, options: Options, **given: Any) -> Path:
        seen.update(vars(options), recipe=recipe, data=data, out=out, **given)
        given["on_progress"](dataclasses.replace(progress(recipe.steps), steps=recipe.steps))
        return out / "last.safetensors"

    monkeypatch.setattr(loop, "train", train)
    return seen


BASE = ("train", "--data", "photos", "--out", "run", "--device", "cpu")


# restore train


def test_train_prints_only_the_checkpoint_and_it_denoises_at_once(
    run: Run, photos: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", {"dim": 8, "blocks": 1, "h": 1, "shuffle": 2})
    ran = run(*BASE, "small.toml")
    assert (ran.code, ran.out) == (0, "run/last.safetensors\n")
    assert "2 steps of 1 crops of 64x64 pixels from 2 photos, on cpu" in ran.err
    assert "step 2/2  loss " in ran.err
    for step in (1, 2):
        assert f"step {step}: held-out pictures " in ran.err
    assert run("denoise", "photos/0.png", "-o", "a.png", "--weights", "run/last.safetensors").code == 0
    ran = run(*BASE, "--resume")  # by the run's own recipe
    assert (ran.code, ran.out) == (0, "run/last.safetensors\n")
    ran = run(*BASE, "--resume", "--set", "steps=3")
    assert ran.code == 2 and "error: the run was started with steps = 2, not 3" in ran.err


def test_the_recipe_of_the_task_is_used_where_none_is_named(run: Run, asked: dict[str, Any]) -> None:
    for args in ((), ("--task", "denoise"), ("cs-kit-s-denoise",)):
        assert run(*BASE, *args).code == 0
        assert asked["recipe"] == PLAN
    assert (asked["data"], asked["out"], asked["device"]) == (Path("photos"), Path("run"), torch.device("cpu"))
    assert (asked["resume"], asked["start_from"], asked["max_seconds"]) == (False, None, math.inf)


def test_options_change_the_recipe_and_the_run(
    run: Run, asked: dict[str, Any], tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    changes = ("--network", "kit", "--config", "paper", "--set", "steps=7", "--set", "learning_rate=2e-4")
    assert (
        run(*BASE, *changes, "--from", "tiny-denoise", "--max-time", "1.5m", "--threads", "3", "--workers", "2").code
        == 0
    )
    expected = {"network": "kit", "config": "paper", "steps": 7, "learning_rate": 2e-4}
    assert asked["recipe"] == dataclasses.replace(PLAN, **expected)  # type: ignore[arg-type]
    assert (asked["start_from"], asked["max_seconds"]) == (str(tiny_file), 90)
    assert (asked["threads"], asked["workers"]) == (3, 2)
    assert threads == [3]


def test_what_fits_of_other_weights_is_asked_for_by_transfer(run: Run, asked: dict[str, Any], tiny_file: Path) -> None:
    assert run(*BASE, "--transfer", "tiny-denoise").code == 0
    assert (asked["start_from"], asked["transfer_from"]) == (None, str(tiny_file))
    ran = run(*BASE, "--transfer", "tiny-denoise", "--from", "tiny-denoise")
    assert ran.code == 2 and "error: --from and --transfer both name weights to start from" in ran.err


def test_task_and_network_choose_the_recipe(run: Run, asked: dict[str, Any]) -> None:
    ran = run(*BASE, "--task", "derain", "--network", "drsformer", "--save-every", "5m")
    assert ran.code == 0 and "drsformer s by drsformer-s-derain: 40000 steps" in ran.err
    assert asked["recipe"] == load_recipe("drsformer-s-derain")
    assert (asked["save_seconds"], asked["pairs"], asked["rank"].is_alone) == (300, None, True)
    ran = run(*BASE, "--set", "stages=[[9, 2, 64]]")
    assert ran.code == 0 and "40000 steps of 2 crops of 64x64 pixels at first from 2 photos" in ran.err


def test_a_recipe_can_be_followed_on_pairs(run: Run, asked: dict[str, Any]) -> None:
    pairs = ("train", "--clean", "photos", "--degraded", "photos", "--out", "run", "--device", "cpu")
    ran = run(*pairs, "drsformer-rain200h")
    assert ran.code == 0 and "from 2 pairs, on cpu" in ran.err
    folders = (Path("photos"), Path("photos"))
    assert (asked["recipe"], asked["data"], asked["pairs"]) == (load_recipe("drsformer-rain200h"), None, folders)
    assert run(*pairs, "--max-time", "9s").code == 0  # a recipe whose pairs are otherwise made
    assert asked["recipe"] == dataclasses.replace(PLAN, degradation="pairs")
    ran = run(*pairs, "--set", "degradation=blind-noise")
    assert ran.code == 2 and "error: blind-noise needs photos to degrade, and there is no --data" in ran.err


def test_photos_and_pairs_are_given_together(run: Run, asked: dict[str, Any]) -> None:
    pairs = ("--clean", "photos", "--degraded", "photos")
    ran = run(*BASE, "--task", "derain", "--network", "drsformer", *pairs)
    assert ran.code == 0 and "from 2 photos and 2 pairs, on cpu" in ran.err
    assert asked["recipe"] == load_recipe("drsformer-s-derain")
    assert (asked["data"], asked["pairs"]) == (Path("photos"), (Path("photos"), Path("photos")))
    assert run(*BASE, "--clean", "photos").code == 2


def test_tensorboard_that_is_missing_is_named_with_what_to_install(
    run: Run, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_train, "find_spec", lambda _: None)
    ran = run(*BASE, "--tensorboard")
    assert ran.code == 2 and "hint:  pip install 'restore-photos[train]'" in ran.err
    monkeypatch.setattr(cli_train, "find_spec", lambda _: True)
    assert run(*BASE, "--tensorboard").code == 0 and asked["tensorboard"] is True


def test_sigterm_ends_training_as_ctrl_c_does(run: Run, photos: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(recipe: object, data: Path, out: Path, **_: object) -> Path:
        out.mkdir()
        (out / "state.pt").touch()
        signal.raise_signal(signal.SIGTERM)
        return out

    monkeypatch.setattr(loop, "train", ended)
    ran = run(*BASE)
    assert (ran.code, ran.out) == (143, "") and "interrupted; the state is saved" in ran.err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_says_in_one_line_how_to_go_on(run: Run, photos: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(recipe: object, data: Path, out: Path, **_: object) -> Path:
        out.mkdir()
        (out / "state.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", interrupted)
    ran = run("train", "--data", "photos", "--out", "my run")
    assert (ran.code, ran.out) == (130, "")
    go_on = "restore train --resume --data photos --out 'my run'"
    assert ran.err.splitlines()[1:] == [f"interrupted; the state is saved, continue with: {go_on}"]


def test_ctrl_c_before_there_is_a_state_promises_none(run: Run, photos: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", interrupted)
    ran = run(*BASE)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.splitlines()[1].startswith("interrupted") and "--resume" not in ran.err


def test_when_the_time_is_over_the_command_that_goes_on_is_named(
    run: Run, photos: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(recipe: object, data: Path, out: Path, **given: Any) -> Path:
        given["on_progress"](progress(5))
        return out / "last.safetensors"

    monkeypatch.setattr(loop, "train", train)
    ran = run(*BASE, "--max-time", "30s")
    assert (ran.code, ran.out) == (0, "run/last.safetensors\n")
    assert ran.err.splitlines()[-1].startswith("--max-time is over, continue with: restore train --resume")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--save-every", "2"), 2, "error: --save-every is a time such as 30s, 90m or 2h, not '2'"),
        (("--clean", "photos"), 2, "error: nothing to train on"),
        (("--degraded", "photos"), 2, "error: nothing to train on"),
        (("drsformer-rain200h",), 2, "error: drsformer-rain200h is a recipe for pairs of pictures (Rain200H)"),
        (("--task", "upscale"), 2, "error: several recipes are for upscale: pa-edsr-s-x2, pa-edsr-s-x3, pa-edsr-s-x4"),
        (("--set", "degradation=bicubic"), 2, "error: bicubic needs a level"),
        (("--max-time", "90"), 2, "error: --max-time is a time such as 30s, 90m or 2h, not '90'"),
        (("--set", "steps"), 2, "error: --set takes KEY=VALUE, not 'steps'"),
        (("--set", "stepz=3"), 2, "hint:  did you mean 'steps'?"),
        (("--set", "steps=x"), 2, "error: steps must be a whole number, not 'x'"),
        (("--device", "gpu"), 2, "error: unknown device 'gpu'"),
        (("--threads", "0"), 2, "--threads"),
        (("--task", "denose"), 2, "hint:  did you mean 'denoise'?"),
        (("--task", "derain", "cs-kit-s-denoise"), 2, "is a recipe for denoise, not for derain"),
        (("cs-kit-denoise",), 2, "hint:  did you mean 'cs-kit-s-denoise'?"),
        (("--network", "cskit"), 2, "hint:  did you mean 'cs-kit'?"),
        (("--config", "xl"), 2, "error: unknown cs-kit config 'xl'"),
        (("--resume",), 2, "error: run holds no state.pt to resume from"),
        (("--resume", "--from", "tiny-denoise"), 2, "error: --resume continues with the run's own weights"),
        (("--from", "tiny-denose"), 1, "hint:  did you mean 'tiny-denoise'?"),
        (("--data", "gone"), 1, "error: gone is not a folder"),
        (("--out", "photos"), 1, "error: photos is not empty"),
        (("--out", "small.toml"), 1, "error: small.toml is a file"),
    ],
)
def test_training_that_cannot_be_is_refused_with_a_reason(
    run: Run, asked: dict[str, Any], args: tuple[str, ...], code: int, message: str
) -> None:
    base = list(BASE)
    for option in {word for word in args if word.startswith("--")} & {*BASE}:  # given once, as it must be
        at = base.index(option)
        del base[at : at + 2]
    ran = run(*base, *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert not asked and not Path("run").exists()


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("90m", 5400), ("2h", 7200), ("0.5s", 0.5)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "90", "0s", "-5m", "1h30m", "2 h", "1d", "nan s", "1e3s", "٣s"])
def test_nonsense_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-time is a time"):
        parse_time(text)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_change("task=a=b") == ("task", "a=b")
    for text in ("=3", "steps=", "="):
        with pytest.raises(UsageError, match="KEY=VALUE"):
            parse_change(text)


def progress(step: int, validation: tuple[float, float] | None = None) -> Progress:
    return Progress(step, 8000, 0.0213, 31.2, 12.34, 3723.4, 1e-3, validation)


def test_progress_is_told_in_one_line() -> None:
    line = "step 1234/8000  loss 0.0213  31.20 dB  12.3 images/s  1:02:03 left"
    assert describe_progress(progress(1234)) == line


def test_away_from_a_terminal_a_line_comes_every_half_minute_and_for_each_validation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter((100, 110, 131, 132, 133))
    monkeypatch.setattr(training_display, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Display() as display:
        for step in (1, 2, 3, 4):
            display.show(progress(step, validation=(28.1, 31.5) if step == 2 else None))
        display.show(progress(8000))
    shown = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()]
    assert shown == [
        "step 1/8000", "step 2: held-out pictures 28.10 dB -> 31.50 dB", "step 3/8000", "step 8000/8000",
    ]  # fmt: skip


def test_of_the_weights_that_a_run_begins_from_only_the_validation_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.show(progress(0, validation=(28.1, 31.5)))
    assert capsys.readouterr().err == "step 0: held-out pictures 28.10 dB -> 31.50 dB\n"


def test_on_a_terminal_the_line_is_rewritten_and_validations_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with Display() as display:
        for step in (1, 1234):
            display.show(progress(step, validation=(28.1, 31.5)))
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 1234: held-out pictures 28.10 dB -> 31.50 dB\n" in err.replace("\r", "")
    assert describe_progress(progress(1234)) in err  # not cut
