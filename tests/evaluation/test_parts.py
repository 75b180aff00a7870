from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from restore.datasets.found import Found, Item
from restore.datasets.registry import Layout
from restore.errors import RestoreError, UsageError
from restore.evaluation.parts import Part, method_of, part_of, parts_beside, read_parts
from restore.evaluation.plan import Plan
from restore.evaluation.report import Restoration
from restore.evaluation.scoring import PictureScore

FOUND = Found(Layout("own", "*"), Path("photos"), (Item("a", Path("a.png"), None), Item("b", Path("b.png"), None)))
PLAN = Plan("photos", FOUND, "denoise", None, None, None, "rgb")
WAY = Restoration(weights={"path": "w", "sha256": "0" * 64}, precision="float32", device="cpu")
METHOD = method_of(PLAN, [WAY], [])
SCORE = PictureScore("a", 20.123456789012345, 0.5, math.inf, 1.0, seconds=2.5, megapixels=0.1)


def test_scores_are_read_as_they_were_with_infinity_and_what_was_not_computed(tmp_path: Path) -> None:
    path = tmp_path / "s.json.part"
    with Part(path, METHOD) as part:
        part.add(1, [SCORE])
        assert "Infinity" not in path.read_text() and "NaN" not in path.read_text()  # it is there at once
    assert repr(read_parts([path], METHOD)) == repr({1: (SCORE,)})


def test_a_part_is_continued_behind_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "s.json.part"
    with Part(path, METHOD) as part:
        part.add(0, [SCORE])
    path.write_bytes(path.read_bytes()[:-9])
    with Part(path, METHOD) as part:
        part.add(1, [SCORE])
    assert list(read_parts([path], METHOD)) == [1]


def test_a_part_without_scores_is_not_made(tmp_path: Path) -> None:
    with Part(tmp_path / "s.json.part", METHOD):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("plan", "way", "metrics"),
    [
        (dataclasses.replace(PLAN, protocol="y"), WAY, []),
        (dataclasses.replace(PLAN, found=dataclasses.replace(FOUND, items=FOUND.items[:1])), WAY, []),
        (PLAN, dataclasses.replace(WAY, weights={"path": "w", "sha256": "1" * 64}), []),
        (PLAN, dataclasses.replace(WAY, precision="bfloat16"), []),
        (PLAN, dataclasses.replace(WAY, self_ensemble=True), []),
        (PLAN, WAY, ["lpips"]),
    ],
)
def test_a_part_of_another_method_is_refused(tmp_path: Path, plan: Plan, way: Restoration, metrics: list[str]) -> None:
    with Part(tmp_path / "s.json.part", method_of(plan, [way], metrics)) as part:
        part.add(0, [SCORE])
    with pytest.raises(UsageError, match="scores of other pictures, weights or options"):
        read_parts([tmp_path / "s.json.part"], METHOD)


def test_the_same_weights_at_another_place_on_another_device_are_the_same_method() -> None:
    moved = dataclasses.replace(WAY, weights={"path": "x", "sha256": "0" * 64}, device="cuda:1")
    assert method_of(PLAN, [moved], []) == METHOD


def test_the_parts_of_a_result_are_those_of_its_name(tmp_path: Path) -> None:
    own = ["s.json.part", "s.rank0.json.part", "s.rank12.json.part", "s.shard3.json.part"]
    for name in (*own, "s.json", "s.x.json.part", "ss.json.part", "s.csv.part"):
        (tmp_path / name).touch()
    assert [path.name for path in parts_beside(tmp_path / "s.json")] == own
    assert part_of(tmp_path / "s.json") in parts_beside(tmp_path / "s.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_is_named() -> None:
    with (
        pytest.raises(RestoreError, match="cannot write /dev/full: No space left"),
        Part(Path("/dev/full"), METHOD) as p,
    ):
        p.add(0, [SCORE])
