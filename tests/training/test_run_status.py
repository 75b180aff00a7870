"""`restore train --status`, curves.png, and the log for Weights & Biases."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import Run
from training_runs import RECIPE

from restore.errors import DataError
from restore.images import read_picture
from restore.training.curves import curves_of
from restore.training.loop import train
from restore.training.options import Options
from restore.training.progress import Progress
from restore.training.status import MARK, status_of

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def scored(step: int, before: float | None, after: float | None, loss: float | None = 0.1) -> dict[str, Any]:
    return {"step": step, "steps": 9, "loss": loss, "validation": [before, after], "seconds": 3600.0 * step,
            "images_per_second": 2.5, "seconds_left": 90.0}  # fmt: skip


def folder_of(log: list[dict[str, Any]], sessions: list[dict[str, Any]]) -> Path:
    folder = Path("made")
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps({"steps": 9}))
    for name, lines in (("log", log), ("sessions", sessions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_run_says_where_it_stands_while_it_runs_and_afterwards(run: Run, photos: Path, tmp_path: Path) -> None:
    seen: list[tuple[bool | None, int]] = []
    out = tmp_path / "run"

    def look(progress: Progress) -> None:
        found = status_of(out)
        seen.append((found.is_running, found.step))

    train(RECIPE, photos, out, on_progress=look)
    assert seen == [(True, 1), (True, 2), (True, 3), (True, 4)]
    found = json.loads(run("train", "--status", str(out), "--json").out, parse_constant=pytest.fail)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert (found["is_running"], found["step"], found["steps"], found["where"]) == (False, 4, 4, None)
    assert found["last"] == [4, *log[-1]["validation"]]
    assert found["best"][2] == max(entry["validation"][1] for entry in log)
    shown = run("train", "--status", str(out)).out
    assert "done" in shown and "4 of 4 (100.0%)" in shown and f"{log[-1]['validation'][1]:.2f} dB" in shown


def test_scores_on_other_pictures_are_not_the_best(run: Run) -> None:
    log = [scored(2, 20.0, 40.0), scored(4, 20.0, 30.0), scored(6, None, 31.0), scored(8, 20.0, 30.5)]
    found = status_of(folder_of(log, [{"step": 0}, {"step": 3, "new_data": True}]))
    assert (found.last, found.best, found.hours) == ((8, 20.0, 30.5), (6, None, 31.0), 8.0)
    shown = " ".join(run("train", "--status", "made").out.split())
    assert "best validation: step 6: equal to the clean ones -> 31.00 dB" in shown and "8 of 9 (88.9%)" in shown
    assert "time left: 0:01:30" in shown


def test_a_killed_run_is_known_to_be_dead_and_one_elsewhere_is_not_known(run: Run) -> None:
    folder = folder_of([], [])
    mark = {"host": "elsewhere", "pid": 1, "started": 0.0}
    (folder / MARK).write_text(json.dumps(mark))
    assert status_of(folder).is_running is None
    assert "not known from here, process 1 on elsewhere" in run("train", "--status", "made").out
    import platform

    (folder / MARK).write_text(json.dumps(mark | {"host": platform.node()}))  # its number is used by another one
    assert status_of(folder).is_running is False
    assert "no; it was stopped" in run("train", "--status", "made").out


def test_a_folder_in_which_another_process_trains_is_refused(photos: Path, tmp_path: Path) -> None:
    import platform

    out, parent = tmp_path / "run", psutil.Process().parent()
    assert parent is not None
    train(dataclasses.replace(RECIPE, steps=1), photos, out)
    mark = {"host": platform.node(), "pid": parent.pid, "started": parent.create_time()}
    (out / MARK).write_text(json.dumps(mark))
    with pytest.raises(DataError, match=f"a run is training in .* now: process {parent.pid}"):
        train(dataclasses.replace(RECIPE, steps=1), photos, out, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--status", "gone"), "error: gone holds no run"),
        (("--json", "--data", "."), "error: --json is for --status RUN"),
        (("--data", "."), "error: the folder of the run is missing"),
    ],
)
def test_what_has_no_status_is_refused(run: Run, options: tuple[str, ...], message: str) -> None:
    ran = run("train", *options)
    assert ran.code in (1, 2) and ran.err.startswith(message)


def test_curves_rise_with_the_scores_and_fall_with_the_loss(run: Run, photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run")
    assert read_picture(tmp_path / "run/curves.png").pixels.shape == (720, 960, 3)
    log = [scored(step, 20.0, 20.0 + step, loss=10.0**-step) for step in range(1, 9)]
    picture = curves_of(log, "made")
    assert picture is not None
    for colour, rises in (((0x1F, 0x6F, 0xB4), False), ((0xC2, 0x3B, 0x22), True)):  # of loss and PSNR
        rows, columns = np.nonzero((picture == colour).all(axis=2))
        assert (np.corrcoef(rows, columns)[0, 1] < -0.9) == rises  # row 0 is at the top
        assert (np.corrcoef(rows, columns)[0, 1] > 0.9) != rises
    assert curves_of([], "made") is None
    assert curves_of([scored(1, None, None, loss=None)], "made") is None


def test_weights_and_biases_gets_what_the_log_is(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []
    logged: list[tuple[int, dict[str, Any]]] = []

    class FakeRun:
        def log(self, values: dict[str, Any], step: int) -> None:
            logged.append((step, values))

        def finish(self) -> None:
            logged.append((-1, {}))

    fake = ModuleType("wandb")
    fake.init = lambda **given: begun.append(given) or FakeRun()  # type: ignore[attr-defined,func-returns-value]
    fake.Image = Path  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    train(RECIPE, photos, tmp_path / "run", options=Options(wandb=True), should_stop=stop)
    train(RECIPE, photos, tmp_path / "run", options=Options(wandb=True), resume=True)
    assert [step for step, _ in logged] == [1, 2, -1, 3, 4, -1]
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    for (_, values), entry in zip([x for x in logged if x[0] > 0], log, strict=True):
        assert (values["loss"], values["validation/psnr"]) == (entry["loss"], entry["validation"][1])
    first, second = begun
    assert (first["id"], first["name"], first["resume"], first["project"]) == (second["id"], "run", "allow", "restore")
    assert first["config"]["network"] == "cs-kit"

    def fails(**_: object) -> None:
        raise RuntimeError("no login\nand more")

    fake.init = fails  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"Weights & Biases does not start: no login$"):
        train(RECIPE, photos, tmp_path / "other", options=Options(wandb=True))
