"""The types of a call of a `Restorer`."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import BinaryIO, Literal, TypeAlias, TypedDict, TypeVar

import numpy as np

from restore.inference.region import Region
from restore.inference.watching import Progress

File: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A file: its path, its bytes, or a binary stream."""

Values = TypeVar("Values", bound=np.generic)
"""The type of an array's values."""


class CallOptions(TypedDict, total=False):
    """The options of a call."""

    tile: int | Literal["auto"]
    overlap: int
    strength: float
    self_ensemble: bool
    memory: int | None
    region: Region | str | Sequence[int] | None
    progress: Progress | None
    cancel: threading.Event | None
