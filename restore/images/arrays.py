"""Paths, Pillow images, arrays and tensors to `Picture` and back."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from restore.errors import PictureError, UsageError
from restore.images.picture import Picture, to_8_bits
from restore.images.reading import read_picture
from restore.images.restored_image import METADATA, RestoredImage
from restore.images.writing import agreeing

if TYPE_CHECKING:
    from torch import Tensor

Back = Callable[[Picture], Any]


def taken(image: Any) -> tuple[Picture, Back]:
    """The picture in an image of any type, and a function that turns a restored picture into the same type.

    Args:
        image: A path, or the bytes or a binary stream of a file; a `Picture`; a Pillow image; a tensor `(C, H, W)`; or
            an array `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or, with transparency, `(H, W, 2)` or `(H, W, 4)`. Types are
            uint8, uint16 and floats in [0, 1].

    Returns:
        The picture and the function. For a file, the function makes a Pillow image of 8 bits a channel.

    Raises:
        PictureError: The file cannot be read.
        UsageError: The input is not a picture.
    """
    if isinstance(image, Picture):
        return image, lambda restored: restored
    if isinstance(image, (str, os.PathLike)):
        return read_picture(Path(os.fsdecode(image))), _to_pillow
    if isinstance(image, Image.Image):
        return _from_pillow(image)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "detach") and hasattr(image, "ndim"):  # a tensor; streams have a detach, too
        return _from_tensor(image)
    stream = stream_of(image)
    try:
        return read_picture(stream), _to_pillow
    except PictureError as error:
        what = "the bytes" if isinstance(image, (bytes, bytearray, memoryview)) else "the stream"
        raise PictureError(error.message.replace("standard input", what), hint=error.hint) from error


def stream_of(image: Any) -> BinaryIO:
    """The bytes of a file, or a binary stream, as a binary stream.

    Raises:
        UsageError: It is neither.
        PictureError: The stream cannot be read.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return io.BytesIO(image)
    if not callable(getattr(image, "read", None)):
        raise UsageError(
            f"cannot restore an object of type {type(image).__name__}",
            hint="give a path, bytes, a binary stream, a Pillow image, a NumPy array or a tensor",
        )
    try:
        content = b"" if isinstance(image, io.TextIOBase) else image.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise PictureError(f"cannot read the stream: {error}", hint="check where it comes from") from error
    if isinstance(image, io.TextIOBase) or not isinstance(content, bytes):
        raise UsageError("the stream holds text, not bytes", hint="open the file in binary mode: open(path, 'rb')")
    return io.BytesIO(content)


def _from_pillow(image: Image.Image) -> tuple[Picture, Back]:
    if image.mode.startswith("I;16"):  # also I;16B and I;16L
        picture, _ = _from_array(np.asarray(image))
        return picture, lambda restored: Image.fromarray(restored.pixels[..., 0])
    plain = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}.get(image.mode)
    if plain is None:
        if image.mode in ("I", "F"):  # their range is unknown
            raise UsageError(f"cannot restore a Pillow image of mode {image.mode}", hint="convert it to L or RGB")
        image = image.convert("LA") if image.mode == "La" else image  # premultiplied
        plain = "LA" if image.mode == "LA" else "RGBA" if image.has_transparency_data else "RGB"
    picture, _ = _from_array(np.asarray(image if image.mode == plain else image.convert(plain)))
    # The profile of another colour model does not describe RGB.
    kept = [key for key in METADATA if key in image.info]
    info: dict[str | tuple[int, int], Any] = {
        key: image.info[key] for key in kept if key != "icc_profile" or image.mode not in ("CMYK", "LAB")
    }

    def back(restored: Picture) -> Image.Image:
        made = _to_pillow(restored)
        made.info.update(info)
        return made

    return picture, back


def _to_pillow(picture: Picture) -> Image.Image:
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha[..., None]]
    pixels = np.concatenate(parts, axis=2)
    pixels = to_8_bits(pixels)
    image = RestoredImage.of(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    picture = agreeing(picture, "PNG")  # EXIF and XMP state the size
    exif = None if picture.exif is None else b"Exif\0\0" + picture.exif
    known = {"icc_profile": picture.icc_profile, "exif": exif, "xmp": picture.xmp, "dpi": picture.dpi}
    image.info.update({key: value for key, value in known.items() if value is not None})
    return image


def _from_array(array: np.ndarray) -> tuple[Picture, Back]:
    array = np.asarray(array)  # a matrix and a masked array are subclasses with indices of their own
    shape, dtype = array.shape, array.dtype
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in shape:
        raise UsageError(
            f"an array of shape {shape} is not a picture",
            hint="give (H, W) or (H, W, C) with 1 to 4 channels, one picture at a time",
        )
    if dtype.kind == "f":
        pixels = pixels.astype(np.float32)
        lowest, highest = float(pixels.min()), float(pixels.max())
        if not np.isfinite(lowest + highest):
            raise UsageError("a picture with NaN or infinity cannot be restored", hint="replace these values first")
        if lowest < 0 or highest > 1:
            hint = "divide values in [0, 255] by 255" if highest > 2 else "use clip(0, 1)"
            raise UsageError(f"float pictures must be in [0, 1], not {lowest:g} to {highest:g}", hint=hint)
    elif dtype.kind == "u" and dtype.itemsize <= 2:
        pixels = pixels.astype(dtype.newbyteorder("="), copy=False)
    else:
        raise UsageError(f"an array of {dtype} is not a picture", hint="give uint8, uint16, or floats in [0, 1]")
    has_alpha = pixels.shape[2] in (2, 4)

    def back(restored: Picture) -> np.ndarray:
        result = restored.pixels
        if restored.alpha is not None:
            result = np.concatenate([result, restored.alpha[..., None]], axis=2)
        return (result[..., 0] if len(shape) == 2 else result).astype(dtype, copy=False)

    return Picture(pixels[..., :-1] if has_alpha else pixels, pixels[..., -1] if has_alpha else None), back


def _from_tensor(tensor: Tensor) -> tuple[Picture, Back]:
    if tensor.ndim != 3:
        raise UsageError(
            f"a tensor of shape {tuple(tensor.shape)} is not a picture", hint="give (C, H, W) or a batch (B, C, H, W)"
        )
    import torch

    if not 1 <= tensor.shape[0] <= 4 or not tensor.numel():
        raise UsageError(
            f"a tensor of shape {tuple(tensor.shape)} is not a picture",
            hint="give (C, H, W) with 1 to 4 channels; channels come first",
        )
    if (
        tensor.layout != torch.strided
        or tensor.is_meta
        or not (tensor.dtype == torch.uint8 or tensor.is_floating_point())
    ):
        raise UsageError(
            f"a tensor of {tensor.dtype} on {tensor.device} is not a picture", hint="give uint8, or floats in [0, 1]"
        )
    plain = tensor.detach().cpu() if tensor.dtype == torch.uint8 else tensor.detach().cpu().to(torch.float32)
    picture, back = _from_array(plain.permute(1, 2, 0).numpy())
    return picture, lambda restored: torch.from_numpy(back(restored)).permute(2, 0, 1).to(tensor)
