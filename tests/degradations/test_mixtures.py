"""Each mixture draws every kind with its share."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from drawn_pictures import at, flat, pairs, photo

from restore.degradations import Degradation, Draw, Image, jpeg, mixtures, to_8_bits
from restore.degradations.mixtures import WITH_STREAKS, any_jpegs, any_rain, any_rain_with, blind_blur, blind_noise


def saved(x: Image, quality: int) -> list[Image]:
    return [jpeg(x, quality, chroma_subsampling=is_subsampled) for is_subsampled in (True, False)]


def test_blind_noise_draws_every_kind_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[str] = Counter()

    def counting(name: str) -> Draw:
        def draw(_: np.random.Generator) -> Degradation:
            drawn[name] += 1
            return Degradation(lambda clean, g: (clean, clean))

        return draw

    table = mixtures._NOISE
    kinds = {draw.__name__: share for draw, share, _ in table}
    assert sum(kinds.values()) == pytest.approx(1)
    monkeypatch.setattr(
        mixtures, "_NOISE", tuple((counting(d.__name__), share, 0.0) for d, share, _ in mixtures._NOISE)
    )
    total = 3000
    for seed in range(total):
        blind_noise(at(seed))
    for name, share in kinds.items():
        assert abs(drawn[name] / total - share) < 4 * np.sqrt(share * (1 - share) / total), name


def test_a_tenth_of_the_blur_mixture_is_sharp() -> None:
    same = sum(bool((reference == degraded).all()) for reference, degraded in pairs(blind_blur, photo(), 400))
    assert abs(same / 400 - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 400)


def test_a_fifth_of_the_rain_mixture_is_dry() -> None:
    same = sum(bool((reference == degraded).all()) for reference, degraded in pairs(any_rain, photo(), 400))
    assert abs(same / 400 - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 400)


def test_streaks_of_the_rain_mixture_can_come_from_elsewhere() -> None:
    def marked(generator: np.random.Generator) -> Degradation:
        return Degradation(lambda clean, _: (clean, flat(1.0, 32)), is_oriented=True)

    marks = [degraded.min() > 0.99 for _, degraded in pairs(any_rain_with(marked), flat(0.3, 32), 300)]
    assert abs(np.mean(marks) - 0.45) < 4 * np.sqrt(0.45 * 0.55 / 300)
    assert WITH_STREAKS["rain"](marked) is marked
    assert set(WITH_STREAKS) == {"rain", "any-rain"}


def test_good_files_are_in_the_jpeg_mixture_and_stay_what_they_are() -> None:
    clean = to_8_bits(photo(48, 56))
    results = [degraded for _, degraded in pairs(any_jpegs((10, 40)), clean, 600)]
    same = sum(x.shape == clean.shape and bool((x == clean).all()) for x in results)
    fine = {x.tobytes() for quality in range(96, 101) for x in saved(clean, quality)}
    nearly = sum(x.tobytes() in fine for x in results)
    for count, share in ((same, 0.02), (nearly, 0.03)):
        assert abs(count / 600 - share) < 3.5 * np.sqrt(share * (1 - share) / 600)


def test_the_jpeg_mixture_has_high_qualities_as_well_as_low_ones() -> None:
    clean = to_8_bits(photo(48, 56))
    high = {x.tobytes() for quality in range(80, 96) for x in saved(clean, quality)}
    low = {x.tobytes() for quality in range(10, 25) for x in saved(clean, quality)}
    results = [degraded.tobytes() for _, degraded in pairs(any_jpegs((10, 95)), clean, 400)]
    # Of the half that is saved once in colour: 19 % uniform and 8 % logarithmic are above 79, 17 % and 40 % below 25.
    assert abs(sum(x in high for x in results) / 400 - 0.5 * 0.13) < 0.06
    assert abs(sum(x in low for x in results) / 400 - 0.5 * 0.29) < 0.08
