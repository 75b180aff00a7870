from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from restore.evaluation.plot import Point, write_plot
from restore.images import read_picture

NAMESPACE = "{http://www.w3.org/2000/svg}"
POINTS = [Point("slow", 10.0, 32.0, (31.5, 32.4)), Point("fast", 0.1, 30.0, (29.7, 30.2))]


def elements(path: Path, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(path.read_text()).iter(NAMESPACE + name))


def test_a_slow_point_is_to_the_right_and_a_good_one_above(tmp_path: Path) -> None:
    write_plot(tmp_path / "p.svg", POINTS, title="t", input_psnr=25.0)
    slow, fast = elements(tmp_path / "p.svg", "circle")
    assert float(slow.attrib["cx"]) > float(fast.attrib["cx"]) and float(slow.attrib["cy"]) < float(fast.attrib["cy"])


def test_a_tenth_of_the_time_is_as_far_everywhere(tmp_path: Path) -> None:
    points = [Point(str(s), s, 30.0) for s in (0.1, 1, 10)]
    write_plot(tmp_path / "p.svg", points, title="t")
    x = [float(circle.attrib["cx"]) for circle in elements(tmp_path / "p.svg", "circle")]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)


def test_everything_lies_within_the_chart(tmp_path: Path) -> None:
    points = [*POINTS, Point("third", 3e-5, 12.0, (11.0, 13.0)), Point("fourth", 9e4, 61.0, None)]
    write_plot(tmp_path / "p.svg", points, title="t", input_psnr=9.0)
    for name, keys in (("circle", ("cx", "cy")), ("line", ("x1", "y1")), ("line", ("x2", "y2")), ("text", ("x", "y"))):
        for element in elements(tmp_path / "p.svg", name):
            x, y = (float(element.attrib[key]) for key in keys)
            assert 0 <= x <= 640 and 0 <= y <= 420


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    name = "a<b>&\x1b\x00\N{LATIN SMALL LETTER E WITH ACUTE}"
    write_plot(tmp_path / "p.svg", [Point(name, 1.0, 30.0)], title="t")
    shown = {text.text for text in elements(tmp_path / "p.svg", "text")}
    assert "a<b>&\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{LATIN SMALL LETTER E WITH ACUTE}" in shown


def test_a_point_without_a_finite_psnr_is_left_out(tmp_path: Path) -> None:
    write_plot(tmp_path / "p.svg", [*POINTS, Point("equal", 1.0, math.inf)], title="t", input_psnr=math.inf)
    assert len(elements(tmp_path / "p.svg", "circle")) == 2
    write_plot(tmp_path / "q.svg", [Point("equal", 1.0, math.inf)], title="t")
    assert not elements(tmp_path / "q.svg", "circle")


def test_a_png_shows_the_points_where_the_svg_has_them(tmp_path: Path) -> None:
    for name in ("p.svg", "p.png"):
        write_plot(tmp_path / name, POINTS, title="t", input_psnr=29.0)
    pixels = read_picture(tmp_path / "p.png").pixels
    for circle in elements(tmp_path / "p.svg", "circle"):
        x, y = (round(2 * float(circle.attrib[key])) for key in ("cx", "cy"))
        assert np.array_equal(pixels[y, x], (0xC2, 0x41, 0x0C))
