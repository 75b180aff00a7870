from __future__ import annotations

import dataclasses

import pytest

from restore.training.recipe import load_recipe
from restore.training.schedules import Phase, StepCrops, crops_of, learning_rate, phases, share_of, stretched

RECIPE = dataclasses.replace(
    load_recipe("cs-kit-s-denoise"), steps=14, stages=(), warm_up=4, learning_rate=1.0, final_learning_rate=0.2
)


def test_the_learning_rate_warms_up_linearly_and_falls_by_a_half_cosine() -> None:
    assert [learning_rate(RECIPE, step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    # Halfway, at step 4 + 10 / 2, the cosine is 0; a quarter before it is sqrt(1/2) of the half height 0.4.
    assert learning_rate(RECIPE, 9) == pytest.approx(0.6)
    long = dataclasses.replace(RECIPE, steps=12)
    assert learning_rate(long, 6) == pytest.approx(0.6 + 0.4 * 0.5**0.5)
    assert learning_rate(RECIPE, 14) == pytest.approx(0.2)


def test_the_cosine_can_wait_as_drsformers_does() -> None:
    paper = load_recipe("drsformer-rain200h")
    # Section 4.1: 1e-4 for 92K iterations, then a cosine to 1e-6 in 208K.
    assert learning_rate(paper, 0) == learning_rate(paper, 92_000) == 1e-4
    assert learning_rate(paper, 92_001) < 1e-4
    assert learning_rate(paper, 92_000 + 104_000) == pytest.approx((1e-4 + 1e-6) / 2)
    assert learning_rate(paper, 300_000) == pytest.approx(1e-6)


def test_the_rate_is_halved_as_panets_is() -> None:
    paper = load_recipe("panet-demosaic")
    # Section 4.2: 1e-4, halved after every 200 epochs, of 1,000 batches each.
    assert [learning_rate(paper, step) for step in (0, 199_999, 200_000, 400_000)] == [1e-4, 1e-4, 5e-5, 2.5e-5]
    assert learning_rate(dataclasses.replace(paper, final_learning_rate=4e-5), 400_000) == 4e-5


def test_every_crop_of_a_run_with_stages_has_its_own_number() -> None:
    recipe = dataclasses.replace(RECIPE, steps=6, batch=2, crop=128, stages=((2, 8, 32), (3, 4, 64)))
    found = [crops_of(recipe, step) for step in range(6)]
    assert [crops.side for crops in found] == [32, 32, 64, 128, 128, 128]
    numbers = [list(crops.numbers) for crops in found]
    assert [len(n) for n in numbers] == [8, 8, 4, 2, 2, 2]
    assert [n for batch in numbers for n in batch] == list(range(26))


def test_phases_are_the_steps_that_cost_the_same() -> None:
    recipe = dataclasses.replace(
        RECIPE, steps=100, stages=((40, 8, 64), (300, 4, 96)), local_steps=70, batch=2, crop=128
    )
    assert phases(recipe) == [
        Phase(40, 8, 64, attends=False), Phase(30, 4, 96, attends=False), Phase(30, 4, 96, attends=True),
    ]  # fmt: skip
    assert phases(dataclasses.replace(recipe, stages=(), local_steps=0)) == [Phase(100, 2, 128, attends=True)]


def test_a_recipe_of_other_steps_keeps_the_shares_of_its_parts() -> None:
    recipe = dataclasses.replace(
        RECIPE, steps=1000, stages=((400, 8, 64), (500, 4, 96)), local_steps=700, hold=100, warm_up=200
    )
    half = stretched(recipe, 500)
    assert (half.steps, half.stages, half.local_steps, half.hold) == (500, ((200, 8, 64), (250, 4, 96)), 350, 50)
    assert half.warm_up == 125  # a quarter at most
    assert stretched(recipe, 1).stages == ()  # parts of less than a step go


def test_without_stages_step_n_takes_the_nth_batch() -> None:
    assert crops_of(dataclasses.replace(RECIPE, batch=3, crop=64), 5) == StepCrops(range(15, 18), 64)


@pytest.mark.parametrize(("length", "count"), [(8, 2), (7, 3), (3, 3), (2, 4)])
def test_shares_are_all_of_it_and_as_alike_as_can_be(length: int, count: int) -> None:
    shares = [share_of(range(10, 10 + length), index, count) for index in range(count)]
    assert [n for share in shares for n in share] == list(range(10, 10 + length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
