from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run, save

from restore.datasets.registry import datasets
from restore.evaluation.published import published


def test_data_list_has_a_line_for_every_set_and_fits_80_columns(run: Run) -> None:
    lines = run("data", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", *datasets()]
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith("REDS")).split()[2:4] == ["24,000", "3,000"]


@pytest.mark.parametrize("name", datasets())
def test_data_show_tells_source_terms_layout_and_scores(run: Run, name: str) -> None:
    ran = run("data", "show", name)
    assert ran.code == 0
    for label in ("paper:", "source:", "licence:", "used in:"):
        assert label in ran.out
    unwrapped = " ".join(ran.out.split())
    for split in datasets()[name].splits.values():
        assert all(str(layout) in unwrapped for layout in split.layouts)
    for row in published():
        if row.set == name:
            assert str(row.psnr) in ran.out


def test_data_check_names_every_fault_and_fails(run: Run, inverted_pairs: None) -> None:
    ran = run("data", "check", "--clean", "clean", "--degraded", "noisy")
    assert (ran.code, ran.out) == (0, "clean: 2 pairs, no faults; clean and noisy\n")
    save("clean/c.png")
    for side in ("clean", "noisy"):
        save(f"{side}/0.png")  # the first pair says what size the others should have
    Path("noisy/a.png").write_bytes(Path("noisy/a.png").read_bytes()[:2000])
    save("noisy/b.png", side=32)
    ran = run("data", "check", "--clean", "clean", "--degraded", "noisy")
    lines = ran.out.splitlines()
    assert ran.code == 1 and "error: 3 faults in clean" in ran.err
    assert lines[0] == "clean: clean/c.png has no degraded partner"
    assert "noisy/a.png" in lines[1]
    assert lines[2] == "clean: b: 64x64 clean and 32x32 degraded"
    assert lines[3].startswith("clean: 3 pairs, 3 faults")


def test_data_check_of_a_named_set_looks_at_each_part(run: Run) -> None:
    for index in range(3):
        for side in ("input", "target"):
            save(f"rain/test/Rain200L/{side}/{index}.png", side=16)
    ran = run("data", "check", "Rain200L", "--root", "rain")
    assert ran.code == 1
    assert ran.out.startswith("Rain200L test: 3 pictures instead of 200\nRain200L test: 3 pairs, 1 fault; ")
    assert "Rain200L train: not found" in ran.err and "error: 1 fault in rain" in ran.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("show", "Rain100"), 2, "hint:  did you mean 'Rain100L'?"),
        (("check",), 2, "error: name the pictures to check"),
        (("check", "PolyU"), 2, "error: name the pictures to check"),
        (("check", "PolyU", "--root", "gone"), 1, "error: gone is not a folder"),
        (("check", "PolyU", "--root", "."), 1, "hint:  expected noisy/* + clean/*"),
        (("check", "Rain200H", "--root", "."), 1, "error: . holds no part of Rain200H in a known layout"),
        (("check", "Rain200H", "--root", ".", "--split", "val"), 1, "error: Rain200H has no split 'val'"),
        (("check", "--clean", "gone"), 1, "error: gone is not a folder"),
        (("check", "--clean", "."), 1, "error: no pictures in ."),
    ],
)
def test_data_that_cannot_be_checked_is_refused_with_a_reason(
    run: Run, args: tuple[str, ...], code: int, message: str
) -> None:
    ran = run("data", *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
