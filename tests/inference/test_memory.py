from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from restore.inference import memory
from restore.inference.memory import Need, free_memory, held_memory, is_out_of_memory, need_of
from restore.networks import NETWORKS
from restore.networks.base import Network

CPU = torch.device("cpu")


def group(folder: Path, *, version: int, limit: str, used: int, cached: int) -> None:
    """A control group's files, as the kernel shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {cached}\n")


def test_every_group_above_a_process_limits_it(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("0::/a/b\n")
    group(root / "a" / "b", version=2, limit="max", used=300, cached=100)
    group(root / "a", version=2, limit="1000", used=700, cached=200)
    group(root, version=2, limit="9000", used=1000, cached=0)
    assert sorted(memory._cgroup_rooms(proc, root)) == [500, 8000]


def test_groups_of_the_first_version_are_read_too_also_inside_a_container(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("9:cpu:/x\n4:memory:/docker/0123\n0::/\n")
    group(root / "memory", version=1, limit="1000", used=600, cached=50)
    assert list(memory._cgroup_rooms(proc, root)) == [450]


@pytest.mark.parametrize("text", ["", "0::/\n", "4:memory:/gone\n"])
def test_without_groups_there_is_no_limit(tmp_path: Path, text: str) -> None:
    proc = tmp_path / "cgroup"
    assert not list(memory._cgroup_rooms(proc, tmp_path))  # other systems have no such file
    proc.write_text(text)
    assert not list(memory._cgroup_rooms(proc, tmp_path))


def test_free_memory_is_the_least_that_anyone_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_cgroup_rooms", lambda: iter([3 << 20, 5 << 20]))
    assert free_memory(CPU) == 3 << 20
    monkeypatch.setattr(memory, "_cgroup_rooms", lambda: iter([-5]))  # over its limit already
    assert free_memory(CPU) == 0
    monkeypatch.setattr(memory, "_cgroup_rooms", lambda: iter([]))
    assert 0 < free_memory(CPU) <= psutil.virtual_memory().total


def test_free_memory_of_a_gpu_counts_what_pytorch_keeps_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 20)
    assert free_memory(torch.device("cuda")) == 130


def under_limit(megabytes: int, code: str) -> str:
    """The output of `code` in a process that may take `megabytes` MiB more than at its start, as by `ulimit -v`."""
    before = (
        "import resource, torch, psutil, numpy\n"
        "from restore.inference.memory import free_memory, is_out_of_memory\n"
        f"limit = psutil.Process().memory_info().vms + ({megabytes} << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))\n"
    )
    return subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
def test_a_limit_of_the_shell_is_respected() -> None:
    out = under_limit(300, "print(free_memory(torch.device('cpu')) >> 20)")
    assert 290 <= int(out) <= 300


def test_held_memory_grows_with_what_is_touched() -> None:
    size = 64 << 20
    with mmap.mmap(-1, size) as block:  # from the system, not from memory that the allocator kept
        before = held_memory()
        block[:] = bytes(1) * size
        assert held_memory() - before > 0.9 * size


def test_a_fit_lies_above_all_that_was_measured() -> None:
    needs = {100: 950.0, 400: 3000.0, 900: 9000.0}
    need = Need.fitted(needs)
    assert all(need.of(pixels) >= size for pixels, size in needs.items())
    assert need.bytes_per_pixel == 12


def test_every_named_config_is_measured_or_larger_ones_stand_for_it(tiny: type[Network]) -> None:
    for network in set(NETWORKS.values()) - {tiny}:
        for config in network.CONFIGS.values():
            with torch.device("meta"):
                need = need_of(network(**config))
            assert need.of(128 * 128) > 10_000_000
    assert need_of(tiny()) == Need(0, 0)
    with torch.device("meta"):
        own = NETWORKS["cs-kit"](**{**NETWORKS["cs-kit"].CONFIGS["s"], "dim": 40})
    of_kind = [row.need.bytes_per_pixel for row in memory._table() if row.network == "cs-kit"]
    assert need_of(own).bytes_per_pixel == max(of_kind)


@pytest.mark.parametrize(("kind", "config"), [("panet", "s"), ("pa-edsr", "s-x2"), ("pa-edsr", "s-x4")])
def test_without_its_attention_a_network_needs_less(kind: str, config: str) -> None:
    with torch.device("meta"):
        network = NETWORKS[kind](**NETWORKS[kind].CONFIGS[config])
    whole = need_of(network)
    network.use_attention(False)
    assert need_of(network).of(512 * 512) < 0.8 * whole.of(512 * 512)


def test_what_is_not_measured_without_attention_needs_as_much_as_with_it() -> None:
    with torch.device("meta"):
        network = NETWORKS["drsformer"](**NETWORKS["drsformer"].CONFIGS["s"])
    whole = need_of(network)
    network.attends = False
    assert need_of(network) == whole


def test_a_larger_config_needs_more(tiny: type[Network]) -> None:
    for kind in ("kit", "cs-kit", "drsformer"):
        with torch.device("meta"):
            small, paper = (need_of(NETWORKS[kind](**NETWORKS[kind].CONFIGS[c])) for c in ("s", "paper"))
        assert small.bytes_per_pixel < paper.bytes_per_pixel


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
def test_a_real_allocation_that_fails_is_recognised() -> None:
    out = under_limit(
        50,
        "for make in (lambda: torch.ones(1 << 30), lambda: numpy.ones(1 << 30)):\n"
        "    try: make()\n"
        "    except Exception as error: print(is_out_of_memory(error))",
    )
    assert out.split() == ["True", "True"]


def test_other_errors_are_no_lack_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
