"""EXIF, XMP, IPTC, resolution and colour profiles: which parts stay with the pixels, and how they agree with them."""

from restore.images.metadata.exif import descriptive, packed, take_exif, upright
from restore.images.metadata.profiles import cmyk_transform, profile_for, srgb_profile, take_profile
from restore.images.metadata.resolution import take_dpi
from restore.images.metadata.xmp import take_xmp, upright_xmp

__all__ = [
    "cmyk_transform",
    "descriptive",
    "packed",
    "profile_for",
    "srgb_profile",
    "take_dpi",
    "take_exif",
    "take_profile",
    "take_xmp",
    "upright",
    "upright_xmp",
]
