"""Inspects a picture: noise, JPEG compression, blur, rain, enlargement."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from restore.images import Picture
from restore.images.neutral import is_neutral
from restore.inspection.compression import compression_of
from restore.inspection.crops import Plane, chroma_of, crops_of, luma_of
from restore.inspection.findings import Findings
from restore.inspection.noise import white_noise_of
from restore.inspection.verdict import WEIGHTS, Verdict, judge

_SMALLEST = 32  # pixels of a side; smaller pictures show too little
_TRACE = 0.15  # evidence of a JPEG compression
_GOOD_QUALITY = 88  # JPEG artifacts are invisible from here on
_FAIR_QUALITY = 60  # cameras save no coarser
_WHITE = 0.78  # fine over middle frequencies
_LEAST_NOISE = 0.75  # grey levels; less is not seen, and a denoiser costs detail
_FAINT, _MEASURED = (
    (2.0, 10.0),
    1.5,
)  # grey levels of white noise that the network may miss, and what they add to its score
_AGREE = 2.0  # the largest ratio of the sigma of the fine frequencies to that of the network
# Scores above which a task is advised, by what is found already: noise under a JPEG of a fair or of a lower quality, an
# earlier JPEG compression, or another fault that can look like the first.
_NOISE_IN_FAIR_JPEG, _NOISE_IN_JPEG, _EARLIER_JPEG, _SECOND = -0.3, 0.3, 1.5, 1.0


def inspect(picture: Picture, weights: Path = WEIGHTS) -> Findings:
    """What is wrong with a picture, from crops of at most 0.9 megapixels.

    Pictures below 32 pixels a side show too little: they get no task.

    Args:
        picture: Of any type.
        weights: Of `restore train inspect`.

    Raises:
        WeightsError: `weights` are no such file.
    """
    crops = crops_of(picture)
    if min(picture.pixels.shape[:2]) < _SMALLEST:
        return _findings(picture, crops, None, 0.0, Verdict({}, {}))
    found = compression_of(crops)
    seen = found.quality if found.evidence >= _TRACE else None
    verdict = judge(crops, weights)
    sigma, ratio = white_noise_of([luma_of(crop) for crop in crops])
    is_white = ratio >= _WHITE and (seen is None or seen >= _GOOD_QUALITY)
    is_faint = is_white and _FAINT[0] <= sigma <= _FAINT[1]
    if is_faint:
        verdict.claims["denoise"] += _MEASURED
    agrees = 1 / _AGREE <= sigma / max(1e-3, verdict.levels["sigma"]) <= _AGREE
    has_level = is_white and (agrees or (is_faint and verdict.claims["denoise"] > 0))
    return _findings(picture, crops, seen, sigma if has_level else 0.0, verdict)


def _tasks(seen: int | None, scores: dict[str, float]) -> tuple[str, ...]:
    """The faults that count, as tasks; `upscale` for an enlarged picture. The most certain comes first."""
    is_coarse = seen is not None and seen < _GOOD_QUALITY
    found = ["dejpeg"] if is_coarse or scores["dejpeg"] > _EARLIER_JPEG else []
    is_fair = seen is None or seen >= _FAIR_QUALITY
    others = {task: scores[task] for task in ("derain", "denoise", "upscale")}
    others["deblur"] = _either(scores["defocus"], scores["motion"])
    for task, score in sorted(others.items(), key=lambda one: -one[1]):
        least = _SECOND if found else 0.0
        if task == "denoise" and found == ["dejpeg"]:
            least = _NOISE_IN_FAIR_JPEG if is_fair else _NOISE_IN_JPEG
        if score > least:
            found.append(task)
    if {"deblur", "upscale"} <= set(found):  # both are softness
        found.remove(min("deblur", "upscale", key=others.__getitem__))
    if "denoise" in found and is_fair:
        found = [task for task in found if task != "dejpeg"]  # the denoiser learns noise that was saved as such a JPEG
    return tuple(found)


def _either(a: float, b: float) -> float:
    """The log odds that one of two faults is there, from those of each.

    >>> round(_either(0.0, 0.0), 3)
    1.099
    """
    a, b = np.clip((a, b), -30, 30)
    return float(np.log(np.expm1(np.logaddexp(0, a) + np.logaddexp(0, b))))


def _findings(
    picture: Picture, crops: Sequence[Plane], seen: int | None, white_noise: float, verdict: Verdict
) -> Findings:
    height, width = picture.pixels.shape[:2]
    scores, levels = verdict.claims, verdict.levels
    tasks = _tasks(seen, scores) if scores else ()
    blur = "none"
    if "deblur" in tasks:
        blur = "defocus" if scores["defocus"] >= scores["motion"] else "motion"
    is_grey = picture.pixels.shape[2] == 1 or all(is_neutral(crop / 255) for crop in crops)
    chroma = 0.0 if is_grey else levels.get("chroma", 0.0)
    if white_noise and not is_grey:
        chroma = float(np.mean([white_noise_of(planes, low=-128, high=128)[0] for planes in _chroma_planes(crops)]))
    noise = white_noise or levels.get("sigma", 0.0)
    if max(noise, chroma) < _LEAST_NOISE:
        tasks = tuple(task for task in tasks if task != "denoise")
    return Findings(
        width=width,
        height=height,
        bits=picture.pixels.dtype.itemsize * 8,
        is_grey=is_grey,
        profile=_profile_name(picture.icc_profile),
        format=picture.source_format,
        noise=round(noise, 2),
        noise_chroma=round(chroma, 2),
        noise_is_coarse=not white_noise and scores.get("is_coarse", -1.0) > 0,
        jpeg_quality=picture.jpeg_quality,
        jpeg_quality_seen=seen,
        blur=blur,
        blur_pixels=round(levels.get({"defocus": "blur", "motion": "motion_length"}.get(blur, ""), 0.0), 1),
        rain=round(1 / (1 + float(np.exp(-scores.get("derain", -9.0)))), 3),
        enlarged=round(levels["enlarged"] + 1, 2) if "upscale" in tasks else 1.0,
        tasks=tuple(task for task in tasks if task != "upscale"),
    )


def _chroma_planes(crops: Sequence[Plane]) -> list[list[Plane]]:
    pairs = [chroma_of(crop) for crop in crops]
    return [[pair[k] for pair in pairs] for k in (0, 1)]


def _profile_name(profile: bytes | None) -> str | None:
    """The description of an ICC profile; `unnamed` if it cannot be read."""
    if profile is None:
        return None
    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return "unnamed"
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:60] or "unnamed"
