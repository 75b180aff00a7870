"""Small ONNX files as `restore export` writes them, made without torch's exporter, which takes seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_networks import ThreeConvolutions

from restore.export.contract import INPUT, OPSET, OUTPUT, Facts

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

FACTS = Facts(
    weights="mine", sha256="0" * 64, task="denoise", network="panet", config={}, attends=True, version="1", channels=3,
    scale=1, size_multiple=1, tile_grid=1, min_size=1, halo=None, largest_auto_tile=None, tile=None, difference=0.0,
)  # fmt: skip


def write(path: Path, nodes: list[Any], constants: dict[str, Any], **facts: Any) -> Path:
    """A file whose network is these nodes, from `input` to `output`."""
    stated = dataclasses.replace(FACTS, **facts)
    side = stated.tile or None
    channels, scale = stated.channels, stated.scale
    sizes = [1, channels, side, side], [1, channels, *[side * scale if side else None] * 2]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size)
        for name, size in zip((INPUT, OUTPUT), sizes, strict=True)
    ]
    held = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "network", ends[:1], ends[1:], held)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.helper.set_model_props(model, stated.to_metadata())
    path.write_bytes(model.SerializeToString())
    return path


def inverting(path: Path, **facts: Any) -> Path:
    """1 - x."""
    nodes = [onnx.helper.make_node("Sub", ["one", INPUT], [OUTPUT])]
    return write(path, nodes, {"one": np.float32(1)}, **{"halo": 0} | facts)


def enlarging(path: Path, **facts: Any) -> Path:
    """Every pixel twice each way."""
    nodes = [onnx.helper.make_node("Resize", [INPUT, "", "scales"], [OUTPUT], mode="nearest")]
    scales = np.array([1, 1, 2, 2], np.float32)
    return write(path, nodes, {"scales": scales}, **{"halo": 0, "scale": 2, "task": "upscale"} | facts)


def convolving(path: Path, **facts: Any) -> Path:
    """What `ThreeConvolutions` computes."""
    network = ThreeConvolutions()
    constants: dict[str, Any] = {"nine": np.float32(9), "share": np.float32(0.3), "half": np.float32(0.5)}
    nodes, last = [], INPUT
    for index, layer in enumerate(network.layers):
        constants |= {f"{key}{index}": value.detach().numpy() for key, value in layer.named_parameters()}
        inputs = [last, f"weight{index}", f"bias{index}"]
        last = f"layer{index}"
        nodes.append(onnx.helper.make_node("Conv", inputs, [last], pads=[1, 1, 1, 1]))
    steps = [("Mul", "nine"), ("Sin", None), ("Mul", "share"), ("Add", "half")]
    for index, (kind, constant) in enumerate(steps):
        inputs = [last, constant] if constant else [last]
        last = OUTPUT if index == 3 else f"step{index}"
        nodes.append(onnx.helper.make_node(kind, inputs, [last]))
    return write(path, nodes, constants, **{"halo": 3} | facts)
