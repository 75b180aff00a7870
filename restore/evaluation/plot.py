"""A chart of PSNR against time, as SVG or PNG: a point for each weights, with the 95 % interval of its mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from restore.errors import UsageError
from restore.evaluation.bootstrap import Interval

_WIDTH, _HEIGHT = 640, 420  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 40, 52  # margins
_INK, _POINT, _GRID = "#1e293b", "#c2410c", "#cbd5e1"
_PNG_SCALE = 2
SUFFIXES = (".svg", ".png")


@dataclass(frozen=True)
class Point:
    """One weights: what the chart calls it, seconds per megapixel, mean PSNR in dB and its interval."""

    label: str
    seconds: float
    psnr: float
    interval: Interval | None = None


@dataclass(frozen=True)
class _Line:
    x: float
    y: float
    to_x: float
    to_y: float
    colour: str = _GRID
    is_dashed: bool = False


@dataclass(frozen=True)
class _Dot:
    x: float
    y: float


@dataclass(frozen=True)
class _Text:
    x: float
    y: float  # of the middle of the line
    text: str
    anchor: str = "middle"  # or start, end: where x is
    size: int = 12


_Mark = _Line | _Dot | _Text


def check_plot(path: Path) -> None:
    """Refuse a name that says no format.

    Raises:
        UsageError: It ends in neither .svg nor .png.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot writes .svg or .png, not {path.name!r}", hint="name the file plot.svg")


def write_plot(
    path: Path, points: Sequence[Point], *, title: str, input_psnr: float | None = None, kind: str | None = None
) -> None:
    """Draw the chart; seconds are on a logarithmic scale.

    Args:
        path: The file.
        points: At least one; those without a finite PSNR are left out.
        title: A line above the chart.
        input_psnr: PSNR of the degraded pictures: a dashed line.
        kind: One of `SUFFIXES`; None for that of the path.

    Raises:
        OSError: It cannot be written.
    """
    marks = _chart([p for p in points if math.isfinite(p.psnr)], title, input_psnr)
    if (kind or path.suffix).lower() == ".svg":
        path.write_text(_svg(marks), encoding="utf-8")
    else:
        _drawn(marks).save(path, "PNG")


def _chart(points: Sequence[Point], title: str, input_psnr: float | None) -> list[_Mark]:
    levels = [value for p in points for value in (p.psnr, *(p.interval or ()))]
    levels += [input_psnr] if input_psnr is not None and math.isfinite(input_psnr) else []
    y_ticks = _ticks(min(levels, default=0), max(levels, default=0))
    decades = [math.log10(p.seconds) for p in points] or [0.0]
    low, high = min(decades) - 0.3, max(decades) + 0.3
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x_of(seconds: float) -> float:
        return _LEFT + (math.log10(seconds) - low) / (high - low) * (right - _LEFT)

    def y_of(psnr: float) -> float:
        return bottom - (psnr - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - _TOP)

    marks: list[_Mark] = [_Text(_LEFT, _TOP / 2, title, "start", 13)]
    for tick in y_ticks:
        marks += [_Line(_LEFT, y_of(tick), right, y_of(tick)), _Text(_LEFT - 8, y_of(tick), f"{tick:.4g}", "end")]
    for seconds in (digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)):
        if low <= math.log10(seconds) <= high:
            x = x_of(seconds)
            marks += [_Line(x, _TOP, x, bottom), _Text(x, bottom + 16, f"{seconds:g}")]
    marks.append(_Text((_LEFT + right) / 2, _HEIGHT - 14, "seconds per megapixel; up is the mean PSNR in dB"))
    if input_psnr is not None and math.isfinite(input_psnr):
        y = y_of(input_psnr)
        marks += [_Line(_LEFT, y, right, y, _INK, is_dashed=True), _Text(_LEFT + 6, y - 9, "input", "start")]
    for p in points:
        x, y = x_of(p.seconds), y_of(p.psnr)
        if p.interval is not None:
            ends = [y_of(end) for end in p.interval]
            marks += [_Line(x, ends[0], x, ends[1], _POINT), *(_Line(x - 4, e, x + 4, e, _POINT) for e in ends)]
        is_right = x > (_LEFT + right) / 2
        marks += [_Dot(x, y), _Text(x - 9 if is_right else x + 9, y - 9, p.label, "end" if is_right else "start")]
    return marks


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that reach from below `low` to above `high`.

    >>> _ticks(28.3, 30.2)
    [28.0, 28.5, 29.0, 29.5, 30.0, 30.5]
    """
    span = max(high - low, 0.1)
    step = next(s for s in (10.0**e * d for e in range(-2, 6) for d in (1, 2, 5)) if span / s <= 6)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [round(i * step, 6) for i in range(first, last + 1)]


def _svg(marks: Sequence[_Mark]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for mark in marks:
        if isinstance(mark, _Line):
            dashes = ' stroke-dasharray="3 4"' if mark.is_dashed else ""
            ends = f'x1="{mark.x:.1f}" y1="{mark.y:.1f}" x2="{mark.to_x:.1f}" y2="{mark.to_y:.1f}"'
            lines.append(f'<line {ends} stroke="{mark.colour}"{dashes}/>')
        elif isinstance(mark, _Dot):
            lines.append(f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="4.5" fill="{_POINT}"/>')
        else:
            place = f'x="{mark.x:.1f}" y="{mark.y + mark.size * 0.35:.1f}" text-anchor="{mark.anchor}"'
            lines.append(f'<text {place} font-size="{mark.size}">{escape(_shown(mark.text))}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _shown(text: str) -> str:
    """Text without the characters that XML and fonts do not have."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _drawn(marks: Sequence[_Mark]) -> Image.Image:
    picture = Image.new("RGB", (_WIDTH * _PNG_SCALE, _HEIGHT * _PNG_SCALE), "white")
    draw = ImageDraw.Draw(picture)
    s = _PNG_SCALE
    for mark in marks:
        if isinstance(mark, _Line) and mark.is_dashed:
            for x in range(round(mark.x), round(mark.to_x), 7):
                draw.line((x * s, mark.y * s, (x + 3) * s, mark.y * s), mark.colour, s)
        elif isinstance(mark, _Line):
            draw.line((mark.x * s, mark.y * s, mark.to_x * s, mark.to_y * s), mark.colour, s)
        elif isinstance(mark, _Dot):
            draw.circle((mark.x * s, mark.y * s), 4.5 * s, _POINT)
        else:
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[mark.anchor]
            font = ImageFont.load_default(mark.size * s)
            draw.text((mark.x * s, mark.y * s), _shown(mark.text), _INK, font, anchor)
    return picture
