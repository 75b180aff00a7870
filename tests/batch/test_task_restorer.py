from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from restore.batch.task_restorer import RestorerChoice, load_restorer
from restore.errors import UsageError
from restore.images import Picture
from restore.tasks import TASKS

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def test_a_task_gets_its_default_weights_on_the_device_that_is_named() -> None:
    restorer, found = load_restorer(RestorerChoice(TASKS["denoise"], device="cpu"))
    assert found.entry is not None and found.entry.name == "tiny-denoise"
    assert restorer.device == torch.device("cpu")
    restored = restorer.restore_picture(Picture(np.full((4, 5, 3), 200, np.uint8)))
    assert (restored.picture.pixels == 55).all()  # the tiny network inverts


def test_blind_weights_take_any_level(tiny_file: Path) -> None:
    for weights in (None, str(tiny_file)):
        _, found = load_restorer(RestorerChoice(TASKS["denoise"], weights, level=12.5))
        assert found.path == tiny_file


def test_weights_of_another_task_are_refused() -> None:
    with pytest.raises(UsageError, match="the weights tiny-denoise are for denoise, not for derain") as raised:
        load_restorer(RestorerChoice(TASKS["derain"], "tiny-denoise"))
    assert raised.value.hint == "leave out --weights, or use `restore denoise`"


def test_a_file_of_weights_for_another_task_is_refused_too(tiny_file: Path) -> None:
    with pytest.raises(UsageError, match="are for denoise, not for upscale") as raised:
        load_restorer(RestorerChoice(TASKS["upscale"], str(tiny_file)))
    assert str(tiny_file) in raised.value.message


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        load_restorer(RestorerChoice(TASKS["denoise"], threads=3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
