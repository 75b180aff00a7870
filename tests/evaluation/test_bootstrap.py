from __future__ import annotations

import math

import numpy as np
import pytest

from restore.evaluation.bootstrap import differences, interval


def test_an_interval_is_that_of_the_normal_law_for_many_values() -> None:
    values = np.random.default_rng(1).normal(30, 2, 400)
    half = 1.96 * values.std() / math.sqrt(400)
    found = interval(values.tolist())
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_intervals_of_about_95_in_100_samples_hold_the_true_mean() -> None:
    generator = np.random.default_rng(2)
    held = [low <= 0 <= high for low, high in (interval(generator.normal(0, 1, 30).tolist()) for _ in range(60))]  # type: ignore[misc]
    assert 50 <= sum(held) <= 60  # 57 expected, less a little for 30 pictures


def test_an_interval_of_two_pictures_is_reached_by_drawing_one_twice() -> None:
    assert interval([20.0, 30.0]) == (20.0, 30.0)


def test_the_same_values_give_the_same_interval_and_infinite_ones_are_left_out() -> None:
    values = [30.1, 28.4, 33.0, 29.9]
    assert interval(values) == interval(values) == interval([*values, math.inf, math.nan])
    assert interval([math.inf, 30.0]) is None


def test_paired_differences_are_narrower_than_their_means() -> None:
    first = np.random.default_rng(3).normal(30, 4, 20)
    second = first + np.random.default_rng(4).normal(0.2, 0.1, 20)
    gains = interval(differences(second.tolist(), first.tolist()))
    apart = interval(second.tolist())
    assert gains is not None and apart is not None
    assert gains[0] > 0 and gains[1] - gains[0] < (apart[1] - apart[0]) / 20
