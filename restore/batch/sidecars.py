"""XMP sidecars: files such as `a.xmp` or `a.jpg.xmp` beside the picture `a.jpg`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from restore.files import whole_file
from restore.images import Picture
from restore.images.metadata.xmp import agreeing, upright_xmp

_LARGEST = 64 << 20  # bytes; the largest that editors write have a few megabytes


def copy(source: Path, target: Path, picture: Picture | None, *, overwrite: bool) -> list[str]:
    """Copies the sidecars of a source to its output, under the output's name. Returns notes on what failed.

    Orientation and sizes in the copy are those of `picture`, the output; without one (several pages), only the
    orientation changes. A sidecar that lies beside the output under its name already is the user's own, and stays.

    Args:
        overwrite: Replace sidecars that exist.
    """
    notes = []
    for sidecar, name in _pairs(source, target):
        copied = target.with_name(name)
        if not sidecar.is_file() or (copied.exists() and copied.samefile(sidecar)):
            continue
        try:
            if sidecar.stat().st_size > _LARGEST:
                raise OSError("it is too large for XMP")
            packet = sidecar.read_bytes()
            if picture is None:
                packet = upright_xmp(packet)
            else:
                packet = agreeing(packet, dataclasses.replace(picture, history=())) or b""
            with whole_file(copied, replace=overwrite, rights=sidecar.stat().st_mode) as temporary:
                temporary.write_bytes(packet)
        except FileExistsError:
            notes.append(f"the sidecar {sidecar.name} is not copied: {name} already exists")
        except OSError as error:
            notes.append(f"the sidecar {sidecar.name} is not copied: {error.strerror or error}")
    return notes


def _pairs(source: Path, target: Path) -> list[tuple[Path, str]]:
    """Names that a sidecar of `source` can have, and those of its copies; once each where case does not matter."""
    found: list[tuple[Path, str]] = []
    for ending in (".xmp", ".XMP"):
        for old, new in ((source.stem, target.stem), (source.name, target.name)):
            path = source.with_name(old + ending)
            if not any(path.exists() and other.exists() and path.samefile(other) for other, _ in found):
                found.append((path, new + ending))
    return found
