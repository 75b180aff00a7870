from __future__ import annotations

import numpy as np

from restore.degradations.shaping import file_format, shrunk


def test_what_noise_reduction_leaves_is_sparse() -> None:
    white = np.random.default_rng(0).standard_normal((61, 70)).astype(np.float32)
    grids = np.array([[0, 0], [3, 5]])
    np.testing.assert_allclose(shrunk(white, 0, grids), white, atol=1e-5)
    left = shrunk(white, 2, grids)
    assert 0.2 < left.std() < 0.8
    assert (left**4).mean() > 3.3 * (left**2).mean() ** 2  # 3: Gaussian
    assert np.array_equal(shrunk(white, 99, grids), white)  # better than none at all


def test_files_are_lossless_jpeg_of_the_default_quality_or_any_from_60_on() -> None:
    formats = [file_format(np.random.default_rng(seed)) for seed in range(400)]
    shares = {
        "lossless": sum(quality is None for quality, _ in formats) / 400,
        "default": sum(file == (75, True) for file in formats) / 400,
    }
    assert abs(shares["lossless"] - 0.2) < 0.08 and abs(shares["default"] - 0.3) < 0.09
    drawn = {quality for quality, _ in formats if quality is not None}
    assert min(drawn) == 60 and max(drawn) == 100 and {subsampled for _, subsampled in formats} == {True, False}
