"""Exports a network to ONNX and checks the result against torch."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

import restore
from restore.checkpoints import CheckpointInfo
from restore.errors import RestoreError, UsageError
from restore.export.contract import INPUT, OPSET, OUTPUT, Facts
from restore.networks import Network
from restore.networks.blocks import TwoForms
from restore.networks.kit import KiT

if TYPE_CHECKING:
    import onnx

INSTALL = "pip install 'restore-photos[onnx]'"
LARGEST_DIFFERENCE = 0.5 / 255  # half a grey level of 8 bits
FIXED_TILE = 512  # the default side where the file takes only one
_LARGEST_SIDE = 16384  # pixels, of a file that takes all sizes
_NEWEST_IR = 10  # that darktable's oldest ONNX Runtime (1.18) reads


@dataclass(frozen=True)
class Exported:
    """An ONNX model that passed its check.

    Attributes:
        content: The bytes of the file.
        facts: Its metadata.
    """

    content: bytes
    facts: Facts


def takes_all_sizes(network: Network) -> bool:
    """Whether the network can be exported for all sizes.

    KiT's and CS-KiT's chunks make shapes that torch's exporter does not resolve in reasonable time.
    """
    return not isinstance(network, KiT)


def check_tile(network: Network, tile: int) -> None:
    """Refuse a side that the network cannot take.

    Raises:
        UsageError: The network cannot take it.
    """
    if tile < network.min_size or tile % network.size_multiple:
        near = max(network.min_size, math.ceil(tile / network.size_multiple) * network.size_multiple)
        raise UsageError(
            f"tiles of {tile} pixels do not fit these weights: they take multiples of {network.size_multiple}",
            hint=f"use --tile {near}",
        )


def export(
    network: Network, info: CheckpointInfo, *, tile: int | None = None, say: Callable[[str], None] = lambda _: None
) -> Exported:
    """Export a network and compare ONNX Runtime with torch, which runs as for pictures.

    Args:
        network: A loaded network, in float32 on the CPU. It is left in evaluation mode, in its fast form.
        info: Its checkpoint.
        tile: The only side that the file takes, in pixels; None: all sizes, or `FIXED_TILE` where that cannot be.
        say: Told what happens.

    Raises:
        UsageError: The network cannot take `tile`.
        RestoreError: A package is missing, or the result differs from torch's.
    """
    _check_packages()
    if tile is None and not takes_all_sizes(network):
        tile = math.ceil(max(FIXED_TILE, network.min_size) / network.size_multiple) * network.size_multiple
        say(f"note:  {info.network} takes one size in ONNX: tiles of {tile} pixels; --tile sets another")
    if tile is not None:
        check_tile(network, tile)
    network.eval().requires_grad_(False)
    say("exporting ..." if tile else "exporting for all sizes; this takes minutes ...")
    model = _model(network, tile)
    sizes = [(tile, tile)] if tile else _sizes(network)
    difference = _difference(model.SerializeToString(), network, sizes)
    say(f"largest difference from torch: {difference:.1e}, {255 * difference:.5f} of a grey level")
    if not difference <= LARGEST_DIFFERENCE and not difference <= 2 * _rounding(network, sizes):
        raise RestoreError(
            f"the exported network differs from torch by {255 * difference:.2f} grey levels; nothing is written",
            hint="try another --tile, or other versions of torch and onnxruntime",
        )
    facts = _facts(network, info, tile, difference)
    for key, value in facts.to_metadata().items():
        model.metadata_props.add(key=key, value=value)
    return Exported(model.SerializeToString(), facts)


def _check_packages() -> None:
    """Refuse to begin without the extra."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise RestoreError(f"an export needs {package}, which is not installed", hint=INSTALL) from None


def _model(network: Network, tile: int | None) -> onnx.ModelProto:
    """The network as an ONNX model, of one size or of all."""
    multiple = network.size_multiple
    side = tile or max(2 * multiple, network.min_size, 48 // multiple * multiple)
    example = torch.zeros(1, network.channels, side, side if tile else side + multiple)
    shapes: Any = None
    if tile is None:
        least, most = math.ceil(network.min_size / multiple), _LARGEST_SIDE // multiple
        height, width = (torch.export.Dim(name, min=least, max=most) for name in ("height", "width"))
        shapes = ({2: multiple * height, 3: multiple * width},)
    with _plain(network), _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                network, (example,), dynamo=True, dynamic_shapes=shapes, input_names=[INPUT], output_names=[OUTPUT],
                opset_version=OPSET, verbose=False,
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0][:200]
            hint = "give one size with --tile" if tile is None else "try another --tile, or a newer torch"
            raise RestoreError(f"torch cannot export this network: {reason}", hint=hint) from error
    assert program is not None
    model = program.model_proto
    model.ir_version = min(model.ir_version, _NEWEST_IR)
    for node in model.graph.node:  # names of the exporting machine's files, and 4 of 5 bytes without the weights
        del node.metadata_props[:]
    for values in (model.graph.value_info, model.graph.input, model.graph.output, model.graph.initializer):
        for value in values:
            del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    return model


@contextmanager
def _plain(network: Network) -> Iterator[None]:
    """The network in its plain forms, then as before."""
    layers = [module for module in network.modules() if isinstance(module, TwoForms)]
    before = [layer.use_plain for layer in layers]
    network.use_plain_forms(True)
    try:
        yield
    finally:
        for layer, use in zip(layers, before, strict=True):
            layer.use_plain = use


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own messages, which are for its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _sizes(network: Network) -> list[tuple[int, int]]:
    """Sizes for the check of a file that takes all: the smallest, and others than the example's."""
    multiple = network.size_multiple
    least = math.ceil(network.min_size / multiple) * multiple
    about = [max(least, side // multiple * multiple) for side in (64, 96, 144)]
    return [(least, least), (about[1], about[0]), (about[0], about[2])]


def _difference(content: bytes, network: Network, sizes: list[tuple[int, int]]) -> float:
    """The largest difference between ONNX Runtime and torch, for smooth pictures with noise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    differences = []
    for degraded in _pictures(network, sizes):
        with torch.inference_mode():
            expected = network(torch.from_numpy(degraded)).numpy()
        found = session.run([OUTPUT], {INPUT: degraded})[0]
        if found.shape != expected.shape:
            raise RestoreError(f"the exported network gives {found.shape} instead of {expected.shape}")
        differences.append(np.abs(found - expected).max())
    return float(np.max(differences))  # with NaN it is NaN, which is refused


def _rounding(network: Network, sizes: list[tuple[int, int]]) -> float:
    """The largest difference between float32 and float64 in torch: of a network that makes rounding errors large."""
    exact = copy.deepcopy(network).double()
    with torch.inference_mode():
        return max(
            float((network(x).double() - exact(x.double())).abs().max())
            for x in map(torch.from_numpy, _pictures(network, sizes))
        )


def _pictures(network: Network, sizes: list[tuple[int, int]]) -> Iterator[NDArray[np.float32]]:
    """Smooth pictures with noise, `(1, C, height, width)`, 0 to 1."""
    generator = np.random.default_rng(0)
    for height, width in sizes:
        y, x = np.mgrid[:height, :width]
        waves = [0.5 + 0.4 * np.sin(x / (11 + 3 * i)) * np.cos(y / (17 - 2 * i)) for i in range(network.channels)]
        picture = (np.stack(waves) + generator.normal(0, 0.06, (network.channels, height, width))).clip(0, 1)
        yield picture[None].astype(np.float32)


def _facts(network: Network, info: CheckpointInfo, tile: int | None, difference: float) -> Facts:
    largest = network.largest_auto_tile
    return Facts(
        weights=info.entry.name if info.entry else info.weights.path.stem,
        sha256=info.weights.sha256,
        task=info.task,
        network=info.network,
        config=network.config,
        attends=network.attends,
        version=restore.__version__,
        channels=network.channels,
        scale=network.scale,
        size_multiple=network.size_multiple,
        tile_grid=network.tile_grid or network.size_multiple,
        min_size=network.min_size,
        halo=network.halo,
        largest_auto_tile=None if largest is None else largest // 2,
        tile=tile,
        difference=difference,
        licence=info.entry.licence if info.entry else None,
    )
