from __future__ import annotations

import itertools

import cv2
import numpy as np
import PIL.Image
import pytest

from restore.degradations import DEGRADATIONS, Image, jpeg, to_8_bits
from restore.degradations.recompression import any_jpegs, resized_saved, shifted_saved, twice_saved


def photo(height: int = 48, width: int = 56) -> Image:
    """Smooth, coloured, within [0.1, 0.9]."""
    drawn = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    return to_8_bits(0.1 + 0.8 * cv2.GaussianBlur(drawn, (0, 0), 1.5))


def saved(x: Image, quality: int) -> list[Image]:
    return [jpeg(x, quality, chroma_subsampling=is_subsampled) for is_subsampled in (True, False)]


def seen(make: object, level: tuple[float, float], clean: Image, seeds: int) -> list[Image]:
    assert callable(make)
    results = []
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        results.append(make(level)(generator).apply(clean, generator)[1])
    return results


def test_saved_twice_is_the_jpeg_of_a_jpeg_and_both_qualities_are_of_the_range() -> None:
    possible = {
        again.tobytes()
        for first, second in itertools.product((20, 21), repeat=2)
        for once in saved(photo(), first)
        for again in saved(once, second)
    }
    made = {x.tobytes() for x in seen(twice_saved, (20, 21), photo(), 150)}
    assert made <= possible and len(made) > len(possible) / 2


def test_the_second_quality_is_more_often_the_higher_one_than_the_lower_one() -> None:
    def twice(first: int, second: int) -> set[bytes]:
        return {again.tobytes() for once in saved(photo(), first) for again in saved(once, second)}

    made = [x.tobytes() for x in seen(twice_saved, (20, 21), photo(), 400)]
    # Half of the second qualities are drawn from the first upwards, the others from the whole range.
    for pair, share in (((20, 21), 1 / 4), ((21, 20), 1 / 8)):
        possible = twice(*pair)
        count = len([x for x in made if x in possible])
        assert abs(count / 400 - share) < 3.5 * np.sqrt(share * (1 - share) / 400)


def test_a_shifted_grid_lies_across_the_first_one() -> None:
    clean, quality = photo(32, 32), 20
    possible = set()
    for down, right in itertools.product(range(1, 16), repeat=2):
        larger = np.pad(clean, ((down, 0), (right, 0), (0, 0)), mode="symmetric")
        for once in saved(larger, quality):
            possible |= {x.tobytes() for x in saved(np.ascontiguousarray(once[down:, right:]), quality)}
    made = {x.tobytes() for x in seen(shifted_saved, (quality, quality), clean, 40)}
    assert made <= possible and len(made) > 20
    unshifted = {again.tobytes() for once in saved(clean, quality) for again in saved(once, quality)}
    assert not made & unshifted


def test_a_resized_jpeg_has_a_reference_that_was_resized_alike() -> None:
    clean, quality, plain, scales = photo(60, 80), 30, 0, []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        degradation = resized_saved((quality, quality))(generator)
        reference, degraded = degradation.apply(clean, generator)
        size = (round(80 * degradation.scale), round(60 * degradation.scale))
        assert degradation.grid >= 16 * degradation.scale
        scales.append(degradation.scale)

        def resized(x: Image, code: int, size: tuple[int, int] = size) -> bytes:
            levels = PIL.Image.fromarray(np.round(x * 255).astype(np.uint8))
            return (np.asarray(levels.resize(size, PIL.Image.Resampling(code))).astype(np.float32) / 255).tobytes()

        filters = [code for code in (1, 2, 3) if resized(clean, code) == reference.tobytes()]
        assert len(filters) == 1  # Lanczos, bilinear or bicubic
        plain += degraded.tobytes() in {resized(x, filters[0]) for x in saved(clean, quality)}
    assert abs(plain - 20) < 3 * np.sqrt(10)  # the others were saved again
    assert 0.5 <= min(scales) < 0.6 and 1.3 < max(scales) <= 1.5


def test_good_files_are_in_the_mixture_and_stay_what_they_are() -> None:
    clean = photo()
    results = seen(any_jpegs, (10, 40), clean, 600)
    same = sum(x.shape == clean.shape and bool((x == clean).all()) for x in results)
    fine = {x.tobytes() for quality in range(96, 101) for x in saved(clean, quality)}
    nearly = sum(x.tobytes() in fine for x in results)
    for count, share in ((same, 0.02), (nearly, 0.03)):
        assert abs(count / 600 - share) < 3.5 * np.sqrt(share * (1 - share) / 600)


def test_the_mixture_has_high_qualities_as_well_as_low_ones() -> None:
    clean = photo()
    high = {x.tobytes() for quality in range(80, 96) for x in saved(clean, quality)}
    low = {x.tobytes() for quality in range(10, 25) for x in saved(clean, quality)}
    results = [x.tobytes() for x in seen(any_jpegs, (10, 95), clean, 400)]
    # Of the half that is saved once in colour: 19 % uniform and 8 % logarithmic are above 79, 17 % and 40 % below 25.
    assert abs(sum(x in high for x in results) / 400 - 0.5 * 0.13) < 0.06
    assert abs(sum(x in low for x in results) / 400 - 0.5 * 0.29) < 0.08


@pytest.mark.parametrize("name", ["jpeg-grey", "jpeg-twice", "jpeg-shifted", "jpeg-resized", "any-jpeg"])
def test_qualities_are_the_callers(name: str) -> None:
    clean = photo()
    errors = {}
    for quality in (10.0, 90.0):
        pairs = []
        for seed in range(12):
            generator = np.random.default_rng(seed)
            pairs.append(DEGRADATIONS[name]((quality, quality))(generator).apply(clean, generator))
        errors[quality] = float(np.median([np.abs(a - b).mean() for a, b in pairs]))
    assert errors[10.0] > 2 * errors[90.0]
