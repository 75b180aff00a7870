"""Inspects a picture: noise, JPEG compression, blur, rain, enlargement."""

from __future__ import annotations

import io
from collections.abc import Sequence


from restore.images import Picture
from restore.images.neutral import is_neutral
from restore.inspection.compression import Compression, compression_of
from restore.inspection.crops import Plane, crops_of
from restore.inspection.findings import Findings
from restore.inspection.traces import traces_of
from restore.inspection.verdict import Verdict, judge

SMALLEST = 32  # pixels of a side; smaller pictures show too little
CERTAIN = 0.5  # probability from which a fault counts
TRACE = 0.15  # evidence of a JPEG compression
GOOD_QUALITY = 88  # JPEG artifacts are invisible from here on


def inspect(picture: Picture) -> Findings:
    """What is wrong with a picture, from crops of at most 1.3 megapixels.

    Pictures below 32 pixels a side show too little: they get no task.
    """
    height, width = picture.pixels.shape[:2]
    crops = crops_of(picture)
    if min(height, width) < SMALLEST:
        return _findings(picture, crops, Compression(100, 0.0, 0, 0, 0), Verdict({}, {}))
    compression = compression_of(crops)
    return _findings(picture, crops, compression, judge(traces_of(crops, compression)))


def _findings(picture: Picture, crops: Sequence[Plane], compression: Compression, verdict: Verdict) -> Findings:
    height, width = picture.pixels.shape[:2]
    claims, levels = verdict.claims, verdict.levels
    seen = compression.quality if compression.evidence >= TRACE else None
    defocus, motion = claims.get("defocus", 0.0), claims.get("motion", 0.0)
    blur = "none" if max(defocus, motion) < CERTAIN else "defocus" if defocus >= motion else "motion"
    tasks = {
        "derain": claims.get("derain", 0.0) >= CERTAIN,
        "dejpeg": claims.get("dejpeg", 0.0) >= CERTAIN if seen is None else seen < GOOD_QUALITY,
        "denoise": claims.get("denoise", 0.0) >= CERTAIN,
        "deblur": blur != "none",
    }
    is_enlarged = claims.get("upscale", 0.0) >= CERTAIN
    return Findings(
        width=width,
        height=height,
        bits=picture.pixels.dtype.itemsize * 8,
        is_grey=picture.pixels.shape[2] == 1 or all(is_neutral(crop) for crop in crops),
        profile=_profile_name(picture.icc_profile),
        format=picture.source_format,
        noise=round(levels.get("sigma", 0.0), 2),
        noise_chroma=round(levels.get("chroma", 0.0), 2),
        noise_is_coarse=claims.get("is_coarse", 0.0) >= CERTAIN,
        jpeg_quality=picture.jpeg_quality,
        jpeg_quality_seen=seen,
        blur=blur,
        blur_pixels=round(levels.get({"defocus": "blur", "motion": "motion_length"}.get(blur, ""), 0.0), 1),
        rain=round(claims.get("derain", 0.0), 3),
        enlarged=round(max(1.0, levels.get("enlarged", 0.0) + 1), 2) if is_enlarged else 1.0,
        tasks=tuple(task for task, is_needed in tasks.items() if is_needed),
    )


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
