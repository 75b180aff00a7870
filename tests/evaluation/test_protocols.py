from __future__ import annotations

import itertools

import numpy as np
import pytest

from restore.evaluation.protocols import PROTOCOLS


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def in_unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) / 255


def test_protocols_are_keyed_by_their_names() -> None:
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


def test_protocols_that_round_compare_what_a_file_would_hold() -> None:
    clean = noise(16, 16, 3).clip(10, 240)
    restored = in_unit(clean) + 0.6 / 255  # by a file off by 1, in fact by 0.6
    for name, off in (("rgb", 1), ("rgb-matlab", 1), ("rgb-float", 0.6)):
        assert PROTOCOLS[name].compare(restored, in_unit(clean))[0] == pytest.approx(20 * np.log10(255 / off))


def test_what_leaves_the_range_is_clipped_by_every_protocol() -> None:
    clean = np.ones((256, 256, 3))
    assert all(p.compare(clean + 3, clean, with_ssim=False)[0] == float("inf") for p in PROTOCOLS.values())


def test_the_deraining_scripts_differ_in_the_rounding_of_luma_alone() -> None:
    clean, restored = noise(20, 20, 3), noise(20, 20, 3, seed=1)
    y, rounded = (16 + (65.481 * p[..., 0] + 128.553 * p[..., 1] + 24.966 * p[..., 2]) / 255 for p in (clean, restored))
    exact = 10 * np.log10(255**2 / np.mean((y - rounded) ** 2))
    assert PROTOCOLS["y-float"].compare(in_unit(restored), in_unit(clean))[0] == pytest.approx(exact)
    whole = 10 * np.log10(255**2 / np.mean((np.round(y) - np.round(rounded)) ** 2))
    assert PROTOCOLS["y"].compare(in_unit(restored), in_unit(clean))[0] == pytest.approx(whole)
    assert abs(exact - whole) < 0.1


def test_a_border_as_wide_as_the_scale_does_not_count() -> None:
    clean = noise(20, 20, 3)
    for scale in (2, 3, 4):
        restored = clean.copy()
        restored[:scale] = restored[:, -scale:] = 0
        inside = PROTOCOLS["y-border"].compare(in_unit(restored), in_unit(clean), scale=scale)
        assert inside[0] == float("inf") and inside[1] == pytest.approx(1)
        assert PROTOCOLS["y"].compare(in_unit(restored), in_unit(clean), scale=scale)[0] < 30
        assert PROTOCOLS["y-border"].compare(in_unit(restored), in_unit(clean), scale=scale - 1)[0] < 30


def test_blocks_are_scored_one_by_one_and_averaged() -> None:
    clean, restored = noise(256, 512, 3), noise(256, 512, 3)
    restored[:, 256:] = clean[:, 256:] ^ 1  # off by 1 there
    restored[:, :256] = clean[:, :256] ^ 2  # off by 2 here
    score, _ = PROTOCOLS["sidd"].compare(in_unit(restored), in_unit(clean), with_ssim=False)
    assert score == pytest.approx((20 * np.log10(255) + 20 * np.log10(255 / 2)) / 2)


def test_a_protocol_names_the_smallest_picture_that_it_takes() -> None:
    for protocol, scale in itertools.product(PROTOCOLS.values(), (1, 4)):
        side = protocol.smallest_side(scale)
        picture = in_unit(noise(side, side, 3))
        scores = protocol.compare(picture, picture, scale=scale)
        assert scores[0] == float("inf") and scores[1] == pytest.approx(1)
        with pytest.raises(ValueError):
            protocol.compare(picture[1:], picture[1:], scale=scale)
