"""AVIF (Pillow; deeper ones with imagecodecs) and HEIC (pillow-heif)."""

from __future__ import annotations

import re
import struct
from typing import IO, Any

import numpy as np
from PIL import AvifImagePlugin, Image

from restore.images import heif_boxes, metadata, pillow
from restore.images.metadata.xmp import without
from restore.images.picture import (
    DEFAULT_QUALITY,
    Picture,
    Refusal,
    bands,
    check_page,
    check_size,
    contents,
    interleaved,
    split,
    straight,
    to_16_bits,
    widen,
)

_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC"}
_NEUTRAL = (1, 13)  # BT.709 primaries and the sRGB curve: the default, so not stored


def kind_of(head: bytes) -> str | None:
    """AVIF, HEIC or RAW (Canon's CR3), from the brands in the first box of the file.

    >>> kind_of(b"\\0\\0\\0\\x1cftypmif1\\0\\0\\0\\0mif1avif")
    'AVIF'
    """
    if head[4:8] != b"ftyp":
        return None
    (length,) = struct.unpack(">I", head[:4])
    brands = [head[8:12]] + [head[k : k + 4] for k in range(16, min(length, len(head)), 4)]
    if b"crx " in brands:
        return "RAW"
    known = (_BRANDS[brand] for brand in brands if brand in _BRANDS)
    return next(known, "HEIC" if {b"mif1", b"msf1", b"heim", b"heis"} & set(brands) else None)


def read_avif(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    image: Any = AvifImagePlugin.AvifImageFile(file)
    check_size(image.size, max_pixels, file)
    check_page(picture, image.n_frames)
    encoded = contents(file)
    items = heif_boxes.read(encoded)
    picture.source_is_lossless = False
    if deep := _deep_avif(encoded, picture.page - 1):
        picture.pixels, picture.alpha = deep
    else:
        image.seek(picture.page - 1)
        pillow.load(image, picture)
    if (crop := items.crop()) and image.n_frames == 1:
        left, top, width, height = crop
        picture.pixels = picture.pixels[top : top + height, left : left + width]
        picture.alpha = None if picture.alpha is None else picture.alpha[top : top + height, left : left + width]
    metadata.take_profile(image.info.get("icc_profile"), picture)
    _take_cicp(file, picture)
    _take_xmp(image.info.get("xmp"), items, picture)  # only EXIF turns an AVIF
    picture.damage = heif_boxes.damage_of(encoded, items)
    return metadata.take_exif(image.info.get("exif") or b"", picture)


def _take_xmp(xmp: object, items: heif_boxes.Items, picture: Picture) -> None:
    """Sets the XMP, without what it states about parts that are left out; notes those."""
    if left_out := items.left_out():
        picture.note(f"its {' and '.join(left_out)} {'are' if left_out[1:] else 'is'} dropped")
    metadata.take_xmp(without(xmp, ["gain map"]) if isinstance(xmp, bytes) and left_out else xmp, picture)


def _deep_avif(encoded: bytes, frame: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Pixels and alpha of an AVIF of more than 8 bits, not yet upright. None for 8 bits, which Pillow reads."""
    # AV1 codec configuration, 4 bytes: the third has the flags high_bitdepth and twelve_bit.
    found = re.search(rb"av1C\x81.(.)", encoded, re.DOTALL)
    if found is None or not found[1][0] & 0x40:
        return None
    import imagecodecs

    values = imagecodecs.avif_decode(encoded, index=frame)
    values = values[0] if values.ndim == 4 else values
    values = values.reshape(*values.shape[:2], -1)
    widen(values, 12 if found[1][0] & 0x20 else 10)
    return split(values)


def _take_cicp(file: IO[bytes], picture: Picture) -> None:
    """Sets the colours that an AVIF without a profile states, as a cICP chunk of PNG."""
    file.seek(0)
    found = re.search(rb"colrnclx(.{7})", file.read(1 << 16), re.DOTALL)
    if found and not picture.icc_profile:
        primaries, transfer, _, _ = struct.unpack(">HHHB", found[1])
        _set_cicp(primaries, transfer, picture)


def _set_cicp(primaries: int, transfer: int, picture: Picture) -> None:
    is_said = primaries not in (0, 2) and transfer not in (0, 2) and max(primaries, transfer) < 256
    if is_said and not (primaries == 1 and transfer in (1, 6, 13)):
        picture.colour[b"cICP"] = bytes((primaries, transfer, 0, 1))


def _library() -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise Refusal("no decoder for HEIC is installed", "pip install 'restore-photos[heif]'") from None
    return pillow_heif


def check_encoder() -> None:
    """Raises Refusal if no encoder for HEIC is installed."""
    try:
        _library()
    except Refusal as refusal:
        raise Refusal("no encoder for HEIC is installed", refusal.hint) from None


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture` from a HEIC, upright."""
    library = _library()
    images = library.HeifFile(file, convert_hdr_to_8bit=False, hdr_to_16bit=True)
    check_page(picture, len(images))
    order = sorted(range(len(images)), key=lambda k: k != images.primary_index)
    image = images[order[picture.page - 1]]
    check_size(image.size, max_pixels, file)
    values = np.asarray(image)
    values = values.reshape(*values.shape[:2], -1)
    width = image.size[0]  # the decoder may pad rows
    values = values[:, :width]
    if values.dtype == np.uint16:  # the value is in the highest bits
        values = values >> (16 - image.info["bit_depth"])
        widen(values, image.info["bit_depth"])
    picture.pixels, picture.alpha = split(values)
    if image.mode.split(";")[0].endswith("a") and picture.alpha is not None:
        picture.pixels = straight(picture.pixels, picture.alpha)
    picture.source_is_lossless = False
    metadata.take_profile(image.info.get("icc_profile"), picture)
    encoded = contents(file)
    items = heif_boxes.read(encoded)
    _take_xmp(image.info.get("xmp"), items, picture)
    picture.damage = heif_boxes.damage_of(encoded, items) if picture.page == 1 else None
    metadata.take_exif(image.info.get("exif") or b"", picture)
    nclx = image.info.get("nclx_profile")
    if nclx and not picture.icc_profile:
        _set_cicp(nclx["color_primaries"], nclx["transfer_characteristics"], picture)
    return 0


class _Verbatim(Image.Exif):
    """EXIF that Pillow writes unchanged. For AVIF it would remove the orientation and repack the rest."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._verbatim = data

    def __bool__(self) -> bool:
        return True

    def tobytes(self, offset: int = 8) -> bytes:
        return self._verbatim


def write_avif(file: IO[bytes], picture: Picture, quality: int | None) -> None:
    """Writes AVIF of 8 bits with full chroma."""
    # 4 megapixels of photos at quality 95: speed 6 (Pillow's default) takes 7.7 s for 46.4 dB in 1.77 MB, speed 9
    # takes 0.8 s for 46.2 dB in 1.79 MB. Speed 10 and threads gain nothing more.
    pillow.save(
        file,
        picture,
        "AVIF",
        exif=_Verbatim(picture.exif) if picture.exif else None,
        quality=quality or max(DEFAULT_QUALITY, picture.jpeg_quality or 0),
        subsampling="4:0:0" if picture.pixels.shape[2] == 1 and picture.alpha is None else "4:4:4",
        speed=9,
    )


def write(file: IO[bytes], picture: Picture, quality: int | None) -> None:
    """Writes HEIC with full chroma and 8 bits, or 12 for a picture of 16 bits or floats."""
    library = _library()
    height, width, channels = picture.pixels.shape
    mode = ("L" if channels == 1 else "RGB") + ("" if picture.alpha is None else "A")
    is_deep = picture.pixels.dtype != np.uint8
    values = np.ascontiguousarray(to_16_bits(interleaved(picture, slice(None))))
    if is_deep:
        picture.note("HEIC holds 12 bits; the picture is rounded to them")
        for rows in bands(height, 8 * width):
            twelve = (values[rows].astype(np.uint32) * 4095 + 32767) // 65535
            values[rows] = twelve << 4
        library.options.SAVE_HDR_TO_12_BIT = True
        mode += ";16"
    options: dict[str, Any] = {"quality": quality or DEFAULT_QUALITY, "chroma": 444}
    if picture.icc_profile:
        options["icc_profile"] = picture.icc_profile
    elif cicp := picture.colour.get(b"cICP"):
        options |= {"color_primaries": cicp[0], "transfer_characteristics": cicp[1]}
    elif profile := metadata.profile_for(picture):
        options["icc_profile"] = profile
    if picture.exif:
        options["exif"] = b"Exif\0\0" + picture.exif
    if picture.xmp:
        options["xmp"] = metadata.upright_xmp(picture.xmp)  # else pillow-heif would rotate it
    library.encode(mode, (width, height), values.data.cast("B"), file, **options)
