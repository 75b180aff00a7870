from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_networks import Tiny

import restore
from restore.datasets.pairs import Pair
from restore.errors import DataError
from restore.images import read_picture
from restore.inference.restorer import Restorer
from restore.training.progress import Progress
from restore.training.recipe import load_recipe
from restore.training.run_folder import Run

RECIPE = load_recipe("cs-kit-s-denoise")
CPU = torch.device("cpu")


def progress(step: int, validation: tuple[float, float] | None = None) -> Progress:
    return Progress(step, 8000, 0.02, 31.2, 12.3, 3723.4, 1e-3, validation)


def begin(run: Run, step: int = 0) -> None:
    run.begin(RECIPE, step, start=None, data="Two photos.", device=CPU, processes=2)


def steps_of(run: Run) -> list[int]:
    return [json.loads(line)["step"] for line in (run.folder / "log.jsonl").read_text().splitlines()]


def test_the_recipe_and_what_it_runs_on_are_written_first(tmp_path: Path) -> None:
    run = Run(tmp_path / "a" / "run")
    begin(run)
    assert load_recipe(str(run.folder / "recipe.json")) == RECIPE
    session = json.loads((run.folder / "sessions.jsonl").read_text())
    assert (session["restore"], session["torch"]) == (restore.__version__, torch.__version__)
    assert (session["numpy"], session["processes"], session["step"]) == (np.__version__, 2, 0)


def test_the_log_is_cut_to_the_state_that_a_run_goes_on_from(tmp_path: Path) -> None:
    run = Run(tmp_path)
    begin(run)
    with run.log() as log:
        for step in (1, 2, 3):
            log(progress(step))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "steps": 80')  # killed amid a line
    begin(run, 2)
    assert steps_of(run) == [1, 2]
    assert len((tmp_path / "sessions.jsonl").read_text().splitlines()) == 2


def test_a_process_that_is_not_the_writer_writes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", is_writer=False)
    begin(run)
    with run.log() as log:
        log(progress(1))
    run.save(Tiny(), {})
    run.save_best(Tiny(), {})
    run.write_strip(Restorer(Tiny(), device="cpu"), [])
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write to"):
        begin(Run(tmp_path / "file" / "run"))


def test_the_strip_shows_degraded_restored_and_clean(tmp_path: Path) -> None:
    run = Run(tmp_path)
    clean = np.full((20, 30, 3), 200 / 255, np.float32)
    dark = clean / np.float32(2)
    pairs = [Pair("a", clean, dark), Pair("b", clean[:, :20], dark[:, :20])]
    run.write_strip(Restorer(Tiny(), device="cpu"), pairs)
    strip = read_picture(tmp_path / "validation.png").pixels
    assert strip.shape == (40, 90, 3)
    assert [int(strip[0, x, 0]) for x in (0, 30, 60)] == [100, 155, 200]  # Tiny inverts: 255 - 100
    assert [int(strip[20, x, 0]) for x in (0, 20, 40, 60)] == [100, 155, 200, 0]


def test_the_card_says_what_was_done_on_what_and_how_well(tmp_path: Path) -> None:
    run = Run(tmp_path / "rain-1")
    run.begin(dataclasses.replace(RECIPE, steps=8000), 0, start=None, data="Two photos.", device=CPU, processes=2)
    with run.log() as log:
        log(progress(7, (25.0, 30.0)))
        log(progress(9))
    run.write_card(5400)
    card = (run.folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: restore\npipeline_tag: image-to-image\n") and "\n# rain-1\n" in card
    for part in (
        "Two photos.",
        "blind-noise",
        "9 of 8,000 steps",
        "1.50 hours",
        "2 processes",
        "| 7 (best) | 25.00 | 30.00 |",
    ):
        assert part in card


def test_the_card_names_options_labels_and_fewer_held_out_pairs(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        RECIPE, options={"dim": 64}, labels="labels/x2", teacher_share=0.25, held_out=24, held_out_pairs=8
    )
    run = Run(tmp_path / "run")
    run.begin(recipe, 0, start=None, data="Two photos.", device=CPU, processes=1)
    with run.log() as log:
        log(progress(7, (25.0, 30.0)))
    run.write_card(5400)
    card = (run.folder / "README.md").read_text()
    assert "cs-kit, config `s`, dim = 64.\n" in card
    assert "Two photos. 25% of the photos' crops learn from a teacher's outputs, `labels/x2`. " in card
    assert "PSNR of 24 held-out pictures (8 pairs) in dB" in card


def test_tensorboard_is_given_what_the_log_is(tmp_path: Path) -> None:
    events_of = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    run = Run(tmp_path)
    begin(run)
    pair = Pair("a", np.ones((20, 30, 3), np.float32), np.ones((20, 30, 3), np.float32))
    run.write_strip(Restorer(Tiny(), device="cpu"), [pair])
    with run.log(tensorboard=True) as log:
        log(progress(0, (25.0, 26.0)))
        log(progress(7, (25.0, 30.0)))
    events = events_of(str(tmp_path / "tensorboard"))
    events.Reload()
    scored = events.Scalars("validation/psnr")
    assert [(event.step, event.value) for event in scored] == [(0, 26.0), (7, 30.0)]
    assert [event.step for event in events.Scalars("loss")] == [7]  # before any training there is none
    assert events.Tags()["images"] == ["validation"]
