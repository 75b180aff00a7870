"""The functions of exif.py, xmp.py, resolution.py and profiles.py under one name."""

from restore.images.exif import descriptive, packed, take_exif, upright
from restore.images.profiles import cmyk_transform, profile_for, srgb_profile, take_profile
from restore.images.resolution import take_dpi
from restore.images.xmp import take_xmp, upright_xmp

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
