"""A plan of training runs, by scripts/train_next.py, and photos packed to be carried, by scripts/pack_photos.py."""

from __future__ import annotations

import ast
import dataclasses
import fcntl
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restore.errors import UsageError
from restore.images import Picture, write_picture
from restore.networks import NETWORKS
from restore.training.loop import train
from restore.training.progress import Progress
from restore.training.recipe import Recipe, load_recipe
from scripts import bundle_weights, carrying, pack_photos, train_next
from scripts.train_next import Planned, Setting

TINY = {"dim": 8, "blocks": 1, "h": 1, "shuffle": 2}
SET = {
    "config": "tiny", "stages": [], "local_steps": 0, "batch": 1, "crop": 64, "held_out": 1, "warm_up": 0,
    "precision": "float32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", TINY)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        drawn = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write_picture(Picture(cv2.GaussianBlur(drawn, (0, 0), 2)), folder / f"{seed}.png")
    return folder


@pytest.fixture
def setting(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Steps are not timed but said to take a second each."""
    monkeypatch.setattr(train_next, "seconds_a_step", lambda *_: 1.0)
    monkeypatch.setattr(train_next, "seconds_to_validate", lambda *_: 0.0)
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
    assert train_next.progress_of(setting.states / "stopped") == (1, 3)
    monkeypatch.setattr(train_next, "fitted", None)  # the steps are those that it was begun with
    train_next.work([run_of("stopped")], setting, 1000)
    states = [torch.load(setting.states / name / "state.pt", weights_only=True) for name in ("whole", "stopped")]
    assert states[0]["step"] == states[1]["step"] == 3
    assert all(torch.equal(value, states[1]["average"][key]) for key, value in states[0]["average"].items())


def test_a_run_that_another_process_is_at_is_left_to_it(setting: Setting) -> None:
    held = textwrap.dedent("""
        import sys
        from pathlib import Path
        from scripts.train_next import alone
        with alone(Path(sys.argv[1])) as is_alone:
            print(is_alone, flush=True)
            sys.stdin.read()
    """)
    other = subprocess.Popen(
        [sys.executable, "-c", held, str(setting.states / "first")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=train_next.ROOT,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    plan = [run_of("first"), run_of("second")]
    train_next.work(plan, setting, 1000)
    assert [train_next.is_finished(setting.states / name) for name in ("first", "second")] == [False, True]
    listed = train_next.table(plan, setting.states)
    assert listed.splitlines()[1].split() == ["first", "denoise", "0.000833333", "open,", "running", "-"]
    assert " finished " in listed.splitlines()[2]
    other.kill()  # the system lets go of its lock
    other.communicate()
    train_next.work(plan, setting, 1000)
    assert train_next.is_finished(setting.states / "first")


def test_a_run_is_not_left_out_because_another_process_looks_at_it(tmp_path: Path) -> None:
    folder = tmp_path / "first"
    with train_next.alone(folder, looks_only=True) as one, train_next.alone(folder, looks_only=True) as another:
        assert one and another
    looking = (tmp_path / ".first.lock").open()
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.1, looking.close).start()
    with train_next.alone(folder) as is_alone:
        assert is_alone


def test_the_end_of_a_run_is_noted_where_no_run_lies_in_the_states_folder(setting: Setting, tmp_path: Path) -> None:
    train_next.work([run_of("first", hours=1 / 3600, state=str(tmp_path / "elsewhere"))], setting, 1000)
    assert " first: 1 steps, " in (setting.states / "plan.log").read_text()


def test_a_run_whose_weights_are_in_parts_is_not_open(setting: Setting) -> None:
    train_next.work([run_of("first", hours=2 / 3600)], setting, 1000)
    weights = setting.states / "first/last.safetensors"
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    carrying.split(weights, header + 10)
    assert not weights.exists()
    assert train_next.progress_of(setting.states / "first") == (2, 2)


def test_a_run_that_cannot_be_does_not_stop_the_next(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    plan = [
        run_of("broken", set={**SET, "config": "gone"}), run_of("cuda", device="cuda"), run_of("rain", uses_pairs=True),
        run_of("whole"),
    ]  # fmt: skip
    train_next.work(plan, setting, 1000)
    assert sorted(p.name for p in setting.states.iterdir() if p.is_dir()) == ["whole"]
    told = capsys.readouterr().err
    assert "broken: there is no config of cs-kit called 'gone'" in told
    assert "rain: left out, for there are no pairs" in told


def test_when_the_time_is_over_no_further_run_is_begun(setting: Setting) -> None:
    train_next.work([run_of("first")], setting, 0)
    assert not (setting.states / "first").exists()


def test_steps_are_as_many_as_the_hours_hold() -> None:
    recipe = load_recipe("cs-kit-s-denoise")
    # 30,000 of 40,000 steps have no attention and 8 crops of 64.
    seconds = {(8, 64, True): 0.2, (3, 128, False): 1.0}
    asked = []

    def fake(train: object, part: Recipe, clock: object) -> float:
        asked.append(part)
        return seconds[part.batch, part.crop, part.local_steps > 0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_next, "seconds_a_step", fake)
        patch.setattr(train_next, "seconds_to_validate", lambda *_: 100.0)
        fitted = train_next.fitted(recipe, 2.0, lambda *_: None, time.process_time)
        short = train_next.fitted(recipe, 0.1, lambda *_: None, time.process_time)
    assert len(asked) == 4
    # Seven validations of 100 s are a tenth of two hours; the first is before the first step.
    assert fitted.steps == round((7200 - 700) / (0.75 * 0.2 + 0.25 * 1.0))
    assert fitted.local_steps == fitted.stages[0][0] == round(0.75 * fitted.steps)
    assert -(-fitted.steps // fitted.validate_every) == 6
    assert short.validate_every == short.steps == 400  # once at the end in any case: (360 - 2 * 100) / 0.4


def test_a_validation_is_estimated_by_one_picture_for_all() -> None:
    recipe = load_recipe("cs-kit-s-denoise", {"config": "tiny", "held_out": "5", "validate_crop": "64"})
    recipe = dataclasses.replace(recipe, validate=("grain", "mosaic"))
    times = iter((0.0, 9.0, 12.0))  # the second picture takes 3 s
    assert train_next.seconds_to_validate(recipe, lambda: next(times)) == 3.0 * 5 * 2


def test_a_step_is_timed_as_a_whole_and_leaves_nothing_behind(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 5.0, 9.0, 10.0, *(10.0 + 2 * n for n in range(1, 100))])  # slow ones to warm up, then 2 s each
    recipe = load_recipe("cs-kit-s-denoise", {k: v if isinstance(v, str) else json.dumps(v) for k, v in SET.items()})
    folders = []

    def probe(recipe: Recipe, folder: Path, should_stop: Callable[[], bool]) -> None:
        folders.append(folder)
        train(recipe, photos, folder, should_stop=should_stop)

    assert train_next.seconds_a_step(probe, recipe, lambda: next(times)) == 2.0
    assert not folders[0].exists()


def test_a_gpu_gets_larger_batches_in_bfloat16() -> None:
    recipe = load_recipe("cs-kit-s-denoise")
    assert train_next.for_gpu(recipe, {}).batch == 4 * recipe.batch
    grown = train_next.for_gpu(recipe, {"batch": 8, "crop": 2, "learning_rate": 0.5})
    assert (grown.batch, grown.crop, grown.precision) == (8 * recipe.batch, 2 * recipe.crop, "bfloat16")
    assert grown.learning_rate == recipe.learning_rate / 2
    assert grown.stages == ((30000, 64, 128),)


def test_the_plan_of_this_project_is_one() -> None:
    plan = train_next.read_plan(train_next.PLAN)
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
        train_next.read_plan(plan_file(tmp_path, text))


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
        [*command, f"--data={photos}"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=train_next.ROOT
    )
    assert begun.stderr is not None
    assert " steps, new, in " in begun.stderr.readline()
    assert "small: step " in begun.stderr.readline()
    begun.terminate()
    _, told = begun.communicate(timeout=60)
    assert begun.returncode == 130 and "interrupted; the same command goes on" in told
    assert (tmp_path / "s/small/state.pt").is_file()


# What goes to another machine and comes back


def test_a_state_in_parts_is_joined_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    content = np.random.default_rng(0).bytes(105)
    path.write_bytes(content)
    carrying.split(path, 10)
    assert sorted(p.stat().st_size for p in tmp_path.iterdir()) == [5, *[10] * 10]
    carrying.joined(path)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    assert path.read_bytes() == content
    carrying.split(path, 105)  # small enough
    assert path.is_file()


@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "muon"])
def test_a_large_state_is_halved_and_goes_on_near_where_it_would_have(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    values = SET | {"optimizer": optimizer, "learning_rate": 1e-4, "ema": 0.5}
    for name, hours in (("stopped", 2), ("whole", 2)):
        train_next.work([run_of(name, set=values, hours=hours / 3600)], setting, 1000)
    stopped, whole = (setting.states / name / "state.pt" for name in ("stopped", "whole"))
    monkeypatch.setattr(carrying, "PART", 1000)
    size = stopped.stat().st_size
    carrying.packed(stopped.parent)
    parts = list(stopped.parent.glob("state.pt.*"))
    assert not stopped.exists() and sum(part.stat().st_size for part in parts) < 0.75 * size  # names take room, too
    for name in carrying.TRAVELLING:
        carrying.joined(stopped.parent / name)
    assert train_next.is_finished(stopped.parent)
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


def test_packed_photos_are_unpacked_as_they_were_with_the_held_out_ones_in_the_first_part(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(30):
        height = 100 if number < 6 else 20 + number
        drawn = np.random.default_rng(number).integers(0, 256, (height, 40, 3), dtype=np.uint8)
        write_picture(Picture(drawn), photos / f"{number:02}.png")
    out = tmp_path / "parts"
    size = 0.15  # MiB, of which the last 24 take 0.11
    pack_photos.main(photos, out, size)
    parts = sorted(out.glob("part-*.tar"))
    assert len(parts) > 1 and all(part.stat().st_size <= size * 2**20 for part in parts)
    for part in parts[1:]:
        part.rename(part.with_suffix(".later"))
    first = {p.name for p in carrying.unpacked(out).iterdir()}
    assert {f"{number:02}.png" for number in range(6, 30)} <= first
    for part in out.glob("*.later"):
        part.rename(part.with_suffix(".tar"))
    unpacked = carrying.unpacked(out)
    assert {p.name: p.read_bytes() for p in unpacked.iterdir()} == {p.name: p.read_bytes() for p in photos.iterdir()}


def test_photos_that_no_part_has_room_for_are_refused() -> None:
    with pytest.raises(UsageError, match="too large for a part"):
        carrying.in_parts([4, 11], room=10, first=0)
    with pytest.raises(UsageError, match="too large for a part"):
        carrying.in_parts([4, 6, 5], room=10, first=2)


def test_without_photos_the_hint_says_how_to_pack_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no photos, neither by --data nor in"):
        carrying.unpacked(tmp_path)


# Of the sorted heavy ones every third (3, 6, 9) is scored; 1 and rain200h_2 show scored scenes.
UNSCORED = [f"rain100h_{i}.png" for i in (2, 4, 5, 7, 8)]


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    source = tmp_path / "rain_pairs"
    for kind in ("clean", "rainy"):
        (source / kind).mkdir(parents=True)
        for name in [f"rain100h_{i}.png" for i in range(1, 10)] + ["rain200h_2.png", "rain200l_1.png"]:
            (source / kind / name).write_text(f"{kind} {name}")
    return source


def contents(folders: tuple[Path, Path] | None) -> list[str]:
    assert folders is not None
    return [f"{path.name} {path.read_text()}" for folder in folders for path in sorted(folder.iterdir())]


EXPECTED = [f"{name} {kind} {name}" for kind in ("clean", "rainy") for name in UNSCORED]


def test_no_pair_that_is_scored_or_shows_a_scored_scene_is_trained_on(rain: Path, tmp_path: Path) -> None:
    folders = carrying.pairs_to_train_on(rain, tmp_path / "states")
    assert contents(folders) == EXPECTED
    assert carrying.pairs_to_train_on(rain, tmp_path / "states") == folders  # once more does no harm
    assert carrying.pairs_to_train_on(tmp_path / "none", tmp_path / "other", tmp_path) is None


def test_pairs_are_files_that_travel_and_stale_ones_go(rain: Path, tmp_path: Path) -> None:
    old = tmp_path / "states/clean"
    old.mkdir(parents=True)
    (old / UNSCORED[0]).symlink_to(rain / "clean" / UNSCORED[0])
    (old / "rain100h_3.png").symlink_to(rain / "clean/rain100h_3.png")  # scored
    (old / UNSCORED[1]).write_text("of another day")
    folders = carrying.pairs_to_train_on(rain, tmp_path / "states")
    assert contents(folders) == EXPECTED
    assert not any(path.is_symlink() for path in old.iterdir())
    assert (rain / "clean/rain100h_3.png").is_file()
    shutil.rmtree(rain)
    assert contents(carrying.pairs_to_train_on(rain, tmp_path / "states", tmp_path)) == EXPECTED  # as they were carried


def test_packed_pairs_are_unpacked_where_there_are_no_others(rain: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    pack_photos.main(photos, out, 1, rain)
    assert sorted(path.name for path in out.iterdir()) == ["pairs-1.tar", "part-1.tar"]
    assert contents(carrying.pairs_to_train_on(tmp_path / "none", tmp_path / "states", out)) == EXPECTED
    assert sorted(path.name for path in carrying.unpacked(out).iterdir()) == ["0.png", "1.png"]


def test_an_error_of_a_script_is_told_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/pack_photos.py", str(tmp_path / "gone"), str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=train_next.ROOT)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == f"error: {tmp_path / 'gone'} is not a folder"
    assert "Traceback" not in ended.stderr


def test_the_table_of_bundled_weights_says_what_is_to_be_measured(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_next.work([run_of("first", hours=1 / 3600)], setting, 1000)
    monkeypatch.setattr(bundle_weights, "WEIGHTS", tmp_path)
    bundle_weights.main(setting.states / "first", "mine")
    told = capsys.readouterr().out
    assert tomllib.loads(told)["mine"]["steps"] == 1  # the reminder is a comment
    assert "# measure bfloat16_loss: python scripts/score_weights.py mine --bfloat16" in told


@pytest.mark.parametrize("path", sorted((train_next.ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_scripts_import_restore_before_torch_so_that_nothing_spins(path: Path) -> None:
    imported = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(node.module or "")
    loading = [name for name in imported if name.partition(".")[0] in ("restore", "torch", "safetensors")]
    assert loading[0].partition(".")[0] == "restore"
