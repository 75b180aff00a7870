from __future__ import annotations

import re
from pathlib import Path

import pytest

from restore.datasets.registry import datasets
from restore.evaluation.published import published, published_for
from restore.networks import NETWORKS
from restore.tasks import TASKS

PAPERS = Path(__file__).parents[2].parent / "shared" / "papers"
TEXTS = {"CS-KiT": "cs-kit", "KiT supplement": "kit-supplement", "DRSformer": "drsformer", "PANet": "panet"}


def test_published_scores_are_of_known_sets_tasks_and_networks() -> None:
    for row in published():
        assert row.set in datasets() and row.task in TASKS
        assert row.method in (*NETWORKS, "input")
        assert (row.level is None) == (row.task not in ("dejpeg", "upscale") and row.source != "PANet, table 1")
        assert any(row.source.split(",")[0] in used for used in datasets()[row.set].used_in)


def test_each_method_has_one_published_score_a_source_and_level() -> None:
    keys = [(row.set, row.task, row.level, row.source, row.method) for row in published()]
    assert len(set(keys)) == len(keys)


@pytest.mark.skipif(not PAPERS.is_dir(), reason="the papers are not beside this checkout")
def test_published_scores_stand_in_the_papers() -> None:
    for row in published():
        lines = (PAPERS / f"{TEXTS[row.source.split(',')[0]]}.txt").read_text().splitlines()
        shown = [str(row.psnr)] if row.ssim is None else [str(row.psnr), str(row.ssim).removeprefix("0")]
        # The two stand next to each other in one line of a table.
        pattern = r"[\s|*_]+0?".join(rf"{re.escape(number)}(?!\d)" for number in shown)
        assert any(re.search(pattern, re.sub(r"<[^>]+>", "", line)) for line in lines), row


def test_scores_are_found_by_set_task_and_level_with_the_digits_of_the_paper() -> None:
    rows = published_for("LIVE1", "dejpeg", 10)
    assert [(row.method, str(row.psnr), str(row.ssim)) for row in rows] == [
        ("input", "27.77", "0.7905"),
        ("panet", "29.69", "0.8250"),
    ]
    assert published_for("Set5", "upscale", 5) == []
