from __future__ import annotations

import itertools

import numpy as np
import PIL.Image
import pytest
from drawn_pictures import pairs, photo

from restore.degradations import DEGRADATIONS, Image, jpeg, to_8_bits
from restore.degradations.recompression import resized_jpegs, shifted_jpegs, twice_saved_jpegs

CLEAN = to_8_bits(photo(48, 56))


def saved(x: Image, quality: int) -> list[Image]:
    return [jpeg(x, quality, chroma_subsampling=is_subsampled) for is_subsampled in (True, False)]


def test_saved_twice_is_the_jpeg_of_a_jpeg_and_both_qualities_are_of_the_range() -> None:
    possible = {
        again.tobytes()
        for first, second in itertools.product((20, 21), repeat=2)
        for once in saved(CLEAN, first)
        for again in saved(once, second)
    }
    made = {x.tobytes() for x in [degraded for _, degraded in pairs(twice_saved_jpegs((20, 21)), CLEAN, 150)]}
    assert made <= possible and len(made) > len(possible) / 2


def test_the_second_quality_is_more_often_the_higher_one_than_the_lower_one() -> None:
    def twice(first: int, second: int) -> set[bytes]:
        return {again.tobytes() for once in saved(CLEAN, first) for again in saved(once, second)}

    made = [x.tobytes() for x in [degraded for _, degraded in pairs(twice_saved_jpegs((20, 21)), CLEAN, 400)]]
    # Half of the second qualities are drawn from the first upwards, the others from the whole range.
    for pair, share in (((20, 21), 1 / 4), ((21, 20), 1 / 8)):
        possible = twice(*pair)
        count = len([x for x in made if x in possible])
        assert abs(count / 400 - share) < 3.5 * np.sqrt(share * (1 - share) / 400)


def test_a_shifted_grid_lies_across_the_first_one() -> None:
    clean, quality = to_8_bits(photo(32)), 20
    possible = set()
    for down, right in itertools.product(range(1, 16), repeat=2):
        larger = np.pad(clean, ((down, 0), (right, 0), (0, 0)), mode="symmetric")
        for once in saved(larger, quality):
            possible |= {x.tobytes() for x in saved(np.ascontiguousarray(once[down:, right:]), quality)}
    made = {x.tobytes() for x in [degraded for _, degraded in pairs(shifted_jpegs((quality, quality)), clean, 40)]}
    assert made <= possible and len(made) > 20
    unshifted = {again.tobytes() for once in saved(clean, quality) for again in saved(once, quality)}
    assert not made & unshifted


def test_a_resized_jpeg_has_a_reference_that_was_resized_alike() -> None:
    clean, quality, plain, scales = to_8_bits(photo(60, 80)), 30, 0, []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        degradation = resized_jpegs((quality, quality))(generator)
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


@pytest.mark.parametrize("name", ["jpeg-grey", "jpeg-twice", "jpeg-shifted", "jpeg-resized", "any-jpeg"])
def test_qualities_are_the_callers(name: str) -> None:
    clean = CLEAN
    errors = {}
    for quality in (10.0, 90.0):
        pairs = []
        for seed in range(12):
            generator = np.random.default_rng(seed)
            pairs.append(DEGRADATIONS[name]((quality, quality))(generator).apply(clean, generator))
        errors[quality] = float(np.median([np.abs(a - b).mean() for a, b in pairs]))
    assert errors[10.0] > 2 * errors[90.0]
