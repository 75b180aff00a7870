"""Colour profiles, EXIF and XMP: which parts stay with the pixels."""

from __future__ import annotations

import io
import math
import re
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from PIL.ExifTags import IFD

from restore.images.picture import Picture

_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))([1-8])")
_DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """`array` (H, W, ...) as a viewer shows it, given the EXIF orientation 2..8 (EXIF 2.3, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def take_exif(exif: bytes, picture: Picture) -> int:
    """Sets the EXIF of `picture` with orientation 1; returns the original orientation, 0 if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif:
        return 0
    try:
        picture.exif, orientation = _reset_orientation(exif)
    except (KeyError, ValueError, struct.error):  # the pixels are still fine
        picture.note("damaged EXIF is dropped")
        return 0
    return orientation if 1 <= orientation <= 8 else 0


def _reset_orientation(exif: bytes) -> tuple[bytes, int]:
    """EXIF with the orientation of the main picture set to 1, and the original value. All other bytes stay.

    Rewriting the block would break maker notes, which point to places in the block.

    Raises:
        ValueError, KeyError, struct.error: `exif` is damaged.
    """
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == _ORIENTATION:
            value = order + ("I" if kind == 4 else "H")  # LONG or, as it should be, SHORT
            patched = bytearray(exif)
            struct.pack_into(value, patched, entry + 8, 1)
            return bytes(patched), struct.unpack_from(value, exif, entry + 8)[0]
    return exif, 0


def take_xmp(xmp: object, picture: Picture) -> int:
    """Sets the XMP of `picture` with orientation 1; returns the original orientation, 0 if there is none."""
    if not (isinstance(xmp, bytes) and xmp):
        return 0
    found = _XMP_ORIENTATION.search(xmp)
    picture.xmp = upright_xmp(xmp)
    return int(found[2]) if found else 0


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with its orientation set to 1.

    >>> upright_xmp(b"<a tiff:Orientation='6'/>")
    b"<a tiff:Orientation='1'/>"
    """
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def take_profile(profile: bytes | None, picture: Picture) -> None:
    """Sets the profile of `picture` if it fits the pixels, which must be set."""
    if profile and not (picture.icc_profile and profile is picture.icc_profile):
        space = profile[16:20] if profile[36:40] == b"acsp" else b""
        if space == _space(picture):
            picture.icc_profile = profile
        else:
            kind = space.decode("latin-1").strip() or "a damaged one"
            picture.note(f"the colour profile does not fit the pixels ({kind}); it is dropped")


def _space(picture: Picture) -> bytes:
    return b"RGB " if picture.pixels.shape[2] == 3 else b"GRAY"


def take_dpi(dpi: Any, picture: Picture) -> None:
    """Sets the resolution of `picture` if it is plausible."""
    try:
        across, down = (float(d) for d in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return
    if all(math.isfinite(d) and 0 < d < 65536 for d in (across, down)):
        picture.dpi = across, down


def descriptive(exif: Image.Exif) -> dict[int, Any]:
    """Tags that describe the photo, not the layout of the file; the Exif and GPS directories are dicts."""
    tags: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE_TAGS if tag in exif}
    for directory in (IFD.Exif, IFD.GPSInfo):
        if values := dict(exif.get_ifd(directory)):
            if IFD.Interop in values:
                values[IFD.Interop] = exif.get_ifd(IFD.Interop)
            tags[int(directory)] = values
    return tags


def packed(tags: dict[int, Any]) -> bytes | None:
    """EXIF that holds `descriptive` tags; None where there are none."""
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    return exif.tobytes().removeprefix(b"Exif\0\0") if tags else None


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
