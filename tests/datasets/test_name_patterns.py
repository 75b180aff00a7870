from __future__ import annotations

import pytest

from restore.datasets.name_patterns import partners

NUMBERS = range(1, 13)  # also 1, 10, 11 and 12, which begin alike
WORDS = ("baboon", "barbara", "bird")


@pytest.mark.parametrize(
    ("clean", "degraded"),
    [
        ([f"norain-{i}" for i in NUMBERS], [f"rain-{i}" for i in NUMBERS]),
        ([f"{i}" for i in NUMBERS], [f"{i}x2" for i in NUMBERS]),
        (["10", "20"], ["10x2", "20x2"]),
        (WORDS, [f"{word}x4" for word in WORDS]),
        (WORDS, [f"{word}_noisy" for word in WORDS]),
        ([f"{word}_clean" for word in WORDS], [f"{word}_noisy" for word in WORDS]),
        ([f"img_{i:03d}_SRF_4_HR" for i in NUMBERS], [f"img_{i:03d}_SRF_4_LR" for i in NUMBERS]),
        ([f"{i}_GT_SRGB_{j}" for i in NUMBERS for j in "01"], [f"{i}_NOISY_SRGB_{j}" for i in NUMBERS for j in "01"]),
        ([f"{i}/sharp/{j}" for i in NUMBERS for j in "01"], [f"{i}/blur/{j}" for i in NUMBERS for j in "01"]),
    ],
)
def test_names_that_differ_by_one_pattern_are_paired_in_order(clean: list[str], degraded: list[str]) -> None:
    assert partners(clean, degraded) == dict(zip(degraded, clean, strict=True))


@pytest.mark.parametrize(("before", "behind"), [("", ""), ("norain-", "rain-"), ("clean/", "clean/")])
def test_several_versions_of_one_picture_have_the_same_partner(before: str, behind: str) -> None:
    found = partners(
        [f"{before}{i}" for i in NUMBERS], [f"{behind}{i}_{version}" for i in NUMBERS for version in "123"]
    )
    assert found == {f"{behind}{i}_{version}": f"{before}{i}" for i in NUMBERS for version in "123"}


@pytest.mark.parametrize(
    ("clean", "degraded"),
    [
        (["01", "02"], ["11", "12"]),  # the digits of a number stay together
        (["cat", "car"], ["dot", "dor"]),  # so do the letters of a word
        (["a"], ["b"]),
        (["a", "b"], ["c", "d"]),
        (["1", "2", "3"], ["2", "3", "4"]),
        (["1", "2"], ["1_1"]),  # one is left over
        (["norain-1", "norain-2"], ["rain-1", "rain-2", "rain-3"]),
        (["a1", "b1"], ["c1", "c2"]),
        ([], ["a"]),
    ],
)
def test_names_without_one_pattern_for_all_are_not_paired(clean: list[str], degraded: list[str]) -> None:
    assert partners(clean, degraded) is None
