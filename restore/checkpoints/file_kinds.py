"""What a file is that should hold weights: its first bytes tell, and the error says it in our words."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from restore.errors import WeightsError

AGAIN = "download or copy it again"

_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


def refuse_other_kinds(path: Path, *, is_published: bool) -> None:
    """Refuse a file that is certainly no weights, such as a saved web page.

    Args:
        path: The file.
        is_published: True for a checkpoint of a network's authors, which `torch.save` wrote; False for safetensors.

    Raises:
        WeightsError: It cannot be read, or it is another kind of file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == ".onnx":
        hint = "use it to restore pictures; here, name the weights that it was exported from"
        raise WeightsError(f"{path} is an export for ONNX Runtime", hint=hint)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise WeightsError(f"{path} is empty", hint=AGAIN)
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights", hint="run `git lfs pull` in its repository")
    if text.startswith(_PAGES):
        raise WeightsError(f"{path} is a web page, not weights", hint="download the file itself, not the page about it")
    if re.match(rb'\{\s*"', text) and b"\0" not in start[:8]:  # a length of safetensors has a zero
        raise WeightsError(f"{path} is JSON text, not weights", hint="download the file itself")
    if start.startswith(b"\x1f\x8b"):
        raise WeightsError(f"{path} is a gzip archive", hint="unpack it first")
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the second is an archive without files
        _check_zip(path, is_published)
    elif not is_published:
        _check_safetensors(path, start, size)


def is_of_torch(path: Path) -> bool:
    """Whether a file begins as those of `torch.save` do: as a zip archive or a pickle.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    is_pickle = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and start[8:] != b"{"
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06")) or is_pickle


def _check_zip(path: Path, is_published: bool) -> None:
    """Refuse a zip archive; for published checkpoints one without the tensors of torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise WeightsError(f"{path} is damaged: its end is missing or its index is wrong", hint=AGAIN) from None
    if "constants.pkl" in names:
        hint = "use the state dict of the same network, a .safetensors or .pth file"
        raise WeightsError(f"{path} is a TorchScript program, which can run code", hint=hint)
    if "data.pkl" not in names:
        raise WeightsError(f"{path} is a zip archive without tensors", hint="unpack it and name the checkpoint in it")
    if not is_published:
        hint = "use a .safetensors file, or `restore weights import`"
        raise WeightsError(f"{path} is a checkpoint of torch.save, not a safetensors file", hint=hint)


def _check_safetensors(path: Path, start: bytes, size: int) -> None:
    """Refuse a file whose first eight bytes are not the length of a JSON header that fits into it."""
    length = int.from_bytes(start[:8], "little")
    if start.startswith(b"\x80") and start[1:2] in b"\x02\x03\x04\x05" and length > size:
        hint = "use a .safetensors file, or `restore weights import`"
        raise WeightsError(f"{path} is a Python pickle, which can run code when opened", hint=hint)
    if size < 8 or length > size - 8 or start[8:9] != b"{":
        raise WeightsError(f"{path} is damaged or not a safetensors file: it has no whole header", hint=AGAIN)


def reason_of(error: Exception) -> str:
    """Why torch cannot read tensors from a file, without its words for programmers.

    >>> reason_of(ValueError("Weights only load failed ... Unsupported global: GLOBAL os.system was not allowed"))
    'it holds os.system, which can run code'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    held = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it holds {held[1]}, which can run code" if held else "it is damaged, or it holds more than tensors"
