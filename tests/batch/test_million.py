"""Planning a million pictures: time and memory, with folders that only seem to be full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, resource, sys, time
from restore.batch import planning
from restore.batch.processes import Rank

FOLDERS, EACH = int(sys.argv[1]), 1000

class Entry:
    def __init__(self, name, folder):
        self.name, self.path, self._is_folder = name, name, folder
    def is_dir(self, *, follow_symlinks=True):
        return self._is_folder
    def is_file(self, *, follow_symlinks=True):
        return not self._is_folder
    def is_symlink(self):
        return False

class Entries(list):
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass

def scandir(folder):
    if folder == "in":
        return Entries(Entry(f"{i:04}", True) for i in range(FOLDERS))
    return Entries(Entry(f"IMG_{i:08}.jpg", False) for i in range(EACH)) if folder[:3] == "in/" else Entries()

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
os.scandir = scandir
begun = time.process_time()
plan = planning.plan(["in"], "out", recursive=True, rank=Rank(2, 16))
planning.refuse_existing(plan.jobs)
assert plan.total == FOLDERS * EACH and 0.9 < len(plan.jobs) * 16 / plan.total < 1.1, (plan.total, len(plan.jobs))
scale = 1 if sys.platform == "darwin" else 1024
print(time.process_time() - begun, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * scale / 1e6)
"""


def plan(folders: int, here: Path) -> tuple[float, float]:
    """Seconds of the processor and megabytes of memory, in a process of its own."""
    pytest.importorskip("resource", reason="Windows does not tell the memory of a process")
    (here / "in").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folders)], cwd=here, capture_output=True, text=True, check=True
    )
    seconds, megabytes = map(float, ran.stdout.split())
    return seconds, megabytes


def test_planning_takes_little_for_each_picture(tmp_path: Path) -> None:
    seconds, megabytes = plan(20, tmp_path)  # 20,000 pictures
    assert seconds < 1 and megabytes < 20


@pytest.mark.slow
def test_a_million_pictures_are_planned_in_30_seconds_and_a_gigabyte(tmp_path: Path) -> None:
    seconds, megabytes = plan(1000, tmp_path)
    assert seconds < 30 and megabytes < 1000
