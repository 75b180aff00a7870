"""Pages of a file: one by number, all in turn, and the formats that hold several."""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from animation_files import animation, frames
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, holds_pages, read_pages, read_picture, write_pages

SIZES = ((5, 7), (9, 3), (4, 4))


def tiff(*pictures: np.ndarray) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for picture in pictures:
            writer.write(picture, photometric="rgb", metadata=None)
    return file.getvalue()


def mixed() -> list[np.ndarray]:
    """Pages of several sizes and depths."""
    rng = np.random.default_rng(1)
    kinds: tuple[type[np.unsignedinteger], ...] = (np.uint8, np.uint16, np.uint8)
    return [
        rng.integers(0, np.iinfo(kind).max, (*size, 3), dtype=kind) for size, kind in zip(SIZES, kinds, strict=True)
    ]


def test_the_pages_of_a_tiff_are_read_in_turn_with_their_own_size_and_depth() -> None:
    found = list(read_pages(io.BytesIO(tiff(*mixed()))))
    for number, (page, pixels) in enumerate(zip(found, mixed(), strict=True), 1):
        np.testing.assert_array_equal(page.pixels, pixels)
        assert (page.page, page.pages, page.duration, page.notes) == (number, 3, None, [])


def test_a_page_is_read_by_its_number() -> None:
    for number, pixels in enumerate(mixed(), 1):
        page = read_picture(io.BytesIO(tiff(*mixed())), page=number)
        np.testing.assert_array_equal(page.pixels, pixels)
        assert page.notes == []


@pytest.mark.parametrize("page", [0, 2, 10**9])
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000"])
def test_a_page_that_a_single_picture_does_not_have_is_an_error(name: str, page: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, name)
    with pytest.raises(PictureError, match=f"it has only one picture, and no page {page}") as caught:
        read_picture(io.BytesIO(file.getvalue()), page=page)
    assert caught.value.hint
    assert read_picture(io.BytesIO(file.getvalue()), page=1).pages == 1


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_the_pages_of_a_single_picture_are_that_picture(name: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (1, 2, 3)).save(file, name)
    (page,) = read_pages(io.BytesIO(file.getvalue()))
    one = read_picture(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(page.pixels, one.pixels)
    assert (page.page, page.pages, page.duration, page.loops) == (1, 1, None, 0)


def test_of_a_file_that_is_no_document_and_no_animation_only_the_first_picture_is_read() -> None:
    file = io.BytesIO()
    images = [Image.new("RGB", (20, 20), (level, 0, 0)) for level in (10, 200)]
    images[0].save(file, "AVIF", save_all=True, append_images=images[1:])
    (page,) = read_pages(io.BytesIO(file.getvalue()))
    assert page.pages == 1
    assert page.notes == ["only the first of 2 pictures in the file is used"]
    second = read_picture(io.BytesIO(file.getvalue()), page=2)
    assert second.pixels[..., 0].mean() > 150 and second.notes == []


def test_the_file_is_open_once_and_closed_early_if_the_reader_stops(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(*mixed()))
    pages = read_pages(path)
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    assert list(pages) == []
    assert len(list(read_pages(path))) == 3


def test_a_page_that_is_damaged_is_an_error_at_that_page(tmp_path: Path) -> None:
    data = tiff(*mixed())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offset = file.pages[1].tags[273].valueoffset  # type: ignore[union-attr]
    path = tmp_path / "a.tif"
    path.write_bytes(data[:offset] + b"\xff\xff\xff\x7f" + data[offset + 4 :])
    pages = read_pages(path)
    assert next(pages).page == 1
    with pytest.raises(PictureError, match=r"a\.tif"):
        next(pages)


@pytest.mark.parametrize("source", ["GIF", "TIFF"])
def test_at_most_two_pages_are_in_memory(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = animation("GIF", frames()) if source == "GIF" else tiff(*mixed())
    alive: weakref.WeakSet[Picture] = weakref.WeakSet()
    monkeypatch.setattr(Picture, "__hash__", object.__hash__)
    most = 0

    def watched() -> Iterator[Picture]:
        nonlocal most
        for page in read_pages(io.BytesIO(data)):
            alive.add(page)
            most = max(most, len(alive))
            yield page

    write_pages(watched(), tmp_path / "a.tif")
    assert most <= 2
    assert len(list(read_pages(tmp_path / "a.tif"))) == (4 if source == "GIF" else 3)


# Writing


def test_pages_of_several_sizes_and_depths_become_a_tiff(tmp_path: Path) -> None:
    write_pages(read_pages(io.BytesIO(tiff(*mixed()))), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        for page, pixels in zip(file.pages, mixed(), strict=True):
            np.testing.assert_array_equal(page.asarray(), pixels)


def test_a_stream_takes_pages_too() -> None:
    stream = io.BytesIO()
    write_pages(read_pages(io.BytesIO(tiff(*mixed()))), stream, format="TIFF")
    assert len(list(read_pages(io.BytesIO(stream.getvalue())))) == 3


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".jp2", ".avif", ".png", ".webp"])
def test_a_format_that_cannot_hold_pages_refuses_them_before_it_takes_the_second(suffix: str, tmp_path: Path) -> None:
    taken = 0

    def counted() -> Iterator[Picture]:
        nonlocal taken
        for page in read_pages(io.BytesIO(tiff(*mixed()))):
            taken += 1
            yield page

    with pytest.raises(PictureError, match=f"a{suffix} holds one picture, and there are 3") as caught:
        write_pages(counted(), tmp_path / f"a{suffix}")
    assert caught.value.hint == "write one, or .tif"
    assert taken == 1 and not list(tmp_path.iterdir())


def test_frames_fit_three_formats_and_pages_one() -> None:
    page, frame = Picture(np.zeros((1, 1, 3), np.uint8), pages=2), Picture(np.zeros((1, 1, 3), np.uint8), pages=2)
    frame.duration = 40.0
    names = ("PNG", "WEBP", "TIFF", "JPEG", "BMP", "JP2", "AVIF", "HEIC")
    assert [name for name in names if holds_pages(name, frame)] == ["PNG", "WEBP", "TIFF"]
    assert [name for name in names if holds_pages(name, page)] == ["TIFF"]
    page.pages = 1
    assert all(holds_pages(name, page) for name in names)


def test_a_single_page_is_written_in_any_format(tmp_path: Path) -> None:
    (page,) = read_pages(io.BytesIO(tiff(mixed()[0])))
    write_pages([page], tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.bmp").pixels, mixed()[0])


def test_a_page_that_fails_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"the user's own")

    def failing() -> Iterator[Picture]:
        yield next(read_pages(io.BytesIO(tiff(*mixed()))))
        raise PictureError("no")

    with pytest.raises(PictureError, match="no"):
        write_pages(failing(), tmp_path / "a.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"the user's own"


def test_no_page_at_all_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no page"):
        write_pages([], tmp_path / "a.tif")
