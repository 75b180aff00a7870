from __future__ import annotations

import pytest

from restore.datasets.registry import Blocks, Layout, datasets, read_datasets
from restore.degradations import DEGRADATIONS
from restore.evaluation.protocols import PROTOCOLS
from restore.tasks import TASKS


def test_every_record_names_what_exists_and_holds_values_of_the_right_type() -> None:
    for name, dataset in datasets().items():
        assert name == dataset.name
        assert dataset.task in TASKS
        assert dataset.protocol is None or dataset.protocol in PROTOCOLS
        assert dataset.degradation is None or dataset.degradation in DEGRADATIONS
        assert dataset.colour in ("rgb", "grey", "mixed")
        assert dataset.scored_split in dataset.splits
        for text in (dataset.summary, dataset.paper, dataset.source, dataset.licence, *dataset.used_in):
            assert isinstance(text, str) and text
        for split in dataset.splits.values():
            assert split.pictures is None or type(split.pictures) is int
            assert split.layouts


def test_the_rain13k_parts_are_as_many_as_the_paper_counts() -> None:
    # Rain14000's 11,200, Rain1800, Rain800's 700 and Rain12: 13,712 in CS-KiT's section on deraining.
    assert datasets()["Rain13K"].splits["train"].pictures == 11200 + 1800 + 700 + 12


RECORD = """
[datasets.Mine]
summary = "s"
task = "denoise"
paper = "p"
source = "s"
licence = "l"
folders = ["Mine", "mine"]
splits.validation = { pictures = 3, folder = "val", layouts = ["files", "blocks"] }

[layouts.files]
origin = "people"
clean = "{split}/*"
within = ["", "{folder}", "data/{folder}/{split}"]

[layouts.blocks]
origin = "authors"
degraded = ["noisy.mat", "Noisy"]
"""


def test_layouts_are_filled_in_with_the_names_of_the_set_and_the_split() -> None:
    files, blocks = read_datasets(RECORD)["Mine"].splits["validation"].layouts
    within = ("", "Mine", "mine", "data/Mine/val", "data/mine/val")  # the set's own folders before those above them
    assert files == Layout("people", "val/*", within=within)
    assert blocks == Blocks("authors", ("noisy.mat", "Noisy"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('paper = "p"', 'papers = "p"', "Mine: .*papers"),
        ('paper = "p"', "", "Mine: .*paper"),
        ("pictures = 3", "count = 3", "Mine validation: .*count"),
        ('"blocks"]', '"block"]', "Mine validation: there is no 'block'"),
        ('origin = "people"', 'owner = "people"', "files: .*owner"),
        ("[layouts.blocks]", "[layout.blocks]", "layout"),
    ],
)
def test_a_key_that_is_unknown_or_missing_is_refused(before: str, after: str, message: str) -> None:
    assert before in RECORD
    with pytest.raises(ValueError, match=message):
        read_datasets(RECORD.replace(before, after))
