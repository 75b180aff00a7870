"""The report in a real browser: keys, wheel, drag, pinch, and names that attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore.images import Picture
from restore.viewer import report
from restore.viewer.report import HtmlReport

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>\"'><svg onload=alert(2)>{script}\u202egpj.\x00\udc80"
STATE = "document.getElementById('viewer').querySelector('.viewer-stage')"


def grey(level: int, *, height: int = 300, width: int = 400) -> Picture:
    return Picture(np.full((height, width, 3), level, np.uint8))


def spotted() -> Picture:
    """Grey 100 with a bright square at (200, 40) of 64 pixels."""
    picture = grey(100)
    picture.pixels[40:104, 200:264] = 180
    return picture


@pytest.fixture
def opened(tab: Any, tmp_path: Path) -> Any:
    """The report of two pictures and a failure: a spot comes, and an enlargement 2 times."""
    path = tmp_path / "report.html"
    with HtmlReport(path) as made:
        made.add(
            grey(100), spotted(), {"name": HOSTILE, "seconds": "1.5", "notes": [f"note {HOSTILE}"], HOSTILE: HOSTILE}
        )
        made.add(grey(90, height=150, width=200), grey(90), {"name": "second.png"})
        made.add_entry(None, {"name": "broken.png", "status": "failed", "reason": "it is empty"})
    show(tab, path)
    return tab


def show(tab: Any, path: Path) -> None:
    tab.goto(path.as_uri())
    loaded(tab)


def loaded(tab: Any) -> None:
    tab.wait_for_selector(".viewer-stage:not(.loading)")


def box(tab: Any, selector: str = ".viewer-stage") -> dict[str, float]:
    found: dict[str, float] = tab.locator(selector).bounding_box()
    return found


def middle(tab: Any) -> tuple[float, float]:
    stage = box(tab)
    return stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2


def pixel(tab: Any, x: float, y: float) -> tuple[int, ...]:
    """The colour on the screen."""
    import cv2

    shot = cv2.imdecode(np.frombuffer(tab.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    return tuple(int(value) for value in shot[int(y), int(x)])


def zoom(tab: Any) -> float:
    """Screen pixels of one pixel of the picture."""
    return box(tab, ".viewer-pane.after img")["width"] / 400


def mode(tab: Any) -> str:
    return str(tab.locator(".viewer-stage").get_attribute("data-mode"))


def test_the_page_lists_every_picture_and_opens_the_first(opened: Any) -> None:
    assert opened.locator("#list li").count() == 3
    assert "1 of 2" in opened.locator("#name").inner_text()
    assert "it is empty" in opened.locator("#entry-3").inner_text()
    assert opened.locator("#entry-3 button").count() == 0


def test_hostile_names_are_shown_as_text(opened: Any) -> None:
    for selector in ("#name", "#entry-1 .open", "#entry-1 dd:last-of-type", "#entry-1 dt:nth-of-type(2)"):
        shown = opened.locator(selector).inner_text()
        assert "</script><img src=x onerror=alert(1)>" in shown
        assert "\\u202egpj.\\x00\\udc80" in shown
    assert opened.locator("main img").count() == 2  # the viewer's


def test_arrows_move_the_divider(opened: Any) -> None:
    slider = opened.locator("[role=slider]")
    assert slider.get_attribute("aria-valuenow") == "50"
    for _ in range(5):
        opened.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == "60"
    slider.focus()
    opened.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuenow") == "58"
    opened.keyboard.press("Home")
    assert slider.get_attribute("aria-valuenow") == "0"


def test_the_divider_parts_before_and_after(opened: Any) -> None:
    """At 1:1 the middle of the spot lies 32 pixels right of the picture's middle, and 78 above."""
    opened.keyboard.press("1")
    x, y = middle(opened)
    assert pixel(opened, x + 32, y - 78)[0] > 170  # after
    for _ in range(10):
        opened.keyboard.press("ArrowRight")
    assert pixel(opened, x + 32, y - 78)[0] < 110  # before


def test_a_drag_of_the_handle_moves_the_divider_and_one_of_the_picture_moves_the_picture(opened: Any) -> None:
    x, y = middle(opened)
    opened.mouse.move(x, y)
    opened.mouse.down()
    opened.mouse.move(x + box(opened)["width"] / 4, y, steps=4)
    opened.mouse.up()
    assert opened.locator("[role=slider]").get_attribute("aria-valuenow") == "75"
    before = box(opened, ".viewer-pane.after img")
    opened.mouse.move(x - 100, y)
    opened.mouse.down()
    opened.mouse.move(x - 70, y + 20, steps=4)
    opened.mouse.up()
    after = box(opened, ".viewer-pane.after img")
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((30, 20), abs=1)
    assert box(opened, ".viewer-pane.before img") == pytest.approx(after)  # both move as one
    assert opened.locator("[role=slider]").get_attribute("aria-valuenow") == "75"


def test_the_browsers_own_drag_is_prevented(opened: Any) -> None:
    event = "new DragEvent('dragstart', {bubbles: true, cancelable: true})"
    assert not opened.evaluate(f"document.querySelector('.viewer-pane img').dispatchEvent({event})")


def test_the_wheel_zooms_about_the_pointer(opened: Any) -> None:
    stage = box(opened)
    x, y = stage["x"] + stage["width"] * 0.3, stage["y"] + stage["height"] * 0.6
    before = box(opened, ".viewer-pane.after img")
    opened.mouse.move(x, y)
    opened.mouse.wheel(0, -300)
    after = box(opened, ".viewer-pane.after img")
    factor = after["width"] / before["width"]
    assert factor == pytest.approx(np.exp(0.6), rel=0.01)
    assert x - after["x"] == pytest.approx((x - before["x"]) * factor, abs=1.5)
    assert y - after["y"] == pytest.approx((y - before["y"]) * factor, abs=1.5)
    assert opened.evaluate("window.scrollY") == 0


def test_two_fingers_zoom_and_move(opened: Any) -> None:
    """They start 100 pixels apart and end 200 apart, 50 pixels further down."""
    x, y = middle(opened)
    before = box(opened, ".viewer-pane.after img")
    session = opened.context.new_cdp_session(opened)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": left, "y": top, "id": number} for number, (left, top) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch("touchStart", (x - 100, y + 50))
    touch("touchStart", (x - 100, y + 50), (x, y + 50))
    touch("touchMove", (x - 150, y + 100), (x + 50, y + 100))
    touch("touchEnd")
    after = box(opened, ".viewer-pane.after img")
    assert after["width"] == pytest.approx(2 * before["width"], rel=0.02)
    assert x - 50 - after["x"] == pytest.approx(2 * (x - 50 - before["x"]), abs=3)
    assert y + 100 - after["y"] == pytest.approx(2 * (y + 50 - before["y"]), abs=3)


def test_one_pixel_per_device_pixel_and_fit(chromium: Any, opened: Any, tmp_path: Path) -> None:
    opened.keyboard.press("1")
    assert zoom(opened) == pytest.approx(1)
    opened.keyboard.press("f")
    fitted, stage = box(opened, ".viewer-pane.after img"), box(opened)
    assert min(stage["width"] - fitted["width"], stage["height"] - fitted["height"]) == pytest.approx(
        2, abs=1
    )  # border
    context = chromium.new_context(device_scale_factor=2)
    try:
        sharp = context.new_page()
        show(sharp, tmp_path / "report.html")
        sharp.keyboard.press("1")
        assert zoom(sharp) == pytest.approx(0.5)
    finally:
        context.close()


def test_keys_choose_what_is_shown(opened: Any) -> None:
    for key, expected in (
        ("b", "before"),
        ("b", "split"),
        ("s", "side"),
        ("d", "difference"),
        ("d", "side"),
        ("a", "after"),
    ):
        opened.keyboard.press(key)
        assert mode(opened) == expected
    opened.keyboard.press("Control+d")  # is the browser's
    assert mode(opened) == "after"
    pressed = opened.locator(".viewer-tools [aria-pressed=true]").all_inner_texts()
    assert pressed == ["After", "Square pixels"]


def test_the_difference_is_four_times_that_of_the_pictures(opened: Any) -> None:
    opened.keyboard.press("d")
    opened.keyboard.press("1")
    x, y = middle(opened)
    assert pixel(opened, x + 32, y - 78)[0] == 255  # 4 * 80 is above white
    assert pixel(opened, x - 100, y + 100)[0] <= 8  # nothing but what JPEG changes


def test_next_and_previous_change_the_picture(opened: Any) -> None:
    opened.keyboard.press("n")
    loaded(opened)
    assert opened.locator("#name").inner_text() == "second.png (2 of 2)"
    assert opened.locator("[aria-current]").inner_text() == "second.png"
    opened.keyboard.press("n")  # there is no third
    assert "2 of 2" in opened.locator("#name").inner_text()
    opened.keyboard.press("p")
    assert "1 of 2" in opened.locator("#name").inner_text()
    opened.locator("#entry-2 button").click()
    assert "2 of 2" in opened.locator("#name").inner_text()


def test_a_smaller_picture_is_enlarged_over_the_larger_smoothly_or_in_squares(opened: Any) -> None:
    opened.keyboard.press("n")
    loaded(opened)
    opened.keyboard.press("1")
    assert box(opened, ".viewer-pane.before img") == pytest.approx(box(opened, ".viewer-pane.after img"))
    squares = opened.locator("img.square")
    assert squares.count() == 0
    opened.keyboard.press("x")
    assert squares.count() == 2


def test_a_button_goes_to_the_place_that_changed_most(opened: Any) -> None:
    button = opened.locator(".viewer-places button").first
    button.click()
    frame, (x, y) = box(opened, ".viewer-frame"), middle(opened)
    assert (frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2) == pytest.approx((x, y), abs=2)
    assert pixel(opened, x + 10, y)[0] > 150


def test_nothing_changed_is_said(opened: Any) -> None:
    opened.keyboard.press("n")
    assert opened.locator(".viewer-places").inner_text() == "Nothing changed."


def test_large_pictures_lie_beside_the_page(tab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_INSIDE", 100)
    path = tmp_path / "with space # and %20.html"
    with HtmlReport(path) as made:
        made.add(grey(100), spotted(), {"name": "a"})
    assert len(list((tmp_path / "with space # and %20_files").iterdir())) == 2
    show(tab, path)
    assert "400 \u00d7 300" in tab.locator(".viewer-status").inner_text()


def test_transparent_pictures_hide_nothing_of_each_other(tab: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    alpha = np.zeros((300, 400), np.uint8)
    with HtmlReport(path) as made:
        made.add(Picture(grey(10).pixels, alpha), Picture(grey(250).pixels, alpha), {"name": "a"})
    show(tab, path)
    tab.keyboard.press("1")
    x, y = middle(tab)
    assert pixel(tab, x + 50, y + 50)[0] in (0x77, 0x99)  # the squares behind


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_fits_its_window(tab: Any, opened: Any, scheme: str, width: int) -> None:
    opened.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    opened.set_viewport_size({"width": width, "height": 700})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    red, _, _ = pixel(opened, 2, 2)
    assert (red > 200) == (scheme == "light")


def test_every_control_has_a_name_and_is_reached_by_tab(opened: Any) -> None:
    names = []
    for _ in range(20):
        opened.keyboard.press("Tab")
        active = "document.activeElement"
        names.append(opened.evaluate(f"{active}.getAttribute('aria-label') || {active}.innerText"))
    assert {"Divider", "Difference \u00d74", "Before and after", "Divider between before and after", "Keys"} <= set(
        names
    )
    assert all(name for name in names)
