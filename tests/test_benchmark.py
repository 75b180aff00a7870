"""Multiplications are counted as in the papers; time and memory are measured in a new process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from restore import benchmark
from restore.benchmark import Cost, Subject, build, count_gmacs, measure
from restore.inference import memory
from restore.inference.memory import Need, need_of


@pytest.mark.parametrize(("name", "gmacs"), [("drsformer", 242.98), ("drsformer:paper-lite", 175.4)])
def test_multiplications_are_as_many_as_the_paper_says(name: str, gmacs: float) -> None:
    assert count_gmacs(build(name), 256, 256) == pytest.approx(gmacs, abs=0.1)


def test_an_attention_that_is_left_out_does_not_count() -> None:
    network = build("panet:s")
    network.use_attention(False)
    layers = 12 * 64 + 17 * 64 * 64 + 64 * 12  # 3x3 convolutions on half the resolution
    assert count_gmacs(network, 64, 96) == pytest.approx(9 * layers * 32 * 48 / 1e9, rel=1e-6)


BALLAST = 1_500_000_000  # bytes that the measuring process holds


@pytest.fixture(scope="module")
def cost() -> Cost:
    ballast = np.ones(BALLAST, np.uint8)
    measured = measure(Subject("cs-kit:s", 60, 100, repeats=1, threads=1))
    assert ballast.size == BALLAST
    return measured


def test_a_network_is_measured(cost: Cost) -> None:
    assert cost.seconds > 0 and not cost.has_plain
    assert cost.seconds_per_megapixel == pytest.approx(cost.seconds / (64 * 128 / 1e6))  # padded
    assert cost.gflops == pytest.approx(2 * cost.gmacs / cost.seconds)
    assert cost.peak_bytes is None or 100e6 < cost.peak_bytes < 3e9


def test_the_memory_of_the_process_that_measures_does_not_count(cost: Cost) -> None:
    assert cost.peak_bytes is None or cost.peak_bytes < BALLAST


@pytest.mark.slow
def test_the_table_and_the_file_have_the_literal_form_beside_the_fast_one(run: Run) -> None:
    ran = run(
        "bench", "drsformer:s", "--size", "16x32", "--literal", "--repeats", "1", "--threads", "1", "--json", "b.json"
    )
    assert ran.code == 0, ran.err
    assert all(form in ran.out for form in ("literal, malloc", "literal ", "fast"))
    written = json.loads(Path("b.json").read_text())
    assert [(r["form"], r["plain"], r["keep"]) for r in written["runs"]] == [
        ("literal, malloc", True, False), ("literal", True, True), ("fast", False, True),
    ]  # fmt: skip
    assert all(r["seconds"] > 0 for r in written["runs"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["drsformr"], 1, "did you mean"),
        (["drsformer:x"], 2, "choose one of paper"),
        (["kit", "--size", "12"], 2, "height x width"),
        (["kit", "--size", "0x5"], 2, "height x width"),
        (["kit", "--precision", "half"], 2, "choose one of float32"),
        (["kit", "--json", "no/where.json"], 2, "folder does not exist"),
    ],
)
def test_what_cannot_be_measured_is_one_error(arguments: list[str], code: int, message: str, run: Run) -> None:
    ran = run("bench", *arguments)
    assert ran.code == code
    assert message in ran.err and "Traceback" not in ran.err


def test_memory_is_measured_up_to_the_tiles_that_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = []

    def measured(subject: Subject) -> Cost:
        assert subject.height == subject.width
        sides.append(subject.height)
        return Cost(1.0, 1.0, 50_000_000 + 700 * subject.height**2, 20_000_000, 1.0, 1.0, False)

    monkeypatch.setattr(benchmark, "measure", measured)
    need, costs = benchmark.measure_need("drsformer:s", device="cpu")
    assert (need.fixed_bytes, need.bytes_per_pixel) == (30_000_000, 700)
    assert list(costs) == sides == [272, 416, 544]  # up to half of a tile of 1088, in blocks of 16
    sides.clear()
    benchmark.measure_need("panet:s", device="cpu")
    assert sides == [64, 96, 128]  # up to its own largest tile


def test_what_bench_writes_is_what_automatic_tiles_are_chosen_by(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        benchmark, "measure_need", lambda name, **_: (Need(5e6, 123.4), {64: Cost(1, 1, 9, 0, 1, 1, False)})
    )
    assert run("bench", "drsformer:s", "--memory", "--json", str(tmp_path / "memory.json")).code == 0
    monkeypatch.setattr(memory, "TABLE", tmp_path / "memory.json")
    memory._table.cache_clear()
    try:
        assert need_of(benchmark.build("drsformer:s")) == Need(5_000_000, 123.4)
    finally:
        memory._table.cache_clear()


def test_memory_takes_no_sizes_of_yours(run: Run) -> None:
    code, _, err = run("bench", "drsformer:s", "--memory", "--size", "64x64")
    assert code == 2
    assert "--memory chooses its own sizes" in err
