"""The report as a file: what it holds, what it replaces, and what is left after a failure."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from restore.errors import RestoreError, UsageError
from restore.images import Picture, read_picture
from restore.viewer import page, report
from restore.viewer.report import HtmlReport


def noise(height: int = 40, width: int = 50, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def write(path: Path, count: int = 1, **options: Any) -> str:
    with HtmlReport(path, **options) as made:
        for number in range(count):
            made.add(noise(), noise(seed=1), {"name": f"{number}.png"})
    return path.read_text(encoding="utf-8")


def records(text: str) -> Any:
    found = re.search(r'id="records">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def inside(text: str, side: str, number: int = 1) -> Image.Image:
    found = re.search(rf'id="{side}-{number}">data:image/\w+;base64,([^<]*)</script>', text)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def test_the_page_holds_both_pictures_in_full_size(tmp_path: Path) -> None:
    text = write(tmp_path / "a.html")
    for side, seed in (("before", 0), ("after", 1)):
        image = inside(text, side)
        assert image.size == (50, 40)
        assert np.abs(np.asarray(image, np.int16) - noise(seed=seed).pixels).mean() < 4  # JPEG of quality 95
    assert os.listdir(tmp_path) == ["a.html"]


def test_the_page_asks_nothing_of_a_network(tmp_path: Path) -> None:
    text = write(tmp_path / "a.html")
    assert "http:" not in text and "https:" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and policy[1].startswith("default-src 'none'; img-src data:; ")
    for element, directive in (("style", "style-src"), ('script type="module"', "script-src")):
        content = re.search(rf"<{element}>(.*?)</{element.split()[0]}>", text, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy[1]


def test_the_assets_use_no_html_from_data() -> None:
    script = page.asset("viewer.js") + page.asset("report.js")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", script)


def test_metadata_of_the_pictures_is_not_in_the_page(tmp_path: Path) -> None:
    picture = noise()
    picture.exif, picture.comment, picture.xmp = b"MM\0*\0\0\0\x08\0\0", b"secret", b"<x>secret</x>"
    with HtmlReport(tmp_path / "a.html") as made:
        made.add(picture, picture, {"name": "a"})
    image = inside((tmp_path / "a.html").read_text(encoding="utf-8"), "before")
    assert not image.getexif() and "comment" not in image.info and "xmp" not in image.info


def test_a_picture_above_25_megapixels_is_shown_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.viewer.shown.MOST_PIXELS", 1000)
    before = Picture(np.zeros((64, 80, 3), np.uint8))
    after = Picture(before.pixels.copy())
    after.pixels[32:] = 99
    with HtmlReport(tmp_path / "a.html") as made:
        made.add(before, after, {"name": "a"})
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert inside(text, "before").size == inside(text, "after").size == (26, 21)  # 80 * 64 / 3**2 is below 1000
    (record,) = records(text)
    assert record["divisor"] == 3
    place = record["places"][0]
    assert place["top"] + place["height"] == pytest.approx(64 / 3, abs=1) and place["difference"] == 99


def test_above_20_megabytes_the_pictures_lie_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_INSIDE", 5_000)
    text = write(tmp_path / "a.html", 2)
    assert "base64," not in text
    files = [record[side]["file"] for record in records(text) for side in ("before", "after")]
    assert sorted(files) == sorted(f"a_files/{name}" for name in os.listdir(tmp_path / "a_files"))
    assert all(read_picture(tmp_path / file).pixels.shape == (40, 50, 3) for file in files)


def test_a_new_report_replaces_the_old_one_and_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_INSIDE", 5_000)
    write(tmp_path / "a.html", 3)
    text = write(tmp_path / "a.html", 1)
    assert len(os.listdir(tmp_path / "a_files")) == 2
    assert len(records(text)) == 1
    monkeypatch.setattr(report, "MOST_INSIDE", 10**6)
    write(tmp_path / "a.html", 1)
    assert os.listdir(tmp_path) == ["a.html"]


def test_another_page_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<p>mine</p>")
    with pytest.raises(UsageError, match="is no report"):
        HtmlReport(path)
    assert path.read_text() == "<p>mine</p>"
    assert len(records(write(path, overwrite=True))) == 1


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a_files").mkdir()
    (tmp_path / "a_files/mine.jpg").write_text("mine")
    with pytest.raises(UsageError, match="no folder of a report"):
        HtmlReport(tmp_path / "a.html", overwrite=True)
    (tmp_path / "b_files").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="no folder of a report"):
        HtmlReport(tmp_path / "b.html", overwrite=True)


@pytest.mark.parametrize("name", ["a.jpg", "a", "missing/a.html", "folder.html", "broken.html", "pipe.html"])
def test_a_report_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "broken.html").symlink_to(tmp_path / "nowhere")
    if name == "pipe.html":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no named pipes")
        os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError):
        HtmlReport(tmp_path / name, overwrite=True)


def test_a_full_disk_leaves_the_old_report_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_INSIDE", 5_000)
    old = write(tmp_path / "a.html", 1)
    files = sorted(os.listdir(tmp_path / "a_files"))

    def fails(file: IO[str], *args: Any, **options: Any) -> None:
        file.write("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write", fails)
    with pytest.raises(RestoreError, match="No space left"):
        write(tmp_path / "a.html", 2)
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == old
    assert sorted(os.listdir(tmp_path / "a_files")) == files
    assert sorted(os.listdir(tmp_path)) == ["a.html", "a_files"]


def test_what_is_done_when_an_error_ends_a_run_is_in_the_page(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), HtmlReport(tmp_path / "a.html") as made:
        made.add(noise(), noise(seed=1), {"name": "a"})
        raise KeyboardInterrupt
    assert len(records((tmp_path / "a.html").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 50)])
def test_pictures_of_every_kind_are_shown(tmp_path: Path, dtype: Any, channels: int, size: tuple[int, int]) -> None:
    white = 1 if dtype is np.float32 else np.iinfo(dtype).max
    picture = Picture(np.full((*size, channels), white, dtype), np.full(size, white // 2 or 0.5, dtype))
    with HtmlReport(tmp_path / "a.html") as made:
        made.add(picture, picture, {"name": "a"})
        made.add(Picture(picture.pixels), Picture(picture.pixels), {"name": "b"})
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    see_through, opaque = inside(text, "after", 1), inside(text, "after", 2)
    assert (see_through.format, opaque.format) == ("WEBP", "JPEG")
    assert see_through.size == opaque.size == size[::-1]
    assert int(np.asarray(opaque).min()) >= 254


def test_the_colour_profile_goes_with_the_picture(tmp_path: Path) -> None:
    from PIL import ImageCms

    picture = noise()
    picture.icc_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with HtmlReport(tmp_path / "a.html") as made:
        made.add(picture, picture, {"name": "a"})
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert inside(text, "before").info["icc_profile"] == picture.icc_profile
