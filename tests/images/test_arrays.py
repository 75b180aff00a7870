from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from restore.errors import PictureError, UsageError
from restore.inference.restorer import Restorer
from restore.networks import Network

SIZE = (20, 24)


@pytest.fixture
def invert(tiny: type[Network]) -> Restorer:
    """White becomes black."""
    return Restorer(tiny(), device="cpu")


def noise(shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 1), (*SIZE, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_comes_back_as_an_array(invert: Restorer, shape: tuple[int, ...], dtype: Any) -> None:
    image = noise(shape, dtype)
    restored = invert(image)
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, np.iinfo(dtype).max - image)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_come_back_as_such(invert: Restorer, dtype: Any) -> None:
    image = (noise((*SIZE, 3)) / 255).astype(dtype)
    restored = invert(image)
    assert restored.dtype == dtype
    np.testing.assert_allclose(restored, 1 - image, atol=1e-3 if dtype == np.float16 else 1e-6)


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_passes_by(invert: Restorer, channels: int) -> None:
    image = noise((*SIZE, channels))
    image[..., -1] |= 1  # colours under alpha 0 stay as they are
    restored = invert(image)
    np.testing.assert_array_equal(restored[..., :-1], 255 - image[..., :-1])
    np.testing.assert_array_equal(restored[..., -1], image[..., -1])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pillow_image_comes_back_as_one_with_its_profile(invert: Restorer, mode: str) -> None:
    image = Image.fromarray(noise((*SIZE, len(mode)) if len(mode) > 1 else SIZE) | 1, mode=None)
    assert image.mode == mode
    image.info |= {"icc_profile": b"profile", "dpi": (300, 300), "progressive": 1}
    restored = invert(image)
    assert (restored.mode, restored.size) == (mode, image.size)
    assert restored.info == {"icc_profile": b"profile", "dpi": (300, 300)}
    colours = len(mode) - mode.endswith("A")
    np.testing.assert_array_equal(np.asarray(restored)[..., :colours], 255 - np.asarray(image)[..., :colours])


def test_other_pillow_modes_become_rgb_or_stay_16_bits(invert: Restorer) -> None:
    palette = Image.fromarray(noise((*SIZE, 3))).quantize(16)
    np.testing.assert_array_equal(np.asarray(invert(palette)), 255 - np.asarray(palette.convert("RGB")))
    assert invert(palette.convert("CMYK")).mode == "RGB"
    deep = Image.fromarray(noise(SIZE, np.uint16))
    assert (deep.mode, invert(deep).mode) == ("I;16", "I;16")
    np.testing.assert_array_equal(np.asarray(invert(deep)), 65535 - np.asarray(deep))


@pytest.mark.parametrize("mode", ["I;16B", "I;16L"])
def test_sixteen_bits_of_any_byte_order_keep_their_values(invert: Restorer, mode: str) -> None:
    deep = noise(SIZE, np.uint16)
    image = Image.frombytes(mode, SIZE[::-1], deep.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    np.testing.assert_array_equal(np.asarray(invert(image)), 65535 - deep)


def test_premultiplied_grey_becomes_plain(invert: Restorer) -> None:
    plain = Image.fromarray(np.dstack([noise(SIZE), np.full(SIZE, 255, np.uint8)]))
    np.testing.assert_array_equal(np.asarray(invert(plain.convert("La"))), np.asarray(invert(plain)))


@pytest.mark.parametrize("type_", [">u2", "<u2", ">f4", ">f8", "f2", "g"])
@pytest.mark.parametrize("layout", ["plain", "fortran", "mirrored", "read-only"])
def test_byte_order_and_layout_of_an_array_change_nothing_but_its_type(
    invert: Restorer, type_: str, layout: str
) -> None:
    levels = noise((*SIZE, 3))
    array = levels.astype(type_) * 257 if type_.endswith("u2") else (levels / 255).astype(type_)
    array = np.asarray(array, type_)
    given = {
        "plain": array,
        "fortran": np.asfortranarray(array),
        "mirrored": np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1],
        "read-only": np.frombuffer(array.tobytes(), type_).reshape(array.shape),
    }[layout]
    before = given.copy()
    restored = invert(given)
    assert restored.dtype == np.dtype(type_)
    white = 65535 if type_.endswith("u2") else 1
    np.testing.assert_allclose(restored.astype(float), white - array.astype(float), atol=1e-3)
    np.testing.assert_array_equal(given, before)


def test_a_matrix_is_an_array(invert: Restorer) -> None:
    grey = noise(SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        np.testing.assert_array_equal(invert(np.matrix(grey)), 255 - grey)


def test_a_path_gives_a_pillow_image(invert: Restorer, tmp_path: Path) -> None:
    image = noise((*SIZE, 3))
    Image.fromarray(image).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(np.asarray(invert(path)), 255 - image)
    Image.fromarray(noise(SIZE, np.uint16)).save(tmp_path / "deep.png")
    restored = np.asarray(invert(tmp_path / "deep.png"))
    assert restored.dtype == np.uint8
    np.testing.assert_allclose(restored, 255 - noise(SIZE, np.uint16) / 257, atol=0.51)
    with pytest.raises(PictureError, match=r"gone\.png"):
        invert(tmp_path / "gone.png")


@pytest.mark.parametrize("shape", [(3, *SIZE), (1, *SIZE), (2, 3, *SIZE)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
def test_a_tensor_comes_back_as_a_tensor(invert: Restorer, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    levels = torch.from_numpy(noise(shape))
    image = levels if dtype == torch.uint8 else (levels / 255).to(dtype)
    restored = invert(image)
    assert restored.dtype == dtype and restored.shape == shape
    white = 255 if dtype == torch.uint8 else 1
    torch.testing.assert_close(restored.double(), white - image.double(), rtol=0, atol=4e-3)


def test_a_picture_in_tiles_is_the_whole_one(invert: Restorer) -> None:
    image = noise((90, 70, 3))
    np.testing.assert_array_equal(invert(image, tile=64, overlap=16), 255 - image)
    np.testing.assert_array_equal(invert(image, strength=0.0), image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (7, "cannot restore an object of type int"),
        (np.zeros((4, 4, 5), np.uint8), r"an array of shape \(4, 4, 5\) is not a picture"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"an array of shape \(2, 4, 4, 3\) is not a picture"),
        (np.zeros((0, 4, 3), np.uint8), "is not a picture"),
        (np.zeros((4, 4), np.int32), "an array of int32 is not a picture"),
        (np.full((4, 4), 200.0), r"float pictures must be in \[0, 1\]"),
        (np.full((4, 4), -0.1), r"float pictures must be in \[0, 1\]"),
        (np.full((4, 4), np.nan), "NaN or infinity"),
        (np.full((4, 4), -np.inf), "NaN or infinity"),
        (np.zeros((4, 4), ">u4"), "an array of >u4 is not a picture"),
        (np.zeros((4, 4), bool), "an array of bool is not a picture"),
        (torch.zeros(4, 4), r"a tensor of shape \(4, 4\) is not a picture"),
        (torch.zeros(8, 9, 3), r"a tensor of shape \(8, 9, 3\) is not a picture"),
        (torch.zeros(3, 0, 4), "is not a picture"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "a tensor of torch.int64 on cpu is not a picture"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), "a tensor of torch.bool"),
        (torch.zeros(3, 4, 4, dtype=torch.complex64), "a tensor of torch.complex64"),
        (torch.zeros(3, 4, 4).to_sparse(), "is not a picture"),
        (torch.zeros(3, 4, 4, device="meta"), "on meta is not a picture"),
        (Image.new("F", (4, 4)), "cannot restore a Pillow image of mode F"),
    ],
)
def test_what_is_no_picture_is_refused(invert: Restorer, image: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        invert(image)
    assert caught.value.hint
