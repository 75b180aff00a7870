"""Colour profiles: which fit the pixels, and those made for formats without other fields for colours."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import ImageCms

from restore.images.picture import Picture


def take_profile(profile: bytes | None, picture: Picture) -> None:
    """Sets the profile of `picture` if it fits the pixels, which must be set."""
    if profile and not (picture.icc_profile and profile is picture.icc_profile):
        space = profile[16:20] if profile[36:40] == b"acsp" and _is_whole(profile) else b""
        if space == _space(picture):
            picture.icc_profile = profile
        else:
            kind = space.decode("latin-1").strip()
            reason = f"does not fit the pixels ({kind})" if kind else "is damaged"
            picture.note(f"the colour profile {reason}; it is dropped")


def _is_whole(profile: bytes) -> bool:
    """Whether a profile is as long as its header says (ICC.1:2022, section 7.2.2)."""
    return len(profile) >= max(132, int.from_bytes(profile[:4], "big"))


def _space(picture: Picture) -> bytes:
    return b"RGB " if picture.pixels.shape[2] == 3 else b"GRAY"


def srgb_profile() -> bytes:
    """The sRGB profile, with the same bytes on every run."""
    written = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _undated(written)


def _undated(profile: bytes) -> bytes:
    # Bytes 24..35 are the creation time.
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]


def cmyk_transform(profile: bytes | None, picture: Picture) -> ImageCms.ImageCmsTransform | None:
    """The conversion to sRGB, or None for Pillow's plain formula. Sets the sRGB profile and a note."""
    if profile:
        try:
            transform = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                "CMYK",
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError):
            picture.note("the CMYK profile is unusable")
        else:
            picture.icc_profile = srgb_profile()
            picture.note("CMYK became sRGB through its own profile")
            return transform
    picture.note("CMYK without a usable profile became RGB; colours are approximate")
    return None


_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue: x and y
_CICP_PRIMARIES = {  # ITU-T H.273, table 2
    1: _SRGB,
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}


def profile_for(picture: Picture) -> bytes | None:
    """The profile for a format that stores colours only as a profile: the picture's, or one made from its `colour`.

    None means sRGB, the default of viewers. Colours that no profile can express are noted.
    """
    if picture.icc_profile or not picture.colour:
        return picture.icc_profile
    gamma: float | None = None
    places = _SRGB
    cicp = picture.colour.get(b"cICP")
    if cicp:
        if cicp[1] in (16, 18) or cicp[0] not in _CICP_PRIMARIES:
            picture.note("the colours are HDR, which only PNG and HEIC can state here; the mark is dropped")
            return None
        places = _CICP_PRIMARIES[cicp[0]]
    elif b"sRGB" not in picture.colour:
        if len(coded := picture.colour.get(b"gAMA", b"")) == 4 and (value := int.from_bytes(coded, "big")):
            gamma = 100_000 / value
        if len(coded := picture.colour.get(b"cHRM", b"")) == 32:
            places = tuple(v / 100_000 for v in struct.unpack(">8I", coded))
    is_srgb = max(abs(a - b) for a, b in zip(places, _SRGB, strict=True)) < 0.002
    if is_srgb and (gamma is None or abs(gamma - 2.2) < 0.02):  # files state sRGB as a gamma of 45455
        return None
    import imagecodecs

    levels = np.linspace(0, 1, 1024)
    curve = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    tone: dict[str, Any] = {"gamma": gamma} if gamma else {"transferfunction": curve.astype(np.float32)}
    white, *corners = zip(places[::2], places[1::2], strict=True)
    try:
        if picture.pixels.shape[2] == 1:
            profile = imagecodecs.cms_profile("gray", whitepoint=(*white, 1.0), **tone)
        else:
            profile = imagecodecs.cms_profile(
                "rgb", whitepoint=(*white, 1.0), primaries=[v for c in corners for v in (*c, 1.0)], **tone
            )
    except (ValueError, RuntimeError):
        picture.note("the gamma and the primaries make no colour profile; they are dropped")
        return None
    return _undated(profile)
