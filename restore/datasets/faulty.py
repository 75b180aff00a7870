"""The error of pictures that cannot be used, which names every one of them."""

from __future__ import annotations

from collections.abc import Sequence

from restore.errors import DataError


class FaultyPictures(DataError):
    """Some pictures cannot be used.

    Args:
        message: How many, and the first ones.
        hint: What to do.
        faults: A sentence on each of them.
    """

    def __init__(self, message: str, *, hint: str, faults: Sequence[str]) -> None:
        super().__init__(message, hint=hint)
        self.faults = tuple(faults)
