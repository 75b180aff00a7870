"""A picture of a run: its loss and the PSNR of its held-out pictures over the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SIZE = 960, 720
_LEFT, _RIGHT, _TOP, _GAP = 80, 20, 30, 70  # pixels around the panels
_INK, _GRID, _LOSS, _SCORE, _INPUT = "#222222", "#dddddd", "#1f6fb4", "#c23b22", "#777777"
Points = list[tuple[float, float]]


def curves_of(log: Sequence[dict[str, Any]], title: str) -> NDArray[np.uint8] | None:
    """Two panels, `(720, 960, 3)` bytes: loss on a logarithmic scale, and PSNR in dB. None without anything to draw.

    Args:
        log: The entries of `log.jsonl`, in order.
        title: Of the picture.
    """
    losses = [(entry["step"], entry["loss"]) for entry in log if entry.get("loss")]
    scored = [(entry["step"], *entry["validation"]) for entry in log if entry.get("validation")]
    scores = [(step, after) for step, _, after in scored if after is not None]
    inputs = [(step, before) for step, before, _ in scored if before is not None]
    if not losses and not scores:
        return None
    page = Image.new("RGB", _SIZE, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    draw.text((_LEFT, 8), title, _INK, font)
    width, height = _SIZE[0] - _LEFT - _RIGHT, (_SIZE[1] - _TOP - 2 * _GAP) // 2
    last = max(entry["step"] for entry in log) or 1
    boxes = [(_LEFT, _TOP + k * (height + _GAP), _LEFT + width, _TOP + k * (height + _GAP) + height) for k in (0, 1)]
    logs = [(step, math.log10(loss)) for step, loss in _thinned(losses, width)]
    _panel(draw, font, boxes[0], last, "loss", [(logs, _LOSS)], lambda y: f"{10**y:.3g}")
    lines = [(inputs, _INPUT), (scores, _SCORE)]
    _panel(draw, font, boxes[1], last, "held-out pictures, PSNR in dB (grey: input)", lines, lambda y: f"{y:.2f}")
    return np.asarray(page)


def _thinned(points: Points, count: int) -> Points:
    """At most about `count` points: the means of neighbours."""
    size = math.ceil(len(points) / count) if points else 1
    parts = (np.array(points[start : start + size]).mean(axis=0) for start in range(0, len(points), size))
    return [(float(x), float(y)) for x, y in parts]


def _panel(
    draw: ImageDraw.ImageDraw, font: Any, box: tuple[int, int, int, int], last: int, label: str,
    lines: Sequence[tuple[Points, str]], shown: Callable[[float], str],
) -> None:  # fmt: skip
    """Axes with their numbers, and lines."""
    left, top, right, bottom = box
    values = [y for points, _ in lines for _, y in points] or [0.0]
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.5
    low, high = low - room, high + room

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / last, bottom - (bottom - top) * (y - low) / (high - low)

    for tick in range(5):
        x, y = last * tick / 4, low + (high - low) * tick / 4
        across, up = place(x, y)
        draw.line([(left, up), (right, up)], _GRID)
        draw.text((left - 8, up), shown(y), _INK, font, anchor="rm")
        draw.line([(across, top), (across, bottom)], _GRID)
        draw.text((across, bottom + 12), f"{x:,.0f}", _INK, font, anchor="mm")
    draw.rectangle(box, outline=_INK)
    draw.text((left, bottom + 26), f"{label}, over the steps", _INK, font)
    for points, colour in lines:
        places = [place(*point) for point in points]
        for start, end in pairwise(places):
            draw.line([start, end], colour, 2)
        if len(places) <= 60:
            for x, y in places:
                draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
