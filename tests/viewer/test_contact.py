"""The contact sheet: the original and each strength side by side, with labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from restore.images import Picture
from restore.viewer.contact import contact_sheet, mixed

GAP = 8


def panels(sheet: np.ndarray, width: int, height: int, count: int) -> list[np.ndarray]:
    cell = (sheet.shape[1] - GAP) // count - GAP
    head = sheet.shape[0] - height - GAP
    lefts = [GAP + index * (cell + GAP) for index in range(count)]
    return [sheet[head : head + height, left : left + width] for left in lefts]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_the_panels_are_the_original_and_its_mixes(dtype: Any, white: int, channels: int) -> None:
    before = np.full((120, 150, channels), 0.2 * white, dtype)
    after = np.full((120, 150, channels), 0.6 * white, dtype)
    sheet = contact_sheet(Picture(before), [mixed(before, after, strength) for strength in (0.25, 1)], [0.25, 1]).pixels
    assert sheet.dtype == dtype and sheet.shape[2] == channels
    first, second, third = panels(sheet, 150, 120, 3)
    assert np.array_equal(first, before) and np.array_equal(third, after)
    np.testing.assert_allclose(second.astype(float), 0.3 * white, atol=0.51 if white > 1 else 1e-6)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (40, 7), (3000, 20)])
def test_every_panel_has_a_label_of_its_own(width: int, height: int) -> None:
    black = Picture(np.zeros((height, width, 3), np.uint8))
    sheet = contact_sheet(black, [black.pixels] * 2, [0.4, 0.7]).pixels
    head = sheet[: sheet.shape[0] - height - GAP]
    cell = (sheet.shape[1] - GAP) // 3
    labels = [head[:, GAP + index * cell :][:, : cell - GAP] for index in range(3)]
    assert all(label.max() > 200 for label in labels)
    assert not np.array_equal(labels[0], labels[1]) and not np.array_equal(labels[1], labels[2])
    assert all((label[:, -1] == label[0, 0]).all() for label in labels)  # no label is cut
    assert all((label[-1] == label[0, 0]).all() for label in labels)


def test_the_sheet_keeps_profile_and_transparency_and_no_other_metadata() -> None:
    alpha = np.full((30, 200), 90, np.uint8)
    picture = Picture(
        np.zeros((30, 200, 3), np.uint8), alpha, icc_profile=b"profile", exif=b"exif", xmp=b"xmp", page=2, pages=3
    )
    sheet = contact_sheet(picture, [picture.pixels], [1])
    assert sheet.icc_profile == b"profile" and sheet.exif is None and sheet.xmp is None
    assert (sheet.page, sheet.pages) == (2, 3)
    assert sheet.alpha is not None and sheet.alpha.shape == sheet.pixels.shape[:2]
    assert all((panel == 90).all() for panel in panels(sheet.alpha, 200, 30, 2))
    assert (sheet.alpha == 255).any()
