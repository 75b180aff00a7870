"""The local page in a real browser."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_networks import Tiny

from restore.inspection.advice import NOISY_ORDER, PLAIN_ORDER
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


def test_every_picture_keeps_its_choices(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    drop(tab, photo)
    tab.check("input[name=denoise]")
    tab.locator("input[name=denoise-strength]").fill("0.4")
    drop(tab, photo, "second.png")
    tab.click("#pictures li:nth-child(2) button")
    assert not tab.is_checked("input[name=denoise]")
    assert tab.input_value("input[name=denoise-strength]") == "1"
    tab.click("#pictures li:nth-child(1) button")
    assert tab.is_checked("input[name=denoise]")
    assert tab.text_content(".step[data-task=denoise] output") == "0.40"


def test_steps_run_in_the_order_of_auto(tab: Any, server: Server, photo: Path) -> None:
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.post_data_json["steps"])
        route.fulfill(status=201, json={"id": "1", "picture": "none", "kind": "crop", "views": []})

    tab.route("**/jobs", answer)
    tab.goto(server.url)
    drop(tab, photo)
    for name in ("upscale", "derain", "dejpeg", "demosaic"):
        tab.check(f"input[name={name}]")
    tab.click("#try")
    tab.check("input[name=denoise]")
    tab.click("#try")
    names = [[step.partition(":")[0] for step in steps.split(",")] for steps in asked]
    plain = [task for task in PLAIN_ORDER if task in ("derain", "dejpeg")]
    noisy = [task for task in NOISY_ORDER if task in ("derain", "denoise", "dejpeg")]
    assert names == [["demosaic", *plain, "upscale"], ["demosaic", *noisy, "upscale"]]


def test_what_went_wrong_stays_until_the_next_action(tab: Any, server: Server, photo: Path) -> None:
    server.largest_file = 1000
    tab.goto(server.url)
    small = {"name": "small.txt", "mimeType": "text/plain", "buffer": b"x"}
    tab.set_input_files("#files", [{**small, "name": "large.txt", "buffer": b"x" * 1001}, small])
    tab.wait_for_selector("#error:not([hidden])")  # small.txt is no picture
    assert tab.locator("#faults li").all_text_contents() == ["large.txt is larger than 0 MB"]
    tab.set_input_files("#files", [small])
    tab.wait_for_selector("#pictures li:nth-child(2)")
    assert tab.locator("#faults li").count() == 0


def test_the_browsers_own_drag_of_a_picture_is_no_drop(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    drop(tab, photo)
    tab.wait_for_selector("#pictures img[src]")
    event = "new DragEvent('dragstart', {bubbles: true, cancelable: true})"
    for selector in ("#pictures img", "#thumb"):
        assert not tab.evaluate(f"document.querySelector('{selector}').dispatchEvent({event})")


def test_the_keyboard_alone_restores_and_compares(tab: Any, server: Server, photo: Path) -> None:
    tab.goto(server.url)
    tab.keyboard.press("Tab")
    with tab.expect_file_chooser() as chooser:
        tab.keyboard.press("Space")
    chooser.value.set_files(photo)
    tab.wait_for_selector("#facts:not(:empty)")
    for name in ("denoise", "denoise-strength"):
        while tab.evaluate("document.activeElement.name") != name:
            tab.keyboard.press("Tab")
    tab.keyboard.press("ArrowLeft")  # which also checks the step
    while tab.evaluate("document.activeElement.id") != "map":
        tab.keyboard.press("Tab")
    left = tab.locator("#frame").bounding_box()["x"]
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#frame").bounding_box()["x"] == left  # the crop is as wide as the picture
    while tab.evaluate("document.activeElement.id") != "restore":
        tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#result:not([hidden])")
    assert "denoise:strength=0.95" in tab.text_content("#result-text")
    tab.wait_for_selector(".viewer-stage:not(.loading)")
    tab.keyboard.press("1")
    assert tab.text_content(".viewer-status").endswith("at 100 %")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_local_page_fits_a_narrow_window(tab: Any, server: Server, photo: Path, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 340, "height": 700})
    tab.goto(server.url)
    drop(tab, photo, "a-very-long-name-without-any-space" * 4 + ".png")
    restore(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 340


@pytest.mark.slow
def test_a_picture_of_100_megapixels_is_tried_restored_and_downloaded(
    tab: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.new("RGB", (10_000, 10_000), (200, 120, 60)).save(tmp_path / "large.jpg")
    tab.set_default_timeout(120_000)
    tab.goto(server.url)
    tab.set_input_files("#files", tmp_path / "large.jpg")
    tab.wait_for_selector("#facts:not(:empty)")
    assert tab.text_content("#facts").startswith("10000 \u00d7 10000 pixels")
    restore(tab, "#try")
    assert tab.text_content(".viewer-status").startswith("512 \u00d7 512 pixels")
    tab.click("#restore")
    tab.wait_for_selector("#result:not([hidden])")
    tab.wait_for_selector(".viewer-stage:not(.loading)")
    width, height = (int(side) for side in tab.text_content(".viewer-status").split(" pixels")[0].split(" \u00d7 "))
    assert width == height == 5000  # the page shows at most 25 megapixels
    with tab.expect_download() as download:
        tab.click("#download")
    with Image.open(download.value.path()) as restored:
        assert restored.size == (10_000, 10_000)
