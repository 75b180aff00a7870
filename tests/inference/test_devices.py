from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from restore.errors import DeviceError
from restore.inference.devices import AUTO_TILES, has_native_bfloat16, keep_memory, pick_device


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
    with pytest.raises(DeviceError, match="unknown device") as caught:
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


@pytest.mark.parametrize(
    ("machine_name", "has_it"), [("x86_64", "avx512_bf16"), ("AMD64", "amx_tile"), ("arm64", "mkldnn")]
)
def test_a_cpu_has_bfloat16_where_it_has_the_instructions_and_onednn(
    monkeypatch: pytest.MonkeyPatch, machine_name: str, has_it: str
) -> None:
    there = {"avx512_bf16": False, "amx_tile": False, "mkldnn": machine_name == "x86_64"}
    monkeypatch.setattr("platform.machine", lambda: machine_name)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: there["avx512_bf16"])
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: there["amx_tile"])
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there["mkldnn"], raising=False)
    cpu = torch.device("cpu")
    assert not has_native_bfloat16(cpu)
    there[has_it] = True
    assert has_native_bfloat16(cpu)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not has_native_bfloat16(cpu)


def test_a_gpu_has_bfloat16_where_it_does_not_emulate_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_native_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert has_native_bfloat16(torch.device("cuda"))
    assert not has_native_bfloat16(torch.device("mps"))


def child(code: str, **environment: str) -> str:
    """The output of `code` in a new process, without the OpenMP settings of this one."""
    kept = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=kept | environment
    )
    return ran.stdout


TELL = "import os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"


def test_openmp_is_told_not_to_spin_before_torch_is_loaded() -> None:
    code = (
        "import builtins, os\n"
        "real = builtins.__import__\n"
        "def noted(name, *rest):\n"
        "    if name == 'torch' and 'torch' not in sys.modules: print(os.environ.get('GOMP_SPINCOUNT'))\n"
        "    return real(name, *rest)\n"
        "import sys; builtins.__import__ = noted\n"
        "import restore.inference.torch_engine"
    )
    assert child(code) == "1000\n"
    assert child("import torch, restore\n" + TELL) == "None None\n"  # too late: it would only reach child processes


def test_what_a_user_has_told_openmp_stays() -> None:
    assert child("import restore\n" + TELL, GOMP_SPINCOUNT="7") == "7 None\n"
    assert child("import restore\n" + TELL, OMP_WAIT_POLICY="active") == "None active\n"


@pytest.mark.slow
def test_the_spinning_does_not_change_a_result() -> None:
    code = (
        "import hashlib, restore, torch\n"
        "torch.set_num_threads(2); torch.manual_seed(0)\n"
        "convolution = torch.nn.Conv2d(8, 8, 3)\n"
        "out = convolution(torch.rand(1, 8, 64, 64))\n"
        "print(hashlib.sha256(out.detach().numpy().tobytes()).hexdigest())"
    )
    assert child(code) == child(code, GOMP_SPINCOUNT="300000")


def has_glibc() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def count_faults(tries: int) -> int:
    """Page faults from `tries` times allocating, touching and freeing 64 MiB."""
    import resource  # not on Windows

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(tries):
        torch.zeros(16 << 20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not has_glibc(), reason="only glibc has these settings")
def test_kept_memory_is_not_faulted_in_again() -> None:
    # In a new process: the settings last as long as the process.
    code = (
        "from tests.inference.test_devices import count_faults, keep_memory\n"
        "before = count_faults(4)\n"
        "assert keep_memory()\n"
        "count_faults(8)\n"  # the heap finds its shape
        "print(before, count_faults(4))"
    )
    root = Path(__file__).parents[2]
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
