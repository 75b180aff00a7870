"""What Pillow decodes and encodes, and the fields of `Picture` that it fills."""

from __future__ import annotations

import warnings
from typing import IO, Any

import numpy as np
from PIL import Image

from restore.images import metadata
from restore.images.metadata.resolution import take_stated
from restore.images.picture import Picture, bands, interleaved, to_8_bits

# Pillow warns of odd metadata. Everything that matters becomes an error or a note.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def layout_of(image: Any) -> str:
    """The layout of the pixels in the file as Pillow names it, such as "RGB;16B"; empty where it is not known."""
    return str(image.tile[0].args) if image.tile else ""


def load(image: Any, picture: Picture) -> None:
    """Decodes an opened image into the pixels and alpha of `picture`."""
    layout = layout_of(image)
    image.load()
    picture.pixels, picture.alpha = decoded(image, layout, picture)


def take_metadata(image: Any, picture: Picture) -> int:
    """Sets profile, resolution, EXIF and XMP of `picture`, whose pixels must be set. Returns the orientation."""
    if image.mode != "CMYK":
        metadata.take_profile(image.info.get("icc_profile"), picture)
    take_stated(image.info, picture)
    by_xmp = metadata.take_xmp(image.info.get("xmp"), picture)
    return metadata.take_exif(bytes(image.info.get("exif") or b""), picture) or by_xmp


def decoded(image: Any, raw_mode: str, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a loaded picture, converted in bands to avoid a second copy inside Pillow."""
    has_key = "transparency" in image.info  # one colour (PNG, palette) means "transparent"
    transform = None
    if image.mode == "CMYK":
        target, transform = "RGB", metadata.cmyk_transform(image.info.get("icc_profile"), picture)
    elif image.mode.startswith("I;16"):
        target = image.mode
    elif image.mode in ("1", "L", "LA", "La"):
        target = "LA" if has_key or image.mode.upper() == "LA" else "L"
    else:
        target = "RGBA" if has_key or image.mode in ("RGBA", "RGBa", "PA") else "RGB"
    if has_key and image.mode == "L":  # Pillow scales 2- and 4-bit grey to 0..255 but not the key
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}.get(raw_mode, 1)

    is_deep = target.startswith("I;16")
    width, height = image.size
    pixels = np.empty((height, width, 3 if target.startswith("RGB") else 1), np.uint16 if is_deep else np.uint8)
    alpha = np.empty((height, width), pixels.dtype) if target.endswith("A") or (is_deep and has_key) else None
    for rows in bands(height, 4 * width):
        band = image.crop((0, rows.start, width, rows.stop))
        if transform is not None:
            band = transform.apply(band)
        elif band.mode != target:
            band = band.convert(target)
        values = np.asarray(band).reshape(rows.stop - rows.start, width, -1)
        pixels[rows] = values[..., : pixels.shape[2]]
        if alpha is not None:
            alpha[rows] = _key_alpha(values, image.info["transparency"]) if is_deep else values[..., -1]
    return pixels, alpha


def _key_alpha(values: np.ndarray, key: int) -> np.ndarray:
    return np.where(values[..., 0] == key, 0, 65535)


def image_of(picture: Picture) -> Image.Image:
    """An 8-bit image: L, LA, RGB or RGBA. Copies an RGB picture once, into Pillow's four bytes per pixel."""
    height, width, channels = picture.pixels.shape
    mode = ("L" if channels == 1 else "RGB") + ("" if picture.alpha is None else "A")
    image = Image.new(mode, (width, height))
    for rows in bands(height, 4 * width):
        values = to_8_bits(interleaved(picture, rows))
        image.paste(Image.fromarray(values[..., 0] if mode == "L" else values), (0, rows.start))
    return image


def save(file: IO[bytes], picture: Picture, name: str, **options: Any) -> None:
    """Encodes a picture with its profile, XMP, resolution and EXIF, unless `options` name others."""
    options = {
        "icc_profile": metadata.profile_for(picture),
        "xmp": picture.xmp or b"",
        "dpi": picture.dpi or (0, 0),
        "exif": b"Exif\0\0" + picture.exif if picture.exif else None,
    } | options
    image_of(picture).save(file, name, **{key: value for key, value in options.items() if value is not None})
