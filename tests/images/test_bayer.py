from __future__ import annotations

import numpy as np
import pytest

from restore.errors import PictureError
from restore.images.bayer import PATTERNS, as_rggb, mosaic

PICTURE = np.random.default_rng(0).integers(1, 256, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pixel_keeps_the_colour_of_its_filter(pattern: str) -> None:
    seen = mosaic(PICTURE, pattern)
    for y, x in np.ndindex(6, 8):
        channel = "RGB".index(pattern[y % 2 * 2 + x % 2])
        assert seen[y, x, channel] == PICTURE[y, x, channel]
        assert np.count_nonzero(seen[y, x]) == 1


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("is_grey", [True, False])
def test_a_mosaic_of_any_pattern_and_form_becomes_rggb_around_the_same_values(pattern: str, is_grey: bool) -> None:
    seen = mosaic(PICTURE, pattern)
    rggb, (row, column) = as_rggb(seen.max(axis=-1, keepdims=True) if is_grey else seen, pattern)
    np.testing.assert_array_equal(rggb, mosaic(rggb, "RGGB"))
    np.testing.assert_array_equal(rggb[row:, column:], seen)
    assert rggb.all(axis=-1).sum() == 0 and np.count_nonzero(rggb) == rggb.shape[0] * rggb.shape[1]


def test_a_picture_that_is_no_such_mosaic_is_refused_and_the_pattern_that_fits_named() -> None:
    with pytest.raises(PictureError, match="not a mosaic of GRBG") as refused:
        as_rggb(mosaic(PICTURE, "BGGR"), "GRBG")
    assert refused.value.hint == "use --pattern BGGR"
    with pytest.raises(PictureError, match="the picture is not a mosaic"):
        as_rggb(PICTURE, "RGGB")
    with pytest.raises(PictureError, match="1 x 6 pixels lacks colours"):
        as_rggb(PICTURE[:, :1], "RGGB")
