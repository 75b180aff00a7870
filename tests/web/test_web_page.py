"""The local page in a real browser."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_networks import Tiny

from restore.web.server import Server

pytestmark = pytest.mark.browser
pytest_plugins = ["web_fixtures"]

DROP = """(element, [name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
HOSTILE = '"><img src=x onerror="document.title=1"><script>alert(1)</script>\u202e.png'


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(30, 220, (300, 400, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def drop(page: Any, path: Path, name: str | None = None) -> None:
    import base64

    page.locator("body").evaluate(DROP, [name or path.name, base64.b64encode(path.read_bytes()).decode()])
    page.wait_for_selector("#facts:not(:empty)")


def restore(page: Any, button: str = "#restore") -> None:
    page.check("input[name=denoise]")
    page.click(button)
    page.wait_for_selector(".viewer-stage:not(.loading)")


def test_a_dropped_picture_is_inspected_restored_compared_and_downloaded(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    drop(tab, photo)
    assert tab.text_content("#facts").startswith("400 \u00d7 300 pixels, PNG, 8 bits")
    restore(tab, "#try")
    assert tab.text_content(".viewer-status").startswith("400 \u00d7 300 pixels")
    tab.click("#restore")
    tab.wait_for_selector("#result:not([hidden])")
    with tab.expect_download() as download:
        tab.click("#download")
    assert download.value.suggested_filename == "photo_restored.png"
    restored = np.asarray(Image.open(download.value.path()))
    np.testing.assert_array_equal(restored, 255 - np.asarray(Image.open(photo)))


def test_keys_move_the_divider_the_crop_and_the_list(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    drop(tab, photo)
    drop(tab, photo, "second.png")
    restore(tab)
    tab.locator("h1").click()  # no focus in the form
    tab.keyboard.press("ArrowRight")
    assert tab.get_attribute(".viewer-divider", "aria-valuenow") == "52"
    tab.keyboard.press("b")
    assert tab.get_attribute(".viewer-stage", "data-mode") == "before"
    tab.keyboard.press("n")
    assert tab.text_content("#name") == "second.png"
    assert tab.locator(".viewer-stage").count() == 0  # the second is not restored yet


def test_a_hostile_name_is_shown_as_text(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    drop(tab, photo, HOSTILE)
    assert tab.title() == "restore"
    assert tab.locator("#name *, #pictures b *, script:not([src])").count() == 0
    assert tab.text_content("#name") == "script>.png"  # the last part of a path, without marks of direction


def test_a_picture_that_cannot_be_read_says_so(tab: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    tab.goto(server.url)
    tab.set_input_files("#files", tmp_path / "notes.txt")
    tab.wait_for_selector("#error:not([hidden])")
    assert tab.text_content("#error").startswith("cannot read notes.txt: it is text")
    assert tab.is_disabled("#restore")


def test_cancel_ends_a_job(tab: Any, server: Server, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, forward = threading.Event(), Tiny.forward

    def slow(self: Tiny, degraded: Any) -> Any:
        assert go.wait(20)
        return forward(self, degraded)

    monkeypatch.setattr(Tiny, "forward", slow)
    monkeypatch.setattr("restore.inference.restorer.automatic_side", lambda *args: 256)
    tab.goto(server.url)
    drop(tab, photo)
    tab.check("input[name=denoise]")
    tab.click("#restore")
    tab.wait_for_selector("#progress:not([hidden])")
    tab.click("#cancel")
    go.set()
    tab.wait_for_selector("#progress", state="hidden")
    assert tab.is_hidden("#result")
    assert tab.text_content("#pictures small") == "cancelled"


def test_two_tabs_are_independent_and_closing_one_removes_its_files(
    tab: Any, server: Server, photo: Path, chromium: Any
) -> None:
    tab.goto(server.url)
    drop(tab, photo)
    other = tab.context.new_page()
    other.goto(server.url)
    assert other.locator("#pictures li").count() == 0
    drop(other, photo, "other.png")
    assert tab.locator("#pictures li").count() == 1
    other.goto("about:blank")
    tab.wait_for_timeout(300)
    assert len(list(server.storage.folder.iterdir())) == 2  # the lock, and the picture of the first tab


def test_removing_the_only_picture_empties_the_page(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    drop(tab, photo)
    tab.click("#remove")
    tab.wait_for_selector("#empty:not([hidden])")
    assert tab.is_hidden("#work")
