"""Inspects a picture: noise, JPEG compression, blur, rain, enlargement."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from restore.images import Picture
from restore.images.neutral import is_neutral
from restore.inspection.compression import compression_of
from restore.inspection.crops import Plane, chroma_of, crops_of, luma_of
from restore.inspection.findings import Findings
from restore.inspection.noise import white_noise_of
from restore.inspection.traces import traces_of
from restore.inspection.verdict import Verdict, judge

_SMALLEST = 32  # pixels of a side; smaller pictures show too little
_TRACE = 0.15  # evidence of a JPEG compression
_GOOD_QUALITY = 88  # JPEG artifacts are invisible from here on
_FAIR_QUALITY = 60  # cameras save no coarser
_LEAST_NOISE = 2.0  # grey levels of white noise that count; 1 of 420 training photos has more
_WHITE = 0.78  # fine over middle frequencies
# Scores from which a task is advised. `_SECOND`: another fault is certain, and can look like this one.
_FIRST, _SECOND = 0.05, 0.35
_RAIN_LATER = 0.1  # rain needs so much more: thin bright lines are common in dry pictures


def inspect(picture: Picture) -> Findings:
    """What is wrong with a picture, from crops of at most 0.9 megapixels.

    Pictures below 32 pixels a side show too little: they get no task.
    """
    crops = crops_of(picture)
    if min(picture.pixels.shape[:2]) < _SMALLEST:
        return _findings(picture, crops, None, 0.0, Verdict({}, {}))
    found = compression_of(crops)
    seen = found.quality if found.evidence >= _TRACE else None
    sigma, ratio = white_noise_of([luma_of(crop) for crop in crops])
    is_white = sigma >= _LEAST_NOISE and ratio >= _WHITE and (seen is None or seen >= _GOOD_QUALITY)
    verdict = judge(traces_of(crops, found))
    return _findings(picture, crops, seen, sigma if is_white else 0.0, verdict)


def _tasks(seen: int | None, white_noise: float, scores: dict[str, float]) -> tuple[str, ...]:
    """The faults that count, as tasks; `upscale` for an enlarged picture. The most certain comes first."""
    found = []
    if (seen is not None and seen < _GOOD_QUALITY) or (seen is None and scores["dejpeg"] >= _SECOND):
        found.append("dejpeg")
    if white_noise:
        found.append("denoise")
    is_fair = seen is not None and seen >= _FAIR_QUALITY
    others = {
        "derain": scores["derain"] - _RAIN_LATER,
        "denoise": scores["denoise"],
        "deblur": max(scores["defocus"], scores["motion"]),
        "upscale": scores["upscale"],
    }
    for task, score in sorted(others.items(), key=lambda one: -one[1]):
        # Noise in a camera's JPEG is as plain as in other files.
        is_first = not found or (task == "denoise" and found == ["dejpeg"] and is_fair)
        if task not in found and score >= (_FIRST if is_first else _SECOND):
            found.append(task)
    if "denoise" in found and is_fair:
        found = [task for task in found if task != "dejpeg"]  # the denoiser learns noise that was saved as such a JPEG
    return tuple(found)


def _findings(
    picture: Picture, crops: Sequence[Plane], seen: int | None, white_noise: float, verdict: Verdict
) -> Findings:
    height, width = picture.pixels.shape[:2]
    scores, levels = verdict.claims, verdict.levels
    tasks = _tasks(seen, white_noise, scores) if scores else ()
    blur = "none"
    if "deblur" in tasks:
        blur = "defocus" if scores["defocus"] >= scores["motion"] else "motion"
    is_grey = picture.pixels.shape[2] == 1 or all(is_neutral(crop / 255) for crop in crops)
    chroma = 0.0 if is_grey else levels.get("chroma", 0.0)
    if white_noise and not is_grey:
        chroma = float(np.mean([white_noise_of(planes, low=-128, high=128)[0] for planes in _chroma_planes(crops)]))
    return Findings(
        width=width,
        height=height,
        bits=picture.pixels.dtype.itemsize * 8,
        is_grey=is_grey,
        profile=_profile_name(picture.icc_profile),
        format=picture.source_format,
        noise=round(white_noise or levels.get("sigma", 0.0), 2),
        noise_chroma=round(chroma, 2),
        noise_is_coarse=not white_noise and scores.get("is_coarse", -1.0) > 0,
        jpeg_quality=picture.jpeg_quality,
        jpeg_quality_seen=seen,
        blur=blur,
        blur_pixels=round(levels.get({"defocus": "blur", "motion": "motion_length"}.get(blur, ""), 0.0), 1),
        rain=round(float(np.clip((scores.get("derain", -1.0) + 1) / 2, 0, 1)), 3),
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
