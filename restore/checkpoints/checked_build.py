"""A checkpoint's config and shapes are compared with the file's header before its network takes memory.

A file of 200 bytes can name a config of terabytes. So the config's values have limits that follow from the header, and
each tensor of the network must be in the header as soon as it is made, before its values are set. What does not fit is
then named with the help of the device `meta`, which needs no memory.
"""

from __future__ import annotations

import inspect
import json
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from restore.errors import WeightsError, did_you_mean, first_few
from restore.networks import Network

FLOATS = ("F16", "BF16", "F32", "F64")  # the types of safetensors that are accepted
_SMALL = 256  # a whole number up to this is always accepted
_LONGEST_CONFIG = 10_000  # characters
_LARGEST_SEED = 2**32 - 1_000_000  # NumPy's largest, less what a network adds for each block
_LARGEST_MULTIPLE = 4096  # pixels; pictures are padded to a multiple
_MOST_CONSTANTS = 2**25  # values that a network computes and the file does not hold, such as rotations
_MAY_BE_0 = ("attend", "blocks", "refine", "seed")
_COUNTS = ("blocks", "refine")  # each adds tensors
_SET_VALUES = frozenset({"normal_", "uniform_", "zero_", "fill_", "mul_", "__imul__", "__setitem__"})


@dataclass(frozen=True)
class TensorHead:
    """What the header says of one tensor: its shape, and its type in the words of safetensors, such as `F32`."""

    shape: tuple[int, ...]
    type: str


Header = Mapping[str, TensorHead]


class _NotInHeaderError(Exception):
    """The network has a tensor that the file lacks."""


class _Without(TorchFunctionMode):
    """Skips the named functions, which set values. On the device `meta` some take seconds to import a compiler."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__()
        self.names = names

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__ in self.names:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def parse_config(text: str) -> dict[str, Any]:
    """The config in a checkpoint's metadata.

    Raises:
        WeightsError: It is not a JSON object, is nested deeply, is too long, or has a key twice.
    """
    if len(text) > _LONGEST_CONFIG:
        raise WeightsError(f"its config has {len(text)} characters; at most {_LONGEST_CONFIG} are read")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise WeightsError(f"its config has the key {_shown(twice[0])} twice")
        return dict(pairs)

    try:
        config = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):  # of a number of many digits, and of deep nesting
        config = None
    if not isinstance(config, dict):
        raise WeightsError(f"its config is not a JSON object: {_shown(text)}")
    return config


def build(kind: type[Network], config: dict[str, Any], header: Header) -> Network:
    """The network of a config, whose tensors have the names and shapes of the header, and values of a new network.

    Args:
        kind: The class of the network.
        config: Its keyword arguments, as a file gives them.
        header: What the file holds.

    Raises:
        WeightsError: A value is out of its limits, or a tensor is missing, unknown, misshaped or not of floats.
    """
    check_config(kind, config, header)
    try:
        with _at_most(Counter(head.shape for head in header.values())), _plain_defaults():
            network = kind(**config)
        fits = True
    except _NotInHeaderError:
        network, fits = without_values(kind, config, len(header)), False
    except Exception as error:  # errors of a hostile config have no common type
        raise WeightsError(f"no network can be built from its config {_shown(config)}") from error
    own = network.state_dict()
    faults = [f"{key} is missing" for key in own if key not in header]
    faults += [f"{key} is unknown" for key in header if key not in own]
    for key in own.keys() & header.keys():
        given, wanted = header[key], tuple(own[key].shape)
        if given.shape != wanted:
            faults.append(f"{key} is {given.shape}, not {wanted}")
        elif given.type not in FLOATS:
            faults.append(f"{key} is of type {given.type}, not one of {', '.join(FLOATS)}")
    if faults:
        raise WeightsError(f"its tensors do not fit its network: {first_few(sorted(faults))}")
    if not fits or network.channels not in (1, 3) or network.size_multiple > _LARGEST_MULTIPLE:
        raise WeightsError(f"no usable network can be built from its config {_shown(config)}")
    return network


def without_values(kind: type[Network], config: dict[str, Any], tensors: int) -> Network:
    """The network on the device `meta`, to name what differs from a file of so many tensors.

    Raises:
        WeightsError: No network can be built, or it has many more tensors.
    """
    try:
        with _at_most(None, tensors + 100), torch.device("meta"), _Without(_SET_VALUES):
            return kind(**config)
    except _NotInHeaderError:
        message = f"its config {_shown(config)} needs more than the {tensors} tensors of the file"
        raise WeightsError(f"its tensors do not fit its network: {message}") from None
    except Exception as error:  # as above
        raise WeightsError(f"no network can be built from its config {_shown(config)}") from error


@contextmanager
def _plain_defaults() -> Iterator[None]:
    """Whatever the caller set as PyTorch's defaults, a network is made on the CPU in float32."""
    default = torch.get_default_dtype()
    if default == torch.float32:
        with torch.device("cpu"):
            yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(default)


@contextmanager
def _at_most(shapes: Counter[tuple[int, ...]] | None, count: int = 0) -> Iterator[None]:
    """While a network is built, stop at the first tensor that the file does not have.

    Args:
        shapes: How many tensors of each shape there may be; None: `count` of any shape.
        count: How many tensors there may be, if `shapes` is None.
    """
    left = None if shapes is None else shapes.copy()
    made: dict[tuple[Any, str], tuple[int, ...]] = {}  # a module may set a parameter anew, in another layout
    constants = 0
    thread = threading.get_ident()  # the hooks are called for the networks of all threads

    def parameter(module: Any, name: str, tensor: torch.Tensor | None) -> None:
        if tensor is None or threading.get_ident() != thread:
            return
        shape = tuple(tensor.shape)
        if left is not None and made.get((module, name)) != shape:
            left[shape] -= 1
        made[module, name] = shape
        if len(made) > count if left is None else left[shape] < 0:
            raise _NotInHeaderError(name)

    def buffer(module: Any, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal constants
        if tensor is not None and threading.get_ident() == thread:
            constants += tensor.numel()
            if constants > _MOST_CONSTANTS:
                raise ValueError(f"more than {_MOST_CONSTANTS} constants")

    hooks = register_module_parameter_registration_hook(parameter), register_module_buffer_registration_hook(buffer)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors with values that are not finite.

    Raises:
        WeightsError: The message names them.
    """
    faults = [f"{key} has values that are not finite" for key, tensor in tensors.items() if not _is_finite(tensor)]
    if faults:
        raise WeightsError(first_few(sorted(faults)), hint="these weights are of no use: the training failed")


def _is_finite(tensor: torch.Tensor) -> bool:
    # The sum is several times faster. It can overflow, so only a finite one decides.
    return math.isfinite(float(tensor.sum(dtype=torch.float32))) or bool(torch.isfinite(tensor).all())


def check_config(kind: type[Network], config: dict[str, Any], header: Header) -> None:
    """Check the names, types and ranges of a config's values.

    Raises:
        WeightsError: One is wrong.
    """
    defaults = _defaults(kind)
    sides = [side for head in header.values() if 0 not in head.shape for side in head.shape]
    for key, value in config.items():
        if key not in defaults:
            raise WeightsError(f"its config has an unknown key {_shown(key)}", hint=did_you_mean(key[:99], defaults))
        most = _LARGEST_SEED if key == "seed" else len(header) if key in _COUNTS else max([_SMALL, *sides])
        if fault := _fault(value, defaults[key], 0 if key in _MAY_BE_0 else 1, most):
            raise WeightsError(f"{key} in its config is {_shown(value)}, not {fault}")
    values = defaults | config
    heads = values.get("heads", 1)
    for level, count in enumerate(heads if isinstance(heads, list | tuple) else [heads]):
        if (width := values.get("dim", 0) << level) % count:
            raise WeightsError(f"heads in its config is {count}, which does not divide {width} channels")


def _defaults(kind: type[Network]) -> dict[str, Any]:
    """The keyword arguments of a network, and of the network that it adds to, with their defaults."""
    return {
        parameter.name: parameter.default
        for base in reversed(kind.__mro__)
        if issubclass(base, Network) and "__init__" in vars(base)
        for parameter in inspect.signature(vars(base)["__init__"]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _fault(value: Any, default: Any, least: int, most: int) -> str | None:
    """What the value of a config should be, if it is not: of the default's type and in its range."""
    if type(default) is bool:
        return None if type(value) is bool else "true or false"
    if type(default) is float:
        fits = type(value) in (int, float) and 0 <= value <= 1000  # nan is not
        return None if fits else "a number from 0 to 1000"
    whole = f"a whole number from {least} to {most}"
    if type(default) is int:
        return None if type(value) is int and least <= value <= most else whole
    if value is None and default is None:
        return None
    length = None if default is None else len(default)
    fits = isinstance(value, list | tuple) and len(value) <= _SMALL and length in (None, len(value))
    if fits and all(type(item) is int and least <= item <= most for item in value):
        return None
    return f"a list of {f'{length} times ' if length else ''}{whole}"


def _shown(value: Any) -> str:
    """A value of a stranger's file, cut to a readable length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return "a value that cannot be shown"
    return text if len(text) <= 80 else f"{text[:77]}..."
