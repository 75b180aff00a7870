from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.random import Generator
from torch import Tensor

from restore import checkpoints
from restore.datasets.crops import MixedCrops, PhotoCrops
from restore.datasets.pairs import Pair, degraded, paired
from restore.degradations import Degradation, Image, blind_noise
from restore.errors import DataError, UsageError
from restore.evaluation.scoring import PictureScore, evaluate
from restore.images import Picture, read_picture, write_picture
from restore.inference.restorer import Restorer
from restore.networks import NETWORKS, Network
from restore.training import acceleration, loop, state, validation
from restore.training.held_out import HeldOut, middle
from restore.training.loop import train
from restore.training.options import Options
from restore.training.progress import Progress, Validation
from restore.training.recipe import DEGRADATIONS, Recipe
from restore.training.training_data import load_training_data
from restore.training.validation import mean_psnrs

RECIPE = Recipe(
    task="denoise",
    network="cs-kit",
    config="tiny",
    degradation="blind-noise",
    steps=4,
    batch=1,
    crop=64,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    warm_up=1,
    weight_decay=1e-4,
    clip_norm=1.0,
    ema=0.9,
    edge_weight=0.05,
    seed=3,
    held_out=1,
    validate_every=1,  # on_progress is called after each
    precision="float32",
)


@pytest.fixture(autouse=True)
def tiny_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"dim": 8, "blocks": 1, "h": 1, "shuffle": 2}
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", small)
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny-hard", small | {"hard_scales": True})


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


def weights_of(run: Path) -> dict[str, Tensor]:
    """Both sets of weights: those that are trained and their average."""
    state = torch.load(run / "state.pt", weights_only=True)
    average, _ = checkpoints.load(run / "last.safetensors")
    saved = {f"average.{key}": value for key, value in average.state_dict().items()}
    return saved | {f"network.{key}": value for key, value in state["network"].items()}


def assert_same_weights(run: Path, other: Path) -> None:
    ours, theirs = weights_of(run), weights_of(other)
    assert ours.keys() == theirs.keys()
    different = [key for key in ours if not torch.equal(ours[key], theirs[key])]
    assert not different


def interrupt_at(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return stop


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# The parts


def test_the_average_moves_by_one_minus_decay() -> None:
    config = NETWORKS["cs-kit"].CONFIGS["tiny"]
    average, network = NETWORKS["cs-kit"](**config), NETWORKS["cs-kit"](**config)
    before = [p.detach().clone() for p in average.parameters()]
    state.update_average(average, network, 0.9)
    for old, new, target in zip(before, average.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), 0.9 * old + 0.1 * target.detach())


# Whole runs


def test_a_run_leaves_its_recipe_a_log_and_weights_that_load(photos: Path, tmp_path: Path) -> None:
    path = train(RECIPE, photos, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "README.md", "best.safetensors", "last.safetensors", "log.jsonl", "recipe.json", "sessions.jsonl", "state.pt",
        "validation.png",
    ]  # fmt: skip
    assert path == tmp_path / "run" / "last.safetensors"
    assert Recipe(**json.loads((tmp_path / "run" / "recipe.json").read_text())) == RECIPE
    _, info = checkpoints.load(path)
    assert (info.network, info.task, info.metadata["step"]) == ("cs-kit", "denoise", "4")
    assert [entry["step"] for entry in log_of(tmp_path / "run")] == [1, 2, 3, 4]


def test_validation_is_what_evaluate_gives_for_the_saved_weights(photos: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    path = train(RECIPE, photos, tmp_path / "run", on_progress=told.append)
    restorer = Restorer(checkpoints.load(path)[0], device="cpu")
    scores = evaluate(restorer, degraded([photos / "2.png"], blind_noise, seed=RECIPE.seed))
    assert told[-1].step == told[-1].steps == 4
    assert told[-1].validation == (scores.mean("input_psnr"), scores.mean("psnr"))
    assert log_of(tmp_path / "run")[-1]["validation"] == list(told[-1].validation)


def test_two_runs_give_the_same_weights_and_another_seed_gives_others(photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(dataclasses.replace(RECIPE, steps=2, seed=seed), photos, tmp_path / name, options=Options(threads=2))
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize(("config", "local_steps"), [("tiny", 0), ("tiny", 2), ("tiny-hard", 0)])
def test_interrupted_training_resumes_to_identical_weights(
    photos: Path, tmp_path: Path, config: str, local_steps: int
) -> None:
    recipe = dataclasses.replace(RECIPE, config=config, local_steps=local_steps)
    train(recipe, photos, tmp_path / "whole")
    for step in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, photos, tmp_path / "parts", resume=step > 1, on_progress=interrupt_at(step))
    torch.rand(5)  # what else happens in the process does not matter
    train(recipe, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as Python has it, which a shell's background job ignores instead."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_amid_an_update_does_not_tear_it(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(RECIPE, photos, tmp_path / "whole")
    update = state.update_average

    def pressed(*args: Any) -> None:  # after the optimiser's part of the step
        signal.raise_signal(signal.SIGINT)
        update(*args)

    monkeypatch.setattr(state, "update_average", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, photos, tmp_path / "parts")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", {"dim": 8, "blocks": 1, "h": 1, "shuffle": 2})
    train(RECIPE, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_max_seconds_stops_in_a_state_that_resumes_to_identical_weights(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(RECIPE, photos, tmp_path / "whole")
    ticks: Iterator[int] = iter(range(100))  # the run starts at 0, and each step takes a second
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        path = train(RECIPE, photos, tmp_path / "parts", options=Options(max_seconds=2))
    assert checkpoints.load(path)[1].metadata["step"] == "2"
    train(RECIPE, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_max_seconds_counts_what_comes_before_the_first_step(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def slowly(*arguments: Any) -> Any:
        now[0] += 300  # of 299 s
        return load_training_data(*arguments)

    monkeypatch.setattr(loop, "load_training_data", slowly)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = train(RECIPE, photos, tmp_path / "run", options=Options(max_seconds=299))
    assert checkpoints.load(path)[1].metadata["step"] == "0"


def test_resuming_a_finished_run_changes_nothing(photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    train(RECIPE, photos, tmp_path / "run", resume=True)
    assert_same_weights(tmp_path / "run", tmp_path / "copy")
    assert len(log_of(tmp_path / "run")) == 4


def test_loss_goes_down_on_an_easy_problem(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def brighter(clean: Image, _: Generator) -> tuple[Image, Image]:
        return clean, clean + np.float32(0.1)

    monkeypatch.setitem(DEGRADATIONS, "brighter", lambda _: lambda _: Degradation(brighter))
    told: list[Progress] = []
    recipe = dataclasses.replace(
        RECIPE, degradation="brighter", steps=30, learning_rate=5e-3, ema=0.5, validate_every=29
    )
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    assert told[-1].loss < 0.05  # it begins at 0.1
    assert told[-1].validation is not None
    before, after = told[-1].validation
    assert before == pytest.approx(20, abs=0.5)  # an error of 0.1 everywhere
    assert after > before + 6


def test_attention_is_left_out_of_the_local_steps_and_trained_after_them(photos: Path, tmp_path: Path) -> None:
    for steps in (1, 2, 3):
        train(dataclasses.replace(RECIPE, steps=steps, local_steps=2), photos, tmp_path / str(steps))
    one, two, three = (weights_of(tmp_path / str(steps)) for steps in (1, 2, 3))
    for key in one:
        of_attention = any(part in key for part in ("norm1", "attention", "embed"))
        assert torch.equal(one[key], two[key]) == of_attention, key
        assert not torch.equal(two[key], three[key]), key
    # What is saved on the way restores as it was trained.
    assert [checkpoints.load(tmp_path / f"{steps}" / "last.safetensors")[0].attends for steps in (1, 2, 3)] == [
        False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("network", "degradation", "level"), [("panet", "mosaic", None), ("pa-edsr", "bicubic", 2)])
def test_pyramid_attention_can_be_left_out_and_comes_back(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, degradation: str, level: int | None
) -> None:
    monkeypatch.setitem(NETWORKS[network].CONFIGS, "tiny", {"dim": 8, "blocks": 2, "reduction": 2})
    recipe = dataclasses.replace(
        RECIPE, network=network, degradation=degradation, level_low=level, level_high=level, crop=16, local_steps=1
    )
    for steps in (1, 2):
        train(dataclasses.replace(recipe, steps=steps), photos, tmp_path / str(steps))
    one, two = (weights_of(tmp_path / str(steps)) for steps in (1, 2))
    torch.manual_seed(recipe.seed)
    begun = NETWORKS[network](**NETWORKS[network].CONFIGS["tiny"]).state_dict()
    for key, weights in begun.items():
        assert torch.equal(one[f"network.{key}"], weights) == ("attention" in key), key
        assert not torch.equal(two[f"network.{key}"], weights), key


def test_without_held_out_photos_nothing_is_validated(photos: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    train(dataclasses.replace(RECIPE, steps=1, held_out=0), photos, tmp_path / "run", on_progress=told.append)
    assert [progress.validation for progress in told] == [None]


def test_auto_precision_is_resolved_in_the_saved_recipe(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, steps=1, precision="auto")
    train(recipe, photos, tmp_path / "run")
    chosen = json.loads((tmp_path / "run" / "recipe.json").read_text())["precision"]
    assert chosen in ("float32", "bfloat16")
    train(recipe, photos, tmp_path / "run", resume=True)


def test_auto_precision_is_what_took_less_time_over_the_steps_of_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first of 4 steps costs 3 s in float32 and 1 s in bfloat16, the other three 4 s and 5 s: 15 s against 16 s.
    times = iter((3.0, 1.0, 4.0, 5.0))
    monkeypatch.setattr(acceleration, "_fastest", lambda run: (run(), next(times))[1])
    recipe = dataclasses.replace(RECIPE, precision="auto", stages=((1, 2, 64),))
    told: list[Progress] = []
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["precision"] == "float32"
    assert [progress.note for progress in told] == [
        "precision float32: 3.75 s a step; bfloat16 takes 4 s",
        None,
        None,
        None,
    ]


def test_timing_precisions_changes_no_weights(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.cycle((1.0, 2.0))  # float32 is faster
    monkeypatch.setattr(acceleration, "_fastest", lambda run: (run(), next(seconds))[1])
    for name, precision in (("asked", "float32"), ("chosen", "auto")):
        train(dataclasses.replace(RECIPE, precision=precision, local_steps=2), photos, tmp_path / name)
    assert_same_weights(tmp_path / "asked", tmp_path / "chosen")


def test_what_is_slow_is_timed_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 15.0, 20.0, 32.0))  # 15 s, then 12 s: over 20 s in all
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    runs: list[None] = []
    assert acceleration._fastest(lambda: runs.append(None)) == 12
    assert len(runs) == 3  # one to warm up


def test_crops_of_worker_processes_are_those_of_threads(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, batch=3, stages=((2, 2, 64),))
    train(recipe, photos, tmp_path / "threads", options=Options(threads=2))
    train(recipe, photos, tmp_path / "workers", options=Options(workers=2))
    assert_same_weights(tmp_path / "threads", tmp_path / "workers")


def test_where_compiling_fails_the_network_trains_as_it_is(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: torch.nn.Module, *, mode: str) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            raise RuntimeError("no compiler\nat all")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    told: list[Progress] = []
    train(
        dataclasses.replace(RECIPE, steps=2),
        photos,
        tmp_path / "run",
        options=Options(compiled=True),
        on_progress=told.append,
    )
    assert told[0].note == "the network is not compiled: no compiler"
    assert told[-1].step == 2


@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "muon"])
def test_weights_that_lie_channels_last_are_trained_and_resumed(photos: Path, tmp_path: Path, optimizer: str) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, photos, tmp_path / "run", options=Options(channels_last=True), on_progress=interrupt_at(2))
    train(recipe, photos, tmp_path / "run", options=Options(channels_last=True), resume=True)
    train(recipe, photos, tmp_path / "plain")
    ours, theirs = weights_of(tmp_path / "run"), weights_of(tmp_path / "plain")
    # The same sums in another order; Adam's first steps make much of small differences.
    differences = torch.cat([(ours[key] - theirs[key]).abs().flatten() for key in ours])
    assert differences.mean() < 1e-5


def test_held_out_photos_are_validated_under_each_kind_that_the_recipe_names(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, steps=2, held_out=2, validate=("jpeg:10", "grain"), validate_crop=48)
    told: list[Progress] = []
    path = train(recipe, photos, tmp_path / "run", on_progress=told.append)
    restorer = Restorer(checkpoints.load(path)[0], device="cpu")
    expected = {}
    for kind, draw in (("jpeg:10", DEGRADATIONS["jpeg"]((10, 10))), ("grain", DEGRADATIONS["grain"](None))):
        pairs = degraded([photos / "1.png", photos / "2.png"], draw, seed=RECIPE.seed)
        scores = evaluate(restorer, [middle(pair, 48) for pair in pairs])
        expected[kind] = scores.mean("input_psnr"), scores.mean("psnr")
    assert told[-1].kinds == expected
    assert told[-1].validation == tuple((a + b) / 2 for a, b in zip(*expected.values(), strict=True))
    logged = log_of(tmp_path / "run")[-1]["kinds"]
    assert {kind: tuple(psnrs) for kind, psnrs in logged.items()} == expected
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"| {expected['grain'][0]:.2f} | {expected['grain'][1]:.2f} |" in card


def test_weights_that_a_run_begins_from_are_validated_and_stay_the_best_if_none_are_better(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "start")
    scores = iter((25.0, 24.0, 23.0))
    monkeypatch.setattr(validation, "score_held_out", lambda *_: Validation((20.0, next(scores)), None))
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, steps=2)
    train(recipe, photos, tmp_path / "run", start_from=str(start), on_progress=told.append)
    assert [(entry["step"], entry["validation"][1]) for entry in log_of(tmp_path / "run")] == [
        (0, 25),
        (1, 24),
        (2, 23),
    ]
    first = log_of(tmp_path / "run")[0]
    assert first == {"step": 0, "steps": 2, "validation": [20, 25], "kinds": None}  # there is no loss or rate yet
    best, _ = checkpoints.load(tmp_path / "run" / "best.safetensors")
    weights, _ = checkpoints.load(start)
    assert all(torch.equal(value, weights.state_dict()[key]) for key, value in best.state_dict().items())


def test_options_change_the_config_and_are_in_the_weights(photos: Path, tmp_path: Path) -> None:
    path = train(dataclasses.replace(RECIPE, steps=1, options={"dim": 12}), photos, tmp_path / "run")
    assert checkpoints.load(path)[0].config["dim"] == 12
    with pytest.raises(UsageError, match="cs-kit has no option 'dimm'"):
        train(dataclasses.replace(RECIPE, options={"dimm": 12}), photos, tmp_path / "other")


def test_labels_take_the_place_of_the_photos_in_their_share_of_the_crops(photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in sorted(photos.iterdir()):
        write_picture(Picture(255 - read_picture(path).pixels), labels / path.name)
    recipe = dataclasses.replace(RECIPE, task="demosaic", degradation="mosaic", labels=str(labels), teacher_share=0.5)
    labelled, _, _ = load_training_data(recipe, 1, photos, None)
    plain, _, _ = load_training_data(dataclasses.replace(recipe, labels=""), 1, photos, None)
    count = 0
    for index in range(40):
        (reference, given), (photo, expected) = labelled[index], plain[index]
        assert np.array_equal(given, expected)  # the degraded crop is of the photo in any case
        if is_label := not np.array_equal(reference, photo):
            np.testing.assert_allclose(reference, 1 - photo, atol=1e-6)  # the same place, turned in the same way
        count += is_label
    assert 12 <= count <= 28  # half of 40, within 2.5 standard deviations
    train(dataclasses.replace(recipe, steps=1), photos, tmp_path / "run")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "1.png").unlink(), "1 photos have no label .*: 1"),
        (
            lambda folder: write_picture(Picture(np.zeros((64, 64, 3), np.uint8)), folder / "1.png"),
            "1.png is 64x64, and its photo 80x72",
        ),
    ],
)
def test_labels_that_do_not_fit_the_photos_are_refused(
    photos: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    labels = tmp_path / "labels"
    shutil.copytree(photos, labels)
    spoil(labels)
    recipe = dataclasses.replace(RECIPE, task="demosaic", degradation="mosaic", labels=str(labels))
    with pytest.raises(DataError, match=message):
        train(recipe, photos, tmp_path / "run")


def test_training_can_begin_from_weights(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    path = train(RECIPE, photos, tmp_path / "second", start_from=str(first), options=Options(max_seconds=0))
    assert path.read_bytes() != first.read_bytes()  # their metadata differ
    expected, found = (checkpoints.load(p)[0].state_dict() for p in (first, path))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_what_fits_of_other_weights_can_be_begun_from(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    recipe = dataclasses.replace(RECIPE, network="kit")
    train(recipe, photos, tmp_path / "second", transfer_from=str(first), options=Options(max_seconds=0))
    given, found = (weights_of(tmp_path / run) for run in ("first", "second"))
    assert {key for key in given if key not in found} == {key for key in given if ".embed." in key}
    own = {key: weights for key, weights in found.items() if key.startswith("average.")}
    assert all(torch.equal(given[key], weights) for key, weights in own.items())
    taken = sum(weights.numel() for weights in own.values())
    assert f"It starts from `last.safetensors`, {taken:,} of {taken:,} parameters." in (
        tmp_path / "second" / "README.md"
    ).read_text(encoding="utf-8")


def test_tensors_of_another_shape_begin_anew(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = {f"tiny-x{scale}": {"scale": scale, "dim": 8, "blocks": 12, "reduction": 2} for scale in (2, 3)}
    for name, config in configs.items():
        monkeypatch.setitem(NETWORKS["pa-edsr"].CONFIGS, name, config)
    two, three = (
        dataclasses.replace(
            RECIPE, network="pa-edsr", config=name, degradation="bicubic", level_low=scale, level_high=scale, crop=8
        )
        for scale, name in zip((2, 3), configs, strict=True)
    )
    first = train(dataclasses.replace(two, steps=1, local_steps=1), photos, tmp_path / "2")
    train(three, photos, tmp_path / "3", transfer_from=str(first), options=Options(max_seconds=0))
    torch.manual_seed(three.seed)
    fresh = NETWORKS["pa-edsr"](**configs["tiny-x3"]).state_dict()
    given, found = (weights_of(tmp_path / run) for run in ("2", "3"))
    for key, weights in fresh.items():
        is_new = key.startswith("up.")
        assert torch.equal(found[f"network.{key}"], weights if is_new else given[f"average.{key}"]), key


def test_weights_of_which_nothing_fits_are_refused(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    recipe = dataclasses.replace(RECIPE, network="panet", config="s")
    with pytest.raises(UsageError, match="only 0 of 650,000 parameters fit"):
        train(recipe, photos, tmp_path / "second", transfer_from=str(first))
    assert not (tmp_path / "second").exists()


def test_a_batch_in_parts_gives_the_weights_of_the_batch_as_one(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, batch=3, steps=1)
    train(recipe, photos, tmp_path / "one")
    for parts in (2, 5):  # one has two crops and the other one; five are as many as there are crops, three
        train(dataclasses.replace(recipe, accumulate=parts), photos, tmp_path / str(parts))
        one, found = weights_of(tmp_path / "one"), weights_of(tmp_path / str(parts))
        for key in one:  # in another order of summation; a step of Adam is the learning rate, 1e-3, at most
            torch.testing.assert_close(found[key], one[key], rtol=0, atol=1e-4)


def test_stages_change_the_batch_and_the_crops_and_resume_exactly(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in photos.iterdir():
        write_picture(Picture(read_picture(path).pixels.repeat(2, 0).repeat(2, 1)), path)
    seen = []
    forward = NETWORKS["cs-kit"].forward

    def noted(network: Network, x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return forward(network, x)

    monkeypatch.setattr(NETWORKS["cs-kit"], "forward", noted)
    recipe = dataclasses.replace(RECIPE, crop=128, stages=((1, 3, 64), (3, 2, 64)), validate_every=100, held_out=0)
    train(recipe, photos, tmp_path / "whole")
    assert seen == [(3, 3, 64, 64), (2, 3, 64, 64), (2, 3, 64, 64), (1, 3, 128, 128)]
    train(recipe, photos, tmp_path / "parts", options=Options(max_seconds=0))
    for _ in range(2):
        train(recipe, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("changes", [{"optimizer": "adam"}, {"optimizer": "muon"}, {"loss": "l1"}, {"clip_norm": 0.0}])
def test_every_choice_of_a_recipe_changes_what_is_learned(
    photos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = dataclasses.replace(RECIPE, steps=1, held_out=0, weight_decay=0.5, clip_norm=1e-9)
    train(recipe, photos, tmp_path / "a")
    train(dataclasses.replace(recipe, **changes), photos, tmp_path / "b")
    ours, theirs = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert any(not torch.equal(ours[key], theirs[key]) for key in ours)


def test_without_averaging_the_saved_weights_are_the_trained_ones(photos: Path, tmp_path: Path) -> None:
    train(dataclasses.replace(RECIPE, ema=0), photos, tmp_path / "run")
    weights = weights_of(tmp_path / "run")
    for key in (key for key in weights if key.startswith("average.")):
        assert torch.equal(weights[key], weights[key.replace("average.", "network.")])


@pytest.mark.parametrize("changes", [{"precision": "float16"}, {"optimizer": "muon"}])
def test_other_choices_train_and_resume_to_identical_weights(
    photos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = dataclasses.replace(RECIPE, **changes)
    train(recipe, photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, photos, tmp_path / "parts", on_progress=interrupt_at(2))
    train(recipe, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert all(entry["note"] is None for entry in log_of(tmp_path / "whole"))


def test_the_best_weights_are_those_of_the_best_validation(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((21.0, 23.0, 22.0, 22.5))
    monkeypatch.setattr(validation, "score_held_out", lambda *_: Validation((20.0, next(scores)), None))
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, photos, tmp_path / "run", on_progress=interrupt_at(3))
    train(RECIPE, photos, tmp_path / "run", resume=True)  # which remembers the best
    assert checkpoints.load(tmp_path / "run" / "best.safetensors")[1].metadata["step"] == "2"
    assert checkpoints.load(tmp_path / "run" / "last.safetensors")[1].metadata["step"] == "4"
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| 2 (best) | 20.00 | 23.00 |\n| 4 | 20.00 | 22.50 |" in card


def test_only_the_middle_of_held_out_photos_is_scored_where_the_recipe_says_so(photos: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, steps=1, validate_crop=32)
    path = train(recipe, photos, tmp_path / "run", on_progress=told.append)
    pairs = [middle(pair, 32) for pair in degraded([photos / "2.png"], blind_noise, seed=RECIPE.seed)]
    assert pairs[0].clean.shape == (32, 32, 3)
    scores = evaluate(Restorer(checkpoints.load(path)[0], device="cpu"), pairs, with_ssim=False)
    assert told[-1].validation == (scores.mean("input_psnr"), scores.mean("psnr"))


def test_a_network_for_grey_pictures_trains_on_luma(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS["panet"].CONFIGS, "tiny", {"channels": 1, "dim": 8, "blocks": 2})
    recipe = dataclasses.replace(
        RECIPE, task="dejpeg", network="panet", degradation="jpeg-luma", level_low=10, level_high=10, crop=32, steps=2
    )
    path = train(dataclasses.replace(recipe, precision="auto"), photos, tmp_path / "run")
    assert checkpoints.load(path)[0].channels == 1
    before, after = log_of(tmp_path / "run")[-1]["validation"]
    assert 20 < before < 50 and np.isfinite(after)


def test_a_network_that_enlarges_learns_from_smaller_pictures(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS["pa-edsr"].CONFIGS, "tiny", {"scale": 2, "dim": 8, "blocks": 2, "reduction": 2})
    recipe = dataclasses.replace(
        RECIPE, task="upscale", network="pa-edsr", degradation="bicubic", level_low=2, level_high=2, crop=16, steps=2
    )
    train(recipe, photos, tmp_path / "run")
    before, after = log_of(tmp_path / "run")[-1]["validation"]
    assert 20 < before < 50 and np.isfinite(after)
    # Degraded (its pixels doubled), restored and clean beside each other, whole, for the photo is smaller than a strip.
    assert read_picture(tmp_path / "run" / "validation.png").pixels.shape == (72, 3 * 80, 3)


# A gradient that is not finite


@pytest.fixture
def poison(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A degradation that makes NaN of 1.png, which is white."""
    write_picture(Picture(np.full((72, 80, 3), 255, np.uint8)), photos / "1.png")

    def poisoned(clean: Image, _: Generator) -> tuple[Image, Image]:
        return clean, clean * np.float32("nan" if clean.min() == 1 else 0.9)

    monkeypatch.setitem(DEGRADATIONS, "poison", lambda _: lambda _: Degradation(poisoned))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_batch_with_a_gradient_that_is_not_finite_is_skipped_and_named(
    photos: Path, tmp_path: Path, poison: None, precision: str
) -> None:
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, degradation="poison", steps=8, precision=precision)
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    crops = PhotoCrops([photos / "0.png", photos / "1.png"], DEGRADATIONS["poison"](None), crop=64, seed=RECIPE.seed)
    spoiled = [bool(np.isnan(crops[number][1]).any()) for number in range(8)]
    assert 0 < sum(spoiled) < 8
    fault = "the gradient is not finite for crop {} of 1.png; the batch is skipped"
    expected = [fault.format(n) if spoiled[n] else None for n in range(8)]
    assert [progress.note for progress in told] == expected
    assert all(weight.isfinite().all() for weight in weights_of(tmp_path / "run").values())


def test_when_no_gradient_is_finite_the_run_stops_with_the_pictures_named(
    photos: Path, tmp_path: Path, poison: None
) -> None:
    for name in ("0.png", "2.png"):
        shutil.copy(photos / "1.png", photos / name)
    recipe = dataclasses.replace(RECIPE, degradation="poison", batch=2, skip_limit=2, held_out=0)
    with pytest.raises(DataError, match=r"step 3: the gradient is not finite for crops 4 to 5 of .*\.png") as caught:
        train(recipe, photos, tmp_path / "run")
    assert "so were the last 3 steps" in caught.value.message
    assert all(weight.isfinite().all() for weight in weights_of(tmp_path / "run").values())


# What is refused


def test_weights_of_another_network_or_config_are_refused(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    for changes in ({"network": "kit"}, {"config": "tiny-hard"}):  # CS-KiT is a subclass of KiT
        recipe = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"does not hold a {recipe.network} of config {recipe.config}"):
            train(recipe, photos, tmp_path / "second", start_from=str(first))
    assert not (tmp_path / "second").exists()


def test_a_folder_that_is_not_empty_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    with pytest.raises(DataError, match="is not empty"):
        train(RECIPE, photos, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_where_no_run_is_none_is_resumed(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no state\.pt"):
        train(RECIPE, photos, tmp_path / "run", resume=True)


def test_a_run_resumes_only_with_its_own_recipe(photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run", options=Options(max_seconds=0))
    with pytest.raises(UsageError, match="started with steps = 4, not 5"):
        train(dataclasses.replace(RECIPE, steps=5), photos, tmp_path / "run", resume=True)


def test_crops_that_the_network_does_not_take_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not accept crops of 48 pixels") as caught:
        train(dataclasses.replace(RECIPE, crop=48), photos, tmp_path / "run")
    assert caught.value.hint == "use a multiple of 64, at least 64"


def test_too_few_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"there are only 3 pictures of the folder `photos`, and 3 would be held out"
    ) as caught:
        train(dataclasses.replace(RECIPE, held_out=3), photos, tmp_path / "run")
    assert caught.value.hint == "use --set held_out=1"
    recipe = dataclasses.replace(RECIPE, degradation="pairs", held_out_pairs=3)
    with pytest.raises(DataError, match="there are only 3 pairs") as caught:
        train(recipe, None, tmp_path / "run", pairs=(photos, photos))
    assert caught.value.hint == "use --set held_out_pairs=1"


def test_held_out_pictures_of_8_bits_are_kept_in_a_byte_a_value() -> None:
    levels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    bytes_ = levels.astype(np.float32) / np.float32(255)
    noisy = bytes_ + np.float32(0.0007)
    held_out = HeldOut()
    held_out.add([Pair("a", bytes_, noisy, "grain")])
    pair = held_out[0]
    assert (pair.name, pair.kind) == ("a", "grain")
    np.testing.assert_array_equal(pair.clean, bytes_)
    np.testing.assert_array_equal(pair.degraded, noisy)
    _, clean, degraded_, _ = held_out._pairs[0]
    assert (clean.nbytes, degraded_.nbytes) == (192, 4 * 192)


def test_pictures_that_are_to_stay_as_they_are_do_not_decide_a_mean_alone() -> None:
    def score(input_psnr: float, psnr: float) -> PictureScore:
        return PictureScore("", input_psnr, math.nan, psnr, math.nan)

    assert mean_psnrs([score(20, 30), score(30, 32)]) == (25, 31)
    assert mean_psnrs([score(math.inf, math.inf), score(math.inf, 40)]) == (None, 50)  # (60 + 40) / 2
    assert mean_psnrs([score(math.inf, 50), score(20, 30)]) == (20, 40)


def test_kinds_that_leave_pictures_as_they_are_are_validated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEGRADATIONS, "sharp", lambda _: lambda _: Degradation(lambda clean, _: (clean, clean)))
    recipe = dataclasses.replace(RECIPE, steps=1, validate=("jpeg:10", "sharp"), start="identity", learning_rate=0)
    told: list[Progress] = []
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    assert told[-1].kinds is not None and told[-1].validation is not None
    before, after = told[-1].kinds["jpeg:10"]
    assert told[-1].kinds["sharp"] == (None, 60)  # an identity gives them back exactly
    assert told[-1].validation == (before, (after + 60) / 2)
    assert "| sharp | - | 60.00 |" in (tmp_path / "run/README.md").read_text()
    assert log_of(tmp_path / "run")[-1]["kinds"]["sharp"] == [None, 60]


def test_a_damaged_state_is_refused_with_the_weights_to_begin_from(photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run", options=Options(max_seconds=0))
    for content in (b"", b"nonsense", (tmp_path / "run" / "state.pt").read_bytes()[:5000]):
        (tmp_path / "run" / "state.pt").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot resume from .*state\.pt") as caught:
            train(RECIPE, photos, tmp_path / "run", resume=True)
        assert caught.value.hint == f"start a new run from its weights: --from {tmp_path / 'run' / 'last.safetensors'}"


def test_pairs_are_trained_on_and_validated_as_they_are(photos: Path, tmp_path: Path) -> None:
    degraded_photos = tmp_path / "degraded"
    degraded_photos.mkdir()
    for path in photos.iterdir():
        write_picture(Picture(read_picture(path).pixels // 2), degraded_photos / path.name)
    recipe = dataclasses.replace(RECIPE, degradation="pairs")
    train(recipe, None, tmp_path / "whole", pairs=(photos, degraded_photos))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, None, tmp_path / "parts", pairs=(photos, degraded_photos), on_progress=interrupt_at(2))
    train(recipe, None, tmp_path / "parts", pairs=(photos, degraded_photos), resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    pairs = list(paired(photos, degraded_photos))[2:]  # the last is held out
    assert log_of(tmp_path / "whole")[-1]["validation"][0] == evaluate(None, pairs, with_ssim=False).mean("psnr")
    assert "2 pairs of the folders `photos` and `degraded`" in (tmp_path / "whole" / "README.md").read_text()


def test_photos_and_pairs_are_trained_on_together(photos: Path, tmp_path: Path) -> None:
    rainy = tmp_path / "rainy"
    rainy.mkdir()
    for path in photos.iterdir():  # rain: a bright column
        pixels = read_picture(path).pixels.copy()
        pixels[:, 40] = 200
        write_picture(Picture(pixels), rainy / path.name)
    recipe = dataclasses.replace(RECIPE, task="derain", degradation="rain", pairs_share=0.5)
    train(recipe, photos, tmp_path / "whole", pairs=(photos, rainy))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, photos, tmp_path / "parts", pairs=(photos, rainy), on_progress=interrupt_at(2))
    train(recipe, photos, tmp_path / "parts", pairs=(photos, rainy), resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert (
        "2 pairs of the folders `photos` and `rainy` and 2 pictures of the folder `photos`, 2 more held out."
        in (tmp_path / "whole" / "README.md").read_text()
    )
    crops, held_out, _ = load_training_data(recipe, 1, photos, (photos, rainy))
    column = np.abs(held_out[0].degraded - held_out[0].clean).max(axis=(0, 2)) > 0
    assert np.flatnonzero(column).tolist() == [40]  # of the pairs, as it is
    assert not np.array_equal(held_out[1].degraded, held_out[1].clean)  # of the photos, rained on
    assert crops.source(0) in {"0.png", "1.png"}
    assert isinstance(crops, MixedCrops)
    for dry, wet in map(crops.pairs.__getitem__, range(16)):
        rained_on = (dry != wet).any(axis=0)
        assert np.array_equal(rained_on.all(axis=0), rained_on.any(axis=0))  # upright: whole columns


def test_fewer_pairs_than_photos_may_be_held_out(photos: Path, tmp_path: Path) -> None:
    for name in ("clean", "noisy"):
        shutil.copytree(photos, tmp_path / name)
    pairs = tmp_path / "clean", tmp_path / "noisy"
    recipe = dataclasses.replace(RECIPE, held_out=2, held_out_pairs=1, validate=("grain",))
    _, held_out, words = load_training_data(recipe, 1, photos, pairs)
    assert [(pair.name, pair.kind) for pair in held_out] == [("2", "pairs"), ("1", "grain"), ("2", "grain")]
    assert words == (
        "2 pairs of the folders `clean` and `noisy` and 1 pictures of the folder `photos`, 3 more held out."
    )


def test_pairs_that_do_not_fit_are_named_before_a_run_begins(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "degraded")
    write_picture(Picture(np.zeros((64, 64, 3), np.uint8)), tmp_path / "degraded" / "1.png")
    recipe = dataclasses.replace(RECIPE, degradation="pairs")
    with pytest.raises(DataError, match=r"1\.png is 80x72 clean and 64x64 degraded"):
        train(recipe, None, tmp_path / "run", pairs=(photos, tmp_path / "degraded"))
    (tmp_path / "degraded" / "1.png").unlink()
    with pytest.raises(DataError, match="1 picture has no partner"):
        train(recipe, None, tmp_path / "run", pairs=(photos, tmp_path / "degraded"))
    assert not (tmp_path / "run").exists()
