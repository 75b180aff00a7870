"""The places that changed most."""

from __future__ import annotations

import numpy as np
import pytest

from restore.images import Picture
from restore.viewer.places import ChangedPlace, changed_places


def grey(height: int, width: int, level: int = 100, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), level, np.uint8)


def test_the_places_are_where_most_changed_the_most_changed_first() -> None:
    """A picture of 512 has windows of 64, which move by 16: the squares lie on that grid."""
    after = grey(512, 512)
    for left, top, more in ((16, 32, 20), (400, 64, 40), (208, 304, 30)):
        after[top : top + 64, left : left + 64] += np.uint8(more)
    assert changed_places(Picture(grey(512, 512)), Picture(after)) == (
        ChangedPlace(400, 64, 64, 64, 40.0),
        ChangedPlace(208, 304, 64, 64, 30.0),
        ChangedPlace(16, 32, 64, 64, 20.0),
    )


def test_places_lie_apart() -> None:
    rng = np.random.default_rng(0)
    after = rng.integers(0, 256, (300, 500, 3), dtype=np.uint8)
    places = changed_places(Picture(grey(300, 500)), Picture(after))
    assert len(places) == 3
    for one in places:
        for other in places:
            apart = max(abs(one.left - other.left), abs(one.top - other.top))
            assert one is other or apart >= 1.5 * 60  # windows of 62 in cells of 15


def test_equal_pictures_have_no_place() -> None:
    assert changed_places(Picture(grey(100, 200)), Picture(grey(100, 200))) == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (7, 3), (40, 33), (257, 31)])
def test_a_place_lies_inside_a_picture_of_any_size(size: tuple[int, int]) -> None:
    (place, *_) = changed_places(Picture(grey(*size)), Picture(grey(*size, level=90)))
    assert place.difference == 10
    assert place.left + place.width <= size[1] and place.top + place.height <= size[0]
    assert place.width > 0 and place.height > 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_enlarged_picture_is_compared_with_its_enlarged_input(scale: int) -> None:
    ramp = np.linspace(0, 200, 120).astype(np.uint8)[None, :, None]
    before = np.broadcast_to(ramp, (90, 120, 3)).copy()
    after = np.repeat(np.repeat(before, scale, 0), scale, 1)
    after[32 * scale : 48 * scale, 64 * scale : 80 * scale] += 50
    place = changed_places(Picture(before), Picture(after))[0]
    assert place.left < 80 * scale and place.left + place.width > 64 * scale
    assert place.top < 48 * scale and place.top + place.height > 32 * scale


def test_depths_and_channels_may_differ() -> None:
    """65535 = 257 * 255: 16-bit grey 257 * 130 is the level 130."""
    deep = Picture(np.full((64, 64, 3), 257 * 130, np.uint16))
    (place, *_) = changed_places(Picture(grey(64, 64, channels=1)), deep)
    assert place.difference == 30
    floats = Picture(np.full((64, 64, 1), 110 / 255, np.float32))
    (place, *_) = changed_places(Picture(grey(64, 64)), floats)
    assert place.difference == 10
