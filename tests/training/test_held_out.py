"""Held-out pictures in memory."""

from __future__ import annotations

import numpy as np
import pytest

from restore.datasets.pairs import Pair
from restore.training.held_out import HeldOut, middle


def test_held_out_pictures_of_8_bits_are_kept_in_a_byte_a_value() -> None:
    levels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    bytes_ = levels.astype(np.float32) / np.float32(255)
    noisy = bytes_ + np.float32(0.0007)
    held_out = HeldOut()
    held_out.add([Pair("a", bytes_, noisy, "grain")])
    pair = held_out[0]
    assert (pair.name, pair.kind) == ("a", "grain")
    np.testing.assert_array_equal(pair.clean, bytes_)
    np.testing.assert_array_equal(pair.degraded, noisy)
    _, clean, degraded_, _ = held_out._pairs[0]
    assert (clean.nbytes, degraded_.nbytes) == (192, 4 * 192)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_middle_of_a_pair_is_at_the_same_place_of_both(scale: int) -> None:
    small = np.arange(50 * 70 * 3, dtype=np.float32).reshape(50, 70, 3)
    pair = Pair("a", small.repeat(scale, 0).repeat(scale, 1), small)
    cut = middle(pair, 24 * scale)
    assert cut.degraded.shape == (24, 24, 3)
    np.testing.assert_array_equal(cut.clean, cut.degraded.repeat(scale, 0).repeat(scale, 1))
    # (50 - 24) / 2 = 13 and (70 - 24) / 2 = 23, less what is left when they are divided by 16.
    np.testing.assert_array_equal(cut.degraded, small[0:24, 16:40])
    assert middle(pair, 1000).degraded.shape == small.shape
