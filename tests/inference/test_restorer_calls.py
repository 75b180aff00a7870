"""Calls of a Restorer: types in and out, metadata of files, progress and cancelling."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from restore.errors import Cancelled, PictureError, UsageError
from restore.images import Picture, read_picture
from restore.inference.restorer import Restorer
from restore.networks import Network

ORIENTATION, MAKER, WIDTH = 0x0112, 0x010F, 0xA002
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="a"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def invert(tiny: type[Network]) -> Restorer:
    """White becomes black."""
    return Restorer(tiny(), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG that lies on its side, with EXIF, a profile, XMP and a resolution."""
    from PIL import ImageCms

    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "Maker"
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (40, 24), (200, 100, 50)).save(
        path, exif=exif.tobytes(), xmp=XMP, dpi=(300, 300),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    )  # fmt: skip
    return path


# What Pillow 11 and newer write if they are given it.
KEPT = {
    "JPEG": {"exif", "icc_profile", "xmp", "dpi"},
    "PNG": {"exif", "icc_profile", "dpi"},
    "WEBP": {"exif", "icc_profile", "xmp"},
    "TIFF": {"icc_profile", "dpi"},
    "BMP": {"dpi"},
}


@pytest.mark.parametrize("format", KEPT)
def test_the_image_of_a_file_is_upright_and_saves_its_metadata(invert: Restorer, photo: Path, format: str) -> None:
    restored = invert(photo)
    assert restored.size == (24, 40)
    saved = io.BytesIO()
    restored.save(saved, format)
    again = Image.open(saved)
    assert set(KEPT[format]) <= set(again.info)
    if "exif" in KEPT[format] or format == "TIFF":
        assert again.getexif().get(ORIENTATION, 1) == 1
        assert again.getexif()[MAKER] == "Maker"
    if "dpi" in KEPT[format]:
        assert again.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_arguments_of_save_come_before_what_is_kept(invert: Restorer, photo: Path, tmp_path: Path) -> None:
    invert(photo).save(tmp_path / "bare.jpg", exif=b"", icc_profile=None)
    with Image.open(tmp_path / "bare.jpg") as bare:
        assert "exif" not in bare.info and "icc_profile" not in bare.info
        assert bare.info["dpi"] == (300, 300)


def test_exif_that_no_jpeg_holds_does_not_stop_save(invert: Restorer, tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    image.info["exif"] = b"Exif\0\0" + bytes(70_000)
    invert(image).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as saved:
        assert "exif" not in saved.info


def test_a_file_may_be_a_path_bytes_or_a_stream(invert: Restorer, photo: Path) -> None:
    expected = np.asarray(invert(photo))
    data = photo.read_bytes()
    with photo.open("rb") as stream:
        given: list[Any] = [str(photo), data, bytearray(data), memoryview(data), io.BytesIO(data), stream]
        for image in given:
            np.testing.assert_array_equal(np.asarray(invert(image)), expected)


def test_a_picture_comes_back_as_a_picture(invert: Restorer, photo: Path) -> None:
    picture = read_picture(photo)
    restored = invert(picture)
    assert isinstance(restored, Picture)
    assert restored.exif == picture.exif
    np.testing.assert_array_equal(restored.pixels, 255 - picture.pixels)


def test_streams_of_text_and_broken_bytes_are_refused(invert: Restorer, photo: Path) -> None:
    with pytest.raises(UsageError, match="holds text"):
        invert(io.StringIO("text"))  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="holds text"), photo.open(encoding="utf-8") as stream:
        invert(stream)  # type: ignore[call-overload]
    with pytest.raises(PictureError, match="cannot read the bytes"):
        invert(photo.read_bytes()[:40])
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(PictureError, match="cannot read the stream"):
        invert(closed)


def test_the_profile_of_cmyk_does_not_describe_the_rgb_that_comes_back(invert: Restorer) -> None:
    image = Image.new("CMYK", (8, 8))
    image.info["icc_profile"] = b"of CMYK"
    assert "icc_profile" not in invert(image).info


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("strength", "0.5", "strength must be between 0 and 1, not '0.5'"),
        ("strength", None, "strength must be"),
        ("strength", float("nan"), "strength must be"),
        ("tile", "big", "tile is a whole number, not 'big'"),
        ("tile", None, "tile is a whole number"),
        ("tile", 40.5, "tile is a whole number, not 40.5"),
        ("tile", True, "tile is a whole number"),
        ("tile", 0, "too small"),
        ("overlap", 1.5, "overlap is a whole number"),
        ("overlap", 0, "at least 1 pixel"),
        ("memory", "1G", "memory is a whole number"),
        ("memory", 0, "memory is a number of bytes above 0"),
        ("self_ensemble", "no", "self_ensemble is True or False"),
        ("region", 7, "a region is left, top, width and height"),
        ("region", "middle", "region is X,Y,W,H or center:N, not 'middle'"),
        ("progress", 7, "progress is a function, not 7"),
        ("cancel", True, "cancel is an event, not True"),
    ],
)
def test_options_of_a_wrong_type_or_range_are_refused(invert: Restorer, option: str, value: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        invert(np.zeros((8, 8, 3), np.uint8), **cast(Any, {option: value}))
    assert "--" not in f"{caught.value.message} {caught.value.hint}"


def test_numbers_of_numpy_are_numbers(invert: Restorer) -> None:
    array = np.zeros((60, 60, 3), np.uint8)
    how = {"tile": np.int64(40), "overlap": np.uint8(4), "strength": np.float32(1), "self_ensemble": np.bool_(False)}
    np.testing.assert_array_equal(invert(array, **cast(Any, how)), 255 - array)


@pytest.mark.parametrize("restore", ["call", "picture"])
def test_a_picture_is_cancelled_as_a_call_is(invert: Restorer, restore: str) -> None:
    picture = Picture(np.zeros((60, 60, 3), np.uint8))
    do: Any = invert if restore == "call" else invert.restore_picture
    with pytest.raises(Cancelled, match="after 2 of 4 tiles"):
        do(picture, tile=40, overlap=4, progress=lambda done, total: done < 2)
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled, match="before the first tile"):
        do(picture, cancel=event)


@pytest.mark.parametrize(
    "batch",
    [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8), torch.zeros(0, 3, 8, 8), np.zeros((1, 3, 8, 8))],
    ids=["bytes", "one", "none", "array"],
)
def test_what_is_no_batch_of_floats_is_refused(invert: Restorer, batch: Any) -> None:
    with pytest.raises(UsageError, match="batch"):
        invert.restore_tensor(batch)


def test_a_restored_batch_can_be_used_in_training(invert: Restorer) -> None:
    weight = torch.ones(1, requires_grad=True)
    restored = invert.restore_tensor(torch.full((1, 3, 8, 8), 0.25))
    (weight * restored).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None and weight.grad.item() == pytest.approx(3 * 64 * 0.75)


@pytest.mark.parametrize("answer", [False, np.bool_(False)])
def test_progress_that_returns_false_cancels(invert: Restorer, answer: Any) -> None:
    calls = []

    def refuse(done: int, total: int) -> Any:
        calls.append((done, total))
        return answer

    with pytest.raises(Cancelled, match="after 1 of 4 tiles"):
        invert(np.zeros((60, 60, 3), np.uint8), tile=40, overlap=4, progress=refuse)
    assert calls == [(1, 4)]


@pytest.mark.parametrize("answer", [None, True, 0, "", []])
def test_progress_that_returns_anything_else_goes_on(invert: Restorer, answer: Any) -> None:
    calls = []

    def go_on(done: int, total: int) -> Any:
        calls.append((done, total))
        return answer

    invert(np.zeros((60, 60, 3), np.uint8), tile=40, overlap=4, progress=go_on)
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_event_cancels_between_tiles_and_before_the_first(invert: Restorer) -> None:
    event = threading.Event()
    array = np.zeros((60, 60, 3), np.uint8)
    with pytest.raises(Cancelled, match="after 1 of 4 tiles"):
        invert(array, tile=40, overlap=4, cancel=event, progress=lambda done, total: event.set())
    with pytest.raises(Cancelled, match="before the first tile"):
        invert("no such file", cancel=event)


def test_progress_of_a_batch_counts_the_tiles_of_all_pictures(invert: Restorer) -> None:
    calls: list[tuple[int, int]] = []
    invert(torch.zeros(2, 3, 8, 8), progress=lambda *tiles: calls.append(tiles))
    assert calls == [(1, 2), (2, 2)]
    with pytest.raises(UsageError, match="no picture"):
        invert(torch.zeros(0, 3, 8, 8))


def test_a_restorer_without_an_entry_names_its_network(invert: Restorer) -> None:
    assert repr(invert) == "<Restorer Tiny: no task, x1, cpu, auto>"
