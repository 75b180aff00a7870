from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from restore.devices import AUTO_TILES, keep_memory, pick_device
from restore.errors import DeviceError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pretend(gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(("gpus", "mps", "kind"), [(0, False, "cpu"), (1, False, "cuda"), (0, True, "mps")])
def test_auto_is_the_fastest_kind_there_is(machine: Any, gpus: int, mps: bool, kind: str) -> None:
    machine(gpus, mps)
    assert pick_device().type == kind
    assert kind in AUTO_TILES


def test_a_device_that_is_there_is_returned(machine: Any) -> None:
    machine(gpus=2, mps=True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert pick_device(name) == torch.device(name)


@pytest.mark.parametrize(
    "name", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "cuda:1 ", "cuda:1\n", "cuda:²"]
)
def test_an_unknown_name_is_an_error_that_lists_the_names(machine: Any, name: str) -> None:
    machine(gpus=8)
    with pytest.raises(DeviceError, match="no device called") as caught:
        pick_device(name)
    assert "cuda:N" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_missing_device_is_an_error_that_offers_the_cpu(machine: Any, name: str) -> None:
    machine()
    with pytest.raises(DeviceError, match=f"cannot use {name}") as caught:
        pick_device(name)
    assert "--device cpu" in (caught.value.hint or "")


def test_a_gpu_number_too_high_is_an_error_that_names_the_last_one(machine: Any) -> None:
    machine(gpus=2)
    with pytest.raises(DeviceError, match="the last GPU here is cuda:1"):
        pick_device("cuda:2")


def has_glibc() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def count_faults(tries: int) -> int:
    """Page faults of allocating, touching and freeing 64 MiB, `tries` times."""
    import resource  # not on Windows

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(tries):
        torch.zeros(16 << 20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not has_glibc(), reason="only glibc has these settings")
def test_kept_memory_is_not_faulted_in_again() -> None:
    # In a process of its own: the settings hold for the rest of a process's life.
    code = (
        "from tests.test_devices import count_faults, keep_memory\n"
        "before = count_faults(4)\n"
        "assert keep_memory()\n"
        "count_faults(8)\n"  # the heap finds its shape
        "print(before, count_faults(4))"
    )
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    before, after = map(int, run.stdout.split())
    assert after < before / 3


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_memory_is_left_alone_where_the_c_library_is_not_glibc(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(name: str | None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert keep_memory() is False
