"""Which steps mend what was found."""

from __future__ import annotations

from typing import Any

import pytest

from restore.inspection.advice import NOISY_ORDER, PLAIN_ORDER, advise
from restore.inspection.findings import Findings


def findings(*tasks: str, **changes: Any) -> Findings:
    values: dict[str, Any] = {
        "width": 640, "height": 480, "bits": 8, "is_grey": False, "profile": None, "format": "JPEG", "noise": 0.4,
        "noise_chroma": 0.3, "noise_is_coarse": False, "jpeg_quality": 92, "jpeg_quality_seen": None, "blur": "none",
        "blur_pixels": 0.0, "rain": 0.0, "enlarged": 1.0, "tasks": tasks,
    }  # fmt: skip
    return Findings(**values | changes)


def test_a_good_picture_needs_nothing() -> None:
    advice = advise(findings())
    assert advice.steps == () and advice.words() == "nothing to do"


def test_steps_run_in_a_fixed_order_whatever_the_order_of_the_findings() -> None:
    for order in (NOISY_ORDER, PLAIN_ORDER):
        for tasks in (order, order[::-1]):
            assert tuple(step.task for step in advise(findings(*tasks, noise=9.0)).steps) == order
        assert order[-1] == "deblur"


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("denoise", {"noise": 12.3}, "denoise (noise of 12 grey levels)"),
        ("denoise", {"noise_chroma": 7.8, "noise_is_coarse": True}, "denoise (coarse noise of 8 grey levels)"),
        ("dejpeg", {"jpeg_quality": 95, "jpeg_quality_seen": 31}, "dejpeg (JPEG quality 31)"),
        ("dejpeg", {"jpeg_quality": None}, "dejpeg (JPEG artifacts)"),
        ("deblur", {"blur": "motion", "blur_pixels": 9.2}, "deblur (motion blur of about 9 pixels)"),
        ("deblur", {"blur": "defocus", "blur_pixels": 3.0}, "deblur (blur of about 3 pixels)"),
        ("derain", {"rain": 0.93}, "derain (rain)"),
    ],
)
def test_each_step_has_its_reason(task: str, changes: dict[str, Any], words: str) -> None:
    assert advise(findings(task, **changes)).words() == words


def test_pictures_are_upscaled_last_and_only_if_asked() -> None:
    assert [step.task for step in advise(findings("deblur", enlarged=2.0)).steps] == ["deblur"]
    steps = advise(findings("deblur", jpeg_quality=None), scale=3).steps
    assert [(step.task, step.level) for step in steps] == [("deblur", None), ("upscale", 3.0)]


@pytest.mark.parametrize(
    ("tasks", "quality", "first"),
    [
        ((), 90, "dejpeg"),
        (("deblur",), 90, "dejpeg"),
        ((), 96, "upscale"),
        ((), None, "upscale"),
        (("denoise",), 90, "denoise"),
    ],
)
def test_a_jpeg_is_cleaned_before_it_is_enlarged(tasks: tuple[str, ...], quality: int | None, first: str) -> None:
    steps = [step.task for step in advise(findings(*tasks, jpeg_quality=quality), scale=2).steps]
    assert steps[0] == first and steps.count("dejpeg") == (first == "dejpeg")
