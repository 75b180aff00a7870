"""Shares of a run: `--shard`, launchers, and what their users read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import Run
from picture_files import save_flat


@pytest.fixture(autouse=True)
def pictures(tiny_catalogue: object, run: Run) -> None:
    """A working folder with twelve pictures."""
    for i in range(12):
        save_flat(f"in/{i}.png", i, size=(8, 9))


def test_each_shard_does_its_part_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "7")  # which alone would be an error
    seen = []
    for number in (1, 2, 3):
        ran = run("denoise", "in", "-o", "out", "--shard", f"{number}/3", "--json", "r.json", "--json-lines", "l.jsonl")
        report = json.loads(Path(f"r.shard{number}.json").read_text())
        assert ran.code == 0 and (report["rank"], report["ranks"]) == (number - 1, 3)
        own = [picture["source"] for picture in report["pictures"]]
        lines = [json.loads(line) for line in Path(f"l.shard{number}.jsonl").read_text().splitlines()]
        assert lines == report["pictures"]
        said = ran.err.splitlines()
        assert said[0] == f"shard {number}/3: share {number}/3 (--shard): {len(own)} of 12 pictures"
        assert said[-1].startswith(f"shard {number}/3: {len(own)} restored; ")
        assert said[-1].endswith(f"; share {number}/3")
        seen += own
    assert sorted(seen) == sorted(f"in/{name}" for name in os.listdir("in")) and len(os.listdir("out")) == 12


def test_a_shard_that_is_none_is_refused(run: Run) -> None:
    ran = run("denoise", "in", "-o", "out", "--shard", "0/3")
    assert ran.code == 2 and "--shard is a share such as 3/16, not '0/3'" in ran.err


def test_an_sbatch_script_without_srun_restores_all_pictures_and_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SLURM_PROCID", "0"), ("SLURM_NTASKS", "16"), ("SLURM_LOCALID", "0")):
        monkeypatch.setenv(name, value)
    ran = run("denoise", "in", "-o", "out")
    assert ran.code == 0 and len(os.listdir("out")) == 12
    assert "SLURM has 16 tasks, but this process is not started by srun: it takes all pictures" in ran.err
    assert "SLURM" not in run("denoise", "in", "-o", "out", "--overwrite", "--shard", "1/1").err


def test_a_dry_run_lists_the_share_of_a_task_of_an_array(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    for name, value in (("MIN", 1), ("MAX", 2), ("COUNT", 2), ("STEP", 1)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    for task in (1, 2):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        ran = run("denoise", "in", "-o", "out", "--dry-run")
        assert f"share {task}/2 (SLURM array): " in ran.err and "--shard 1/1 takes all" in ran.err
        listed += ran.out.splitlines()
    assert sorted(listed) == sorted(f"in/{i}.png -> out/{i}.png" for i in range(12))
    assert run("denoise", "in/3.png", "-o", "b.png").code == 0 and Path("b.png").is_file()


def test_what_cannot_be_shared_or_written_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ("denoise", "in", "-o", "out")
    for args, why in (
        ((*many, "--watch", "--shard", "1/2"), "--watch takes one process, but this one has the share 1/2"),
        ((*many, "--shard", "1/2", "--json-lines", "-"), "several processes cannot share stdout"),
        (("denoise", "-", "-o", "a.png", "--shard", "1/2"), "several processes cannot share a pipe"),
        ((*many, "--json", "x", "--json-lines", "x"), "--json and --json-lines both go to the same file"),
        ((*many, "--json", "-", "--json-lines", "-"), "--json and --json-lines both go to stdout"),
        ((*many, "--dry-run", "--json-lines", "x"), "--dry-run restores nothing, so --json-lines has nothing"),
        ((*many, "--json-lines", "in/3.png"), "--json-lines would replace the picture in/3.png"),
        ((*many, "--print0", "--json-lines", "-"), "--print0 ends paths, and --json-lines - prints none"),
    ):
        ran = run(*args)
        assert ran.code == 2 and why in ran.err
    assert not Path("out").exists()


def test_lines_on_stdout_take_the_place_of_the_paths(run: Run) -> None:
    ran = run("denoise", "in", "-o", "out", "--json-lines", "-")
    assert [json.loads(line)["target"] for line in ran.out.splitlines()] == sorted(
        f"out/{name}" for name in os.listdir("in")
    )
