"""`restore info`: facts about this machine for a bug report."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

import restore
from restore.checkpoints import catalogue
from restore.cli.columns import facts
from restore.cli.weights import where
from restore.errors import RestoreError

_PACKAGES = (
    "torch", "onnxruntime", "numpy", "pillow", "opencv-python-headless", "tifffile", "imagecodecs", "pillow-heif",
    "rawpy", "huggingface_hub", "safetensors", "typer", "rich", "psutil",
)  # fmt: skip
# Shown if set, because they change what a run does. No tokens.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "GOMP_SPINCOUNT", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "LOCAL_RANK",
    "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTORCH_CUDA_ALLOC_CONF", "RANK", "RESTORE_WEIGHTS",
    "WORLD_SIZE",
)  # fmt: skip


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show versions, devices, memory, folders and weights. Paste them into a bug report."""
    found = _found()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for title, group in found.items():
        print(f"{title}:")
        if group:
            print(facts(group.items(), indent="  "))


def _found() -> dict[str, dict[str, str]]:
    import huggingface_hub.constants

    from restore.inference.opening import has_torch

    devices, cuda = _devices_of_torch() if has_torch() else ({"cpu": _processor()}, "none")
    entries = catalogue.load_catalogue().values()
    return {
        "versions": {
            "restore": restore.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            **{name: _version(name) for name in _PACKAGES},
            "cuda": cuda,
        },
        "devices": devices | {"onnx": _devices_of_onnx(), "memory": _memory()},
        "folders": {
            "restore": _short(Path(restore.__file__).parent),
            "bundled weights": _short(catalogue.weights_folder()),
            "own weights": _short(catalogue.own_folder()),
            "Hub cache": _short(Path(huggingface_hub.constants.HF_HUB_CACHE)),
        },
        "weights": {
            entry.name: f"{entry.task}{' (default)' * entry.default}, {where(entry)}, {entry.sha256[:12]}..."
            for entry in entries
        },
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def _devices_of_torch() -> tuple[dict[str, str], str]:
    """What torch computes on, and its version of CUDA."""
    import torch

    from restore.inference.devices import has_native_bfloat16, pick_device
    from restore.inference.memory import free_memory

    threads = torch.get_num_threads()

    def bfloat16(device: str) -> str:
        return f"{'native' if has_native_bfloat16(torch.device(device)) else 'no native'} bfloat16"

    devices = {
        "cpu": f"{_processor()}, {threads} thread{'s' * (threads != 1)}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {bfloat16('cpu')}",
    }
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        devices[f"cuda:{index}"] = (
            f"{name}, {free / 1e9:.1f} GB free of {total / 1e9:.1f} GB, {bfloat16(f'cuda:{index}')}"
        )
    if torch.backends.mps.is_available():
        devices["mps"] = f"{free_memory(torch.device('mps')) / 1e9:.1f} GB free"
    return devices | {"auto": str(pick_device())}, str(torch.version.cuda or "none")


def _devices_of_onnx() -> str:
    """What ONNX Runtime computes on, in its order."""
    from restore.inference.onnx_engine import PROVIDERS, present_providers

    try:
        names = [PROVIDERS[provider] for provider in present_providers()]
    except RestoreError as error:
        return f"{error.message.removeprefix('this needs ')}: {error.hint}"
    return ", ".join(name if name == "cpu" else f"{name} (not tested)" for name in names)


def _processor() -> str:
    from restore.inference.devices import processor_name

    return f"{processor_name()}, {os.cpu_count()} cores"


def _memory() -> str:
    from restore.inference.memory import free_memory, total_memory
    from restore.inference.onnx_engine import OnnxDevice

    return f"{free_memory(OnnxDevice('cpu', 'cpu')) / 1e9:.1f} GB free of {total_memory() / 1e9:.1f} GB"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _short(path: Path) -> str:
    """The path with the home folder as ~, so that a report does not name its author."""
    home = os.path.expanduser("~")
    text = str(path)
    shown = "~" + text[len(home) :] if home != os.sep and text.startswith(home + os.sep) else text
    return shown if os.path.exists(path) else f"{shown} (does not exist)"
