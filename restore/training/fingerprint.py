"""Fingerprint of the files of a run: a resumed run must get the same files, and never trains on held-out ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from restore.errors import DataError

_PIECE, _PIECES = 8192, 8  # bytes of a piece, and how many pieces of a large file are read
File = tuple[Path, ...]  # a photo, or the clean and the degraded picture of a pair
Contents = Mapping[Path, str]  # `content_of` of every file


@dataclass(frozen=True)
class Fingerprint:
    """Which files a run trains on, and which it holds out.

    Attributes:
        trained, scored: Hashes of names and contents of the files to train on, and of those that are held out.
        held_out: Contents of every clean file that the run has ever held out (`content_of`).
        about: The files in words.
    """

    trained: str
    scored: str
    held_out: tuple[str, ...]
    about: str

    def is_same(self, other: Fingerprint) -> bool:
        """Whether both have the same files to train on, and the same held-out ones."""
        return (self.trained, self.scored) == (other.trained, other.scored)

    def to_json(self) -> str:
        """What the state of a run keeps."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """What `to_json` gave."""
        fields = json.loads(text)
        return cls(**fields | {"held_out": tuple(fields["held_out"])})


def fingerprint_of(
    trained: Sequence[File],
    held_out: Sequence[File],
    about: str,
    contents: Contents,
    before: Fingerprint | None = None,
) -> Fingerprint:
    """The fingerprint of a split.

    Args:
        trained: Files to train on, in order.
        held_out: Held-out files, in order.
        about: The files in words.
        contents: Of all these files.
        before: What the run held out before stays in the list.
    """
    ours = [contents[file[0]] for file in held_out]
    kept = dict.fromkeys([*(before.held_out if before else ()), *ours])
    return Fingerprint(_hash_of(trained, contents), _hash_of(held_out, contents), tuple(kept), about)


def contents_of(paths: Iterable[Path]) -> dict[Path, str]:
    """`content_of` of every file, read in several threads."""
    each = list(dict.fromkeys(paths))
    with ThreadPoolExecutor() as pool:
        return dict(zip(each, pool.map(content_of, each), strict=True))


def content_of(path: Path) -> str:
    """Size and hash of a file; of a large one, eight pieces from its beginning to its end.

    The last bytes of a PNG and the tables of a JPEG depend on all pixels, so pieces tell pictures apart.

    Raises:
        DataError: It cannot be read.
    """
    try:
        size = path.stat().st_size
        found = hashlib.blake2b(digest_size=16)
        with path.open("rb") as file:
            if size <= _PIECE * _PIECES:
                found.update(file.read())
            else:
                for index in range(_PIECES):
                    file.seek((size - _PIECE) * index // (_PIECES - 1))
                    found.update(file.read(_PIECE))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return f"{size}-{found.hexdigest()}"


def _hash_of(files: Iterable[File], contents: Contents) -> str:
    found = hashlib.blake2b(digest_size=16)
    for path in (path for file in files for path in file):
        found.update(f"{path.name}\0{contents[path]}\0".encode(errors="surrogateescape"))
    return found.hexdigest()
