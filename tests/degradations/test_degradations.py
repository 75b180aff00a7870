from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from restore.degradations import (
    DEGRADATIONS,
    Image,
    bicubic,
    gaussian_noise,
    imresize,
    jpeg,
    jpeg_luma,
    to_8_bits,
)
from restore.errors import UsageError

CLEAN = np.random.default_rng(5).random((72, 84, 3), dtype=np.float32)
SMALLER = ("bicubic", "small-jpeg", "small-noise", "small-blur", "web-picture")
RANGES = (
    {"gaussian-noise": (10.0, 50.0)}
    | dict.fromkeys(SMALLER, (3.0, 3.0))
    | dict.fromkeys(("jpeg", "jpeg-luma", "blind-jpeg"), (10.0, 40.0))
)


def made(name: str, seed: int) -> tuple[Image, Image]:
    generator = np.random.default_rng(seed)
    return DEGRADATIONS[name](RANGES.get(name))(generator).apply(CLEAN, generator)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_gives_pairs_of_the_size_it_says_in_float32(name: str) -> None:
    for seed in range(8):
        generator = np.random.default_rng(seed)
        degradation = DEGRADATIONS[name](RANGES.get(name))(generator)
        reference, degraded = degradation.apply(CLEAN.copy(), generator)
        assert reference.dtype == degraded.dtype == np.float32
        assert reference.shape == (*(round(side * degradation.scale) for side in CLEAN.shape[:2]), 3)
        assert degraded.shape == (*(side // degradation.reduction for side in reference.shape[:2]), 3)
        assert np.isfinite(degraded).all()
        if name not in ("gaussian-noise", "blind-noise", "blind-gaussian"):  # floats that nothing clips
            assert degraded.min() >= 0 and degraded.max() <= 1


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_seed_alone_fixes_a_degradation_and_the_clean_picture_is_left_alone(name: str) -> None:
    before = CLEAN.copy()
    for first, second in zip(made(name, 1), made(name, 1), strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(CLEAN, before)
    if name not in ("mosaic", "bicubic", "clean"):  # nothing in them is random
        assert len({made(name, seed)[1].tobytes() for seed in range(12)}) > 1


@pytest.mark.parametrize(
    ("name", "level", "message"),
    [
        ("jpeg", (40, 10), "40 to 10 is not a range of jpeg-quality"),
        ("jpeg", (0, 10), "0 to 10 is not a range"),
        ("gaussian-noise", (10, 300), "10 to 300 is not a range of sigma"),
        ("gaussian-noise", (float("nan"), 20), "not a range of sigma"),
        ("bicubic", None, "bicubic needs a level"),
        ("bicubic", (2, 4), "one whole scale, not 2 to 4"),
        ("bicubic", (2.5, 2.5), "one whole scale"),
        ("mosaic", (1, 2), "mosaic has no level"),
        ("jpeg", 40, "two numbers, not 40"),
        ("jpeg", (10, 20, 40), "two numbers"),
        ("jpeg", (), "two numbers"),
        ("gaussian-noise", "ab", "two numbers, not 'ab'"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(name: str, level: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DEGRADATIONS[name](level)


def test_blind_noise_is_the_same_whatever_range_is_asked_for() -> None:
    assert DEGRADATIONS["blind-noise"]((1, 2)) is DEGRADATIONS["blind-noise"](None)


def test_sigma_is_drawn_from_the_whole_range() -> None:
    clean = np.full((64, 64, 3), 0.5, np.float32)
    sigmas = []
    for seed in range(80):
        generator = np.random.default_rng(seed)
        _, noisy = DEGRADATIONS["gaussian-noise"]((10, 50))(generator).apply(clean, generator)
        sigmas.append(float((noisy - clean).std() * 255))
    # A standard deviation of n samples spreads by 1 / sqrt(2 n) of itself: here 0.6 %.
    assert 9.7 < min(sigmas) < 14 and 46 < max(sigmas) < 51.5


def test_the_page_of_the_degradations_lists_every_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "degradations.md").read_text(encoding="utf-8")
    tables = page.partition("## Speed")[0].splitlines()
    listed = {name for line in tables if line.startswith("| `") for name in re.findall(r"`(.+?)`", line.split("|")[1])}
    assert listed == set(DEGRADATIONS)


@pytest.mark.parametrize(
    ("picture", "match"),
    [
        ((CLEAN * 255).astype(np.uint8), "array of uint8"),
        ((CLEAN * 65535).astype(np.uint16), "array of uint16"),
        ((CLEAN * 255).astype(np.int64), "array of int64"),
        (CLEAN > 0.5, "array of bool"),
        (CLEAN.astype(np.float16), "array of float16"),
        (CLEAN.astype(np.complex64), "array of complex64"),
        (CLEAN[..., 0], "shape"),
        (np.zeros((8, 8, 4), np.float32), "shape"),
        (CLEAN[..., :1], "shape"),
        (CLEAN.astype(object), "array of object"),
        (torch.from_numpy(CLEAN), "type Tensor"),
        (CLEAN * 255, "are not in"),
        (CLEAN - 0.5, "values from -0.49"),
        (CLEAN * 1.05, "are not in"),
        (np.where(CLEAN < 0.5, np.float32("nan"), CLEAN), "NaN or infinity"),
        (np.where(CLEAN < 0.5, np.float32("inf"), CLEAN), "NaN or infinity"),
        (np.zeros((2, 8, 8, 3), np.float32), "shape"),
        (np.zeros((0, 8, 3), np.float32), "shape"),
        (CLEAN.tolist(), "type list"),
        (None, "type NoneType"),
    ],
    ids=[
        "uint8", "uint16", "int64", "bool", "float16", "complex64", "2d", "rgba", "grey", "object", "tensor", "255",
        "negative", "overshoot", "nan", "inf", "batch", "empty", "list", "none",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_what_is_no_picture_of_floats_is_refused(name: str, picture: Any, match: str) -> None:
    generator = np.random.default_rng(0)
    degradation = DEGRADATIONS[name](RANGES.get(name))(generator)
    with pytest.raises(UsageError, match=match):
        degradation.apply(picture, generator)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        np.asfortranarray,
        lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    ],
    ids=["float64", "big-endian", "fortran", "negative-strides"],
)
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_type_and_layout_of_the_floats_do_not_change_the_result(name: str, change: Callable[[Any], Any]) -> None:
    for seed in range(3):
        plain, other = (np.random.default_rng(seed) for _ in range(2))
        draw = DEGRADATIONS[name](RANGES.get(name))
        for one, two in zip(draw(plain).apply(CLEAN, plain), draw(other).apply(change(CLEAN), other), strict=True):
            assert one.dtype == two.dtype == np.dtype("=f4")
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("side", [1, 2])
def test_a_few_pixels_are_degraded_or_refused(name: str, side: int) -> None:
    clean = CLEAN[:side, :side]
    for seed in range(20):
        generator = np.random.default_rng(seed)
        degradation = DEGRADATIONS[name](RANGES.get(name))(generator)
        if name in SMALLER:
            with pytest.raises(UsageError, match=f"{side} x {side} has no pixel left at 1/3"):
                degradation.apply(clean, generator)
            continue
        reference, degraded = degradation.apply(clean, generator)
        assert np.isfinite(reference).all() and np.abs(degraded).max() <= 3  # sigma 75 leaves [0, 1] by 1.5 at 5 sigma


@pytest.mark.parametrize(
    "degrade",
    [
        lambda x: jpeg(x, 50),
        lambda x: jpeg_luma(x, 50),
        lambda x: bicubic(x, 2),
        lambda x: gaussian_noise(x, 10, np.random.default_rng(0)),
        to_8_bits,
    ],
    ids=["jpeg", "jpeg_luma", "bicubic", "gaussian_noise", "to_8_bits"],
)
def test_functions_refuse_bytes_and_say_how_to_convert_them(degrade: Callable[[Any], Any]) -> None:
    with pytest.raises(UsageError, match="array of uint8") as caught:
        degrade((CLEAN * 255).astype(np.uint8))
    assert caught.value.hint is not None and "astype(np.float32) / 255" in caught.value.hint


@pytest.mark.parametrize(
    "degrade",
    [lambda x: jpeg(x, 50), lambda x: jpeg_luma(x, 50), lambda x: bicubic(x, 2)],
    ids=["jpeg", "jpeg_luma", "bicubic"],
)
def test_functions_clip_noise_and_refuse_pictures_up_to_255(degrade: Callable[[Any], Any]) -> None:
    noisy = gaussian_noise(CLEAN, 255, np.random.default_rng(0))
    for one, other in zip(degrade(noisy), degrade(np.clip(noisy, 0, 1)), strict=True):
        np.testing.assert_array_equal(np.clip(one, 0, 1), np.clip(other, 0, 1))
    with pytest.raises(UsageError, match="are not in") as caught:
        degrade(CLEAN * 255)
    assert caught.value.hint == "divide by 255"


def test_resizing_takes_floats_and_bytes_and_nothing_else() -> None:
    assert imresize((CLEAN * 255).astype(np.uint8), 0.5).dtype == np.uint8
    with pytest.raises(UsageError, match="array of int64"):
        imresize((CLEAN * 255).astype(np.int64), 0.5)


@pytest.mark.parametrize(
    ("degrade", "message"),
    [
        (lambda: jpeg(CLEAN, 0), "quality is a whole number from 1 to 100, not 0"),
        (lambda: jpeg(CLEAN, 101), "not 101"),
        (lambda: jpeg(CLEAN, 50.5), "not 50.5"),  # type: ignore[arg-type]
        (lambda: jpeg(CLEAN, True), "not True"),
        (lambda: jpeg_luma(CLEAN, -5), "not -5"),
        (lambda: bicubic(CLEAN, 0), "factor is a whole number"),
        (lambda: bicubic(CLEAN, 2.5), "to 100, not 2.5"),  # type: ignore[arg-type]
        (lambda: imresize(CLEAN, 0), "scale is a number"),
        (lambda: imresize(CLEAN, float("nan")), "to 1000, not nan"),
        (lambda: gaussian_noise(CLEAN, -1, np.random.default_rng(0)), "sigma is a number from 0 to 255"),
        (lambda: gaussian_noise(CLEAN, float("nan"), np.random.default_rng(0)), "sigma is a number"),
        (
            lambda: DEGRADATIONS["clean"](None)(np.random.default_rng(0)).apply(CLEAN, cast(Any, 0)),
            "type int draws nothing",
        ),
    ],
)
def test_levels_and_generators_that_are_none_are_refused(degrade: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        degrade()
