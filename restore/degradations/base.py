"""The types and helpers that all degradations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.errors import UsageError

Image: TypeAlias = NDArray[np.float32]
Degrade = TypeVar("Degrade", bound=Callable[..., Any])


_FAR = 16.0  # noise of the largest sigma, 255, leaves [0, 1] by 6; pictures in [0, 255] leave it by more
_ROUNDING = 1e-3  # sums of weights that are 1 but for rounding


def check_picture(picture: Any, *, may_be_bytes: bool = False) -> None:
    """Refuse what is not a picture `(H, W, 3)` or `(H, W, 1)` of floats. Looks at type and shape, not at values.

    Args:
        picture: What was given.
        may_be_bytes: Whether uint8 is a picture, too.

    Raises:
        UsageError: It is of another type or shape.
    """
    if not isinstance(picture, np.ndarray):
        raise UsageError(
            f"an object of type {type(picture).__name__} cannot be degraded",
            hint="give an array (H, W, 3) of float32 in [0, 1]",
        )
    if picture.dtype.char not in ("fdB" if may_be_bytes else "fd"):  # float32, float64, uint8
        hint = "give float32 in [0, 1]"
        if picture.dtype in (np.uint8, np.uint16):
            hint += f": picture.astype(np.float32) / {np.iinfo(picture.dtype).max}"
        raise UsageError(f"an array of {picture.dtype} cannot be degraded", hint=hint)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or 0 in picture.shape:
        raise UsageError(
            f"an array of shape {picture.shape} cannot be degraded", hint="give (H, W, 3), one RGB picture at a time"
        )


def _check_range(picture: NDArray[Any], low: float, high: float) -> None:
    """Refuse a picture with values beyond a range, or not finite, with a UsageError."""
    lowest, highest = float(picture.min()), float(picture.max())
    if not np.isfinite(lowest + highest):
        raise UsageError("a picture with NaN or infinity cannot be degraded", hint="replace these values first")
    if lowest < low or highest > high:
        hint = "divide by 255" if highest > _FAR else "use np.clip(picture, 0, 1)"
        raise UsageError(f"values from {lowest:g} to {highest:g} are not in [0, 1]", hint=hint)


def check_level(name: str, value: Any, low: float, high: float, *, is_whole: bool = False) -> None:
    """Refuse what is not a number from `low` to `high`, or not a whole one.

    Raises:
        UsageError: It is something else; `name` says of what.
    """
    numbers = (int, np.integer) if is_whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, numbers) or not low <= value <= high:
        what = "a whole number" if is_whole else "a number"
        raise UsageError(f"{name} is {what} from {low:g} to {high:g}, not {value!r}")


def takes_picture(degrade: Degrade) -> Degrade:
    """`degrade`, after a check of its first argument, which becomes a contiguous array of float32.

    It must be a picture of finite values. Those beyond [0, 1] may be of noise; far beyond, they are of [0, 255].
    """

    @wraps(degrade)
    def checked(clean: Image, *args: Any, **kwargs: Any) -> Any:
        check_picture(clean)
        _check_range(clean, -_FAR, _FAR)
        return degrade(np.ascontiguousarray(clean, np.float32), *args, **kwargs)

    return cast(Degrade, checked)


def _takes_clean_picture(apply: Degrade) -> Degrade:
    """`apply` as by `takes_picture`, for clean RGB pictures: three channels in [0, 1]."""

    @wraps(apply)
    def checked(clean: Image, generator: Generator) -> Any:
        check_picture(clean)
        if not isinstance(generator, Generator):
            raise UsageError(
                f"an object of type {type(generator).__name__} draws nothing",
                hint="give numpy.random.default_rng(seed)",
            )
        if clean.shape[2] != 3:
            raise UsageError(
                f"an array of shape {clean.shape} cannot be degraded",
                hint="give three channels: np.repeat(picture, 3, axis=2)",
            )
        _check_range(clean, -_ROUNDING, 1 + _ROUNDING)
        return apply(np.ascontiguousarray(clean, np.float32), generator)

    return cast(Degrade, checked)


@dataclass(frozen=True)
class Degradation:
    """A drawn degradation, ready for any picture.

    Attributes:
        apply: `(clean, generator) -> (reference, degraded)`, three arrays `(H, W, 3)` in [0, 1]. It raises a UsageError
            for others; float64 becomes float32. Both results have `scale` times the size of `clean`; `degraded` is
            also smaller by `reduction`.
        scale: Size of the reference over size of `clean`.
        reduction: Size of the reference over size of the degraded picture: 2, 3 or 4 for upscaling, else 1.
        margin: Pixels along each border of the degraded picture that depend on what lies beyond it. Training crops are
            made larger by them, then lose them.
        grid: Side in pixels of the blocks that the degradation works on. Training crops start anywhere in a block.
        is_oriented: Whether the direction matters: training crops are flipped and rotated before the degradation, not
            after it.
    """

    apply: Callable[[Image, Generator], tuple[Image, Image]]
    scale: float = 1.0
    reduction: int = 1
    margin: int = 0
    grid: int = 1
    is_oriented: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "apply", _takes_clean_picture(self.apply))


Draw: TypeAlias = Callable[[Generator], Degradation]  # draws a degradation before the picture is known


def to_8_bits(picture: NDArray[np.floating]) -> Image:
    """Clip to [0, 1] and round to 256 levels, still as float32.

    Args:
        picture: Floats, in any shape.

    Raises:
        UsageError: It is of another type.
    """
    if not isinstance(picture, np.ndarray) or picture.dtype.kind != "f":
        check_picture(picture)  # which says what to do
    levels: Image = np.round(np.clip(picture, 0, 1) * 255).astype(np.float32)
    return levels / np.float32(255)


def log_uniform(generator: Generator, low: float, high: float) -> float:
    """A random number between `low` and `high`, both above 0, whose logarithm is uniform."""
    return float(np.exp(generator.uniform(*np.log([low, high]))))
