"""The comparison as one picture."""

from __future__ import annotations

import numpy as np
import pytest

from restore.images import Picture
from restore.viewer.sheet import comparison_sheet


def flat(level: int, size: tuple[int, int] = (300, 400)) -> Picture:
    return Picture(np.full((*size, 3), level, np.uint8))


def test_before_is_on_the_left_and_after_on_the_right() -> None:
    sheet = comparison_sheet(flat(90), flat(200)).pixels
    assert sheet.shape[1] == 1616
    middle = 24 + 796 * 300 // 400 // 2  # of the first row
    assert (sheet[middle, 400] == 90).all() and (sheet[middle, 1200] == 200).all()


def test_the_places_follow_in_pairs() -> None:
    sheet = comparison_sheet(flat(90), flat(200)).pixels
    row = sheet[-100, :, 0]
    changes = [int(level) for level in row[np.flatnonzero(np.diff(row.astype(int), prepend=-1))] if level != 48]
    assert changes == [90, 200] * 3


def test_equal_pictures_have_only_the_whole() -> None:
    assert len(comparison_sheet(flat(90), flat(90)).pixels) < len(comparison_sheet(flat(90), flat(91)).pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (33, 7)])
def test_pictures_of_any_shape_have_a_sheet_of_bounded_size(size: tuple[int, int]) -> None:
    sheet = comparison_sheet(flat(10, size), flat(200, size)).pixels
    assert sheet.shape[1] == 1616 and len(sheet) < 5_000


def test_a_smaller_input_is_enlarged() -> None:
    sheet = comparison_sheet(flat(90, (75, 100)), flat(200)).pixels
    assert (sheet[300, 400] == 90).all()


def test_the_captions_name_the_picture_and_say_that_nothing_changed() -> None:
    def captions(name: str, after: int) -> np.ndarray:
        return comparison_sheet(flat(90), flat(after), name=name).pixels[:24]

    plain, named, same = captions("", 200), captions("drops.png", 200), captions("", 90)
    assert (named[:, :816] != plain[:, :816]).any() and (named[:, 816:] == plain[:, 816:]).all()
    assert (same[:, 816:] != plain[:, 816:]).any() and (same[:, :816] == plain[:, :816]).all()


@pytest.mark.parametrize("name", ["a\nb\x1b[31m\udcff.png", "\u202egnp.exe", "\u00e9\u6771\u4eac.png", "long" * 1000])
def test_any_name_fits_above_its_picture(name: str) -> None:
    sheet, plain = (comparison_sheet(flat(90), flat(200), name=one).pixels for one in (name, ""))
    assert (sheet[24:] == plain[24:]).all() and (sheet[:24, 816:] == plain[:24, 816:]).all()


def test_letters_that_the_font_lacks_are_drawn_as_the_nearest_ones() -> None:
    def caption(name: str) -> np.ndarray:
        return comparison_sheet(flat(90), flat(200), name=name).pixels[:24]

    np.testing.assert_array_equal(caption("\u00c4rger.png"), caption("Arger.png"))
    np.testing.assert_array_equal(caption("\u6771\u4eac.png"), caption("??.png"))
