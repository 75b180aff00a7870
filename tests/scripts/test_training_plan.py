"""A plan of training runs: its file and its locks."""

from __future__ import annotations

import fcntl
import textwrap
import threading
from pathlib import Path

import pytest

from restore.errors import UsageError
from scripts import training_plan


def plan_file(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(textwrap.dedent(text))
    return path


def test_a_run_is_not_left_out_because_another_process_looks_at_it(tmp_path: Path) -> None:
    folder = tmp_path / "first"
    with training_plan.alone(folder, looks_only=True) as one, training_plan.alone(folder, looks_only=True) as another:
        assert one and another
    looking = (tmp_path / ".first.lock").open()
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.1, looking.close).start()
    with training_plan.alone(folder) as is_alone:
        assert is_alone


def test_the_plan_of_this_project_is_one() -> None:
    plan = training_plan.read_plan(training_plan.PLAN)
    assert plan
    assert all(run.asked().task for run in plan)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[run]]\nname = "a"\nrecipe = "b"', "the run a of .* lacks hours"),
        ('[[run]]\nname = "a"\nrecipe = "b"\nhour = 3', "a run of the plan has no field 'hour'"),
        ('[[run]]\nname = "a"\nrecipe = "b"\nhours = 3\n' * 2, "two runs of .* have the folder a"),
        ("[[run", "cannot read the plan"),
    ],
)
def test_a_wrong_plan_is_an_error_that_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        training_plan.read_plan(plan_file(tmp_path, text))
