"""Training by a plan, as scripts/train_next.py does."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
import torch
from tiny_training import SET

from restore.training.loop import train
from restore.training.progress import Progress
from restore.training.recipe import Recipe
from scripts import bundle_weights, run_parts, step_times, train_next, training_plan
from scripts.train_next import Setting
from scripts.training_plan import Planned

ROOT = Path(__file__).parents[2]

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


@pytest.fixture
def setting(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Steps are not timed but said to take a second each."""
    monkeypatch.setattr(step_times, "seconds_a_step", lambda *_: 1.0)
    monkeypatch.setattr(step_times, "seconds_to_validate", lambda *_: 0.0)
    return Setting(tmp_path / "states", photos, None, torch.device("cpu"))


def run_of(name: str, **changes: object) -> Planned:
    values = {"recipe": "cs-kit-s-denoise", "hours": 3 / 3600, "set": SET} | changes
    return Planned(name, **values)  # type: ignore[arg-type]


def plan_file(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(textwrap.dedent(text))
    return path


def test_runs_are_trained_in_their_order_and_a_line_tells_of_each(setting: Setting) -> None:
    plan = [run_of("first"), run_of("second", hours=2 / 3600)]
    train_next.work(plan, setting, 1000)
    first, second = (setting.states / "plan.log").read_text().splitlines()
    assert " first: 3 steps, 0.00 h, input " in first
    assert " second: 2 steps, " in second
    assert {"last.safetensors", "best.safetensors"} <= {p.name for p in (setting.states / "first").iterdir()}
    train_next.work(plan, setting, 1000)  # nothing is left to do
    assert len((setting.states / "plan.log").read_text().splitlines()) == 2


def test_a_run_that_was_stopped_reaches_the_weights_of_one_that_was_not(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_next.work([run_of("whole")], setting, 1000)

    class Stop:
        def __init__(self, _: str) -> None:
            pass

        def __call__(self, progress: Progress) -> None:
            if progress.step == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_next, "Teller", Stop)
        train_next.work([run_of("stopped", set={**SET, "validate_every": 1})], setting, 1000)
    assert training_plan.progress_of(setting.states / "stopped") == (1, 3)
    monkeypatch.setattr(train_next, "fitted", None)  # the steps are those that it was begun with
    train_next.work([run_of("stopped")], setting, 1000)
    states = [torch.load(setting.states / name / "state.pt", weights_only=True) for name in ("whole", "stopped")]
    assert states[0]["step"] == states[1]["step"] == 3
    assert all(torch.equal(value, states[1]["average"][key]) for key, value in states[0]["average"].items())


def test_a_run_that_another_process_is_at_is_left_to_it(setting: Setting) -> None:
    held = textwrap.dedent("""
        import sys
        from pathlib import Path
        from scripts.training_plan import alone
        with alone(Path(sys.argv[1])) as is_alone:
            print(is_alone, flush=True)
            sys.stdin.read()
    """)
    other = subprocess.Popen(
        [sys.executable, "-c", held, str(setting.states / "first")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    plan = [run_of("first"), run_of("second")]
    train_next.work(plan, setting, 1000)
    assert [training_plan.is_finished(setting.states / name) for name in ("first", "second")] == [False, True]
    listed = training_plan.table(plan, setting.states)
    assert listed.splitlines()[1].split() == ["first", "denoise", "0.000833333", "open,", "running", "-"]
    assert " finished " in listed.splitlines()[2]
    other.kill()  # the system releases its lock
    other.communicate()
    train_next.work(plan, setting, 1000)
    assert training_plan.is_finished(setting.states / "first")


def test_the_end_of_a_run_is_noted_where_no_run_lies_in_the_states_folder(setting: Setting, tmp_path: Path) -> None:
    train_next.work([run_of("first", hours=1 / 3600, state=str(tmp_path / "elsewhere"))], setting, 1000)
    assert " first: 1 steps, " in (setting.states / "plan.log").read_text()


def test_a_run_whose_weights_are_in_parts_is_not_open(setting: Setting) -> None:
    train_next.work([run_of("first", hours=2 / 3600)], setting, 1000)
    weights = setting.states / "first/last.safetensors"
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    run_parts.split(weights, header + 10)
    assert not weights.exists()
    assert training_plan.progress_of(setting.states / "first") == (2, 2)


def test_a_run_that_cannot_be_does_not_stop_the_next(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    plan = [
        run_of("broken", set={**SET, "config": "gone"}), run_of("cuda", device="cuda"), run_of("rain", uses_pairs=True),
        run_of("whole"),
    ]  # fmt: skip
    train_next.work(plan, setting, 1000)
    assert sorted(p.name for p in setting.states.iterdir() if p.is_dir()) == ["whole"]
    told = capsys.readouterr().err
    assert "broken: unknown cs-kit config 'gone'" in told
    assert "rain: skipped, because there are no pairs" in told


def test_when_the_time_is_over_no_further_run_is_begun(setting: Setting) -> None:
    train_next.work([run_of("first")], setting, 0)
    assert not (setting.states / "first").exists()


def test_the_command_trains_and_stops_when_it_is_told_to(photos: Path, tmp_path: Path) -> None:
    plan = plan_file(
        tmp_path,
        """
        [[run]]
        name = "small"
        recipe = "pa-edsr-s-x2"
        hours = 1
        set = { options = "{\\"dim\\": 4, \\"blocks\\": 1}", local_steps = 40000, batch = 1, crop = 16, held_out = 1 }
        """,
    )
    command = [sys.executable, "scripts/train_next.py", f"--plan={plan}", f"--states={tmp_path / 's'}", "--nice=0"]
    begun = subprocess.Popen(
        [*command, f"--data={photos}"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert begun.stderr is not None
    assert " steps, new, in " in begun.stderr.readline()
    assert "small: step " in begun.stderr.readline()
    begun.terminate()
    _, told = begun.communicate(timeout=60)
    assert begun.returncode == 130 and "interrupted; the same command continues" in told
    assert (tmp_path / "s/small/state.pt").is_file()


@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "muon"])
def test_a_large_state_is_halved_and_goes_on_near_where_it_would_have(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    values = SET | {"optimizer": optimizer, "learning_rate": 1e-4, "ema": 0.5}
    for name, hours in (("stopped", 2), ("whole", 2)):
        train_next.work([run_of(name, set=values, hours=hours / 3600)], setting, 1000)
    stopped, whole = (setting.states / name / "state.pt" for name in ("stopped", "whole"))
    monkeypatch.setattr(run_parts, "PART", 1000)
    size = stopped.stat().st_size
    run_parts.packed(stopped.parent)
    parts = list(stopped.parent.glob("state.pt.*"))
    assert not stopped.exists() and sum(part.stat().st_size for part in parts) < 0.75 * size  # names take space, too
    for name in run_parts.TRAVELLING:
        run_parts.joined(stopped.parent / name)
    assert training_plan.is_finished(stopped.parent)
    for path in (stopped, whole):  # two steps more
        state = torch.load(path, weights_only=True)
        recipe = json.loads(state["recipe"]) | {"steps": 4}
        torch.save(state | {"recipe": json.dumps(recipe)}, path)
        train(Recipe(**recipe), setting.data, path.parent, resume=True)
    ours, theirs = (torch.load(path, weights_only=True) for path in (stopped, whole))
    assert ours["step"] == theirs["step"] == 4
    for key, value in ours["average"].items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, theirs["average"][key], atol=1e-3, rtol=2**-9)


def test_the_table_of_bundled_weights_says_what_is_to_be_measured(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_next.work([run_of("first", hours=1 / 3600)], setting, 1000)
    monkeypatch.setattr(bundle_weights, "WEIGHTS", tmp_path)
    bundle_weights.main(setting.states / "first", "mine")
    told = capsys.readouterr().out
    assert tomllib.loads(told)["mine"]["steps"] == 1  # the reminder is a comment
    assert "# measure bfloat16_loss: python scripts/score_weights.py mine --bfloat16" in told
