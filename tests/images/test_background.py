"""Transparency in a format that has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.errors import PictureError, UsageError
from restore.images import Picture, write_picture
from restore.images.background import flattened, parse_background

RNG = np.random.default_rng(0)


def cut_out(dtype: type = np.uint8, channels: int = 3) -> Picture:
    """Quarters of opacity 0, 1/4, 1/2 and 1, as the depth rounds them."""
    white = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    shares = np.repeat([[0, 0.25], [0.5, 1]], 8, axis=0).repeat(8, axis=1)
    return Picture((RNG.random((16, 16, channels)) * white).astype(dtype), (shares * white).astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colour", ["white", "black", "#ff8000"])
def test_a_pixel_is_mixed_with_the_background_by_its_opacity(dtype: type, colour: str) -> None:
    picture = cut_out(dtype)
    picture.background = colour
    white = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    assert picture.alpha is not None
    share = picture.alpha[..., None] / white
    below = np.array(parse_background(colour)) / 255 * white
    mixed = flattened(picture)
    assert mixed.alpha is None and mixed.pixels.dtype == dtype
    expected = share * picture.pixels + (1 - share) * below
    assert np.abs(mixed.pixels - expected).max() <= (1e-6 if dtype is np.float32 else 0.51)


def test_grey_stays_grey_over_grey_and_becomes_rgb_over_a_colour() -> None:
    picture = cut_out(channels=1)
    picture.icc_profile = b"grey profile"
    for colour, channels in (("white", 1), ("#808080", 1), ("#808081", 3)):
        picture.background = colour
        mixed = flattened(picture)
        assert mixed.pixels.shape == (16, 16, channels)
        assert mixed.icc_profile == (b"grey profile" if channels == 1 else None)
    assert picture.notes == ["the background makes this grey RGB, which its profile does not describe; that is dropped"]


def test_a_jpeg_takes_an_opaque_alpha_and_refuses_a_transparent_pixel(tmp_path: Path) -> None:
    picture = Picture(np.full((16, 16, 3), 100, np.uint8), np.full((16, 16), 255, np.uint8))
    write_picture(picture, tmp_path / "a.jpg")
    assert picture.notes == []
    assert picture.alpha is not None
    picture.alpha[3, 3] = 254
    with pytest.raises(PictureError, match="transparency") as caught:
        write_picture(picture, tmp_path / "b.jpg")
    assert caught.value.hint is not None and "--background" in caught.value.hint
    write_picture(picture, tmp_path / "b.jpg", background="white")
    assert np.asarray(Image.open(tmp_path / "b.jpg")).tolist() == np.full((16, 16, 3), 100).tolist()  # 254/255 of 100


def test_a_format_with_transparency_keeps_it(tmp_path: Path) -> None:
    picture = cut_out()
    write_picture(picture, tmp_path / "a.png", background="white")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image)[..., 3], picture.alpha)


@pytest.mark.parametrize("text", ["puce", "#fff", "#12345g", "ffffff", "", "#ffffff0", "#ffffff\n"])
def test_what_is_no_colour_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="colour"):
        parse_background(text)
    with pytest.raises(UsageError, match="colour"):
        write_picture(cut_out(), Path("a.jpg"), background=text)
