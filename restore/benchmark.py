"""Time, memory and multiplications of a network on this machine, in its fast form or as the paper writes it."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from restore import checkpoints
from restore.checkpoints.foreign_files import ForeignNetwork
from restore.errors import DeviceError, UsageError, WeightsError, did_you_mean
from restore.inference.devices import AUTO_TILES, keep_memory, pick_device
from restore.inference.memory import Need, held_memory
from restore.inference.tiling import round_up
from restore.inference.traced_need import run_on_meta
from restore.networks import NETWORKS, Network


@dataclass(frozen=True)
class Subject:
    """What to measure.

    Attributes:
        name: A network (`drsformer`: its first config, the paper's), a network and a config (`drsformer:s`), or a value
            of `--weights`.
        height, width: Size of the picture in pixels; padded to a size that the network takes.
        plain: Compute the paper's equations as written (`blocks.TwoForms`).
        keep: Let the allocator keep memory (`devices.keep_memory`), as the commands do.
        device: Name for `devices.pick_device`.
        precision: `float32`, or `bfloat16` or `float16` for autocast.
        threads: CPU threads; None for all cores.
        repeats: Timed runs after a warm-up run; with 0, the warm-up run counts.
    """

    name: str
    height: int
    width: int
    plain: bool = False
    keep: bool = True
    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None
    repeats: int = 3


@dataclass(frozen=True)
class Cost:
    """The measured cost.

    Attributes:
        seconds: Median of the timed runs, for the whole picture.
        gmacs: Billions (10^9) of multiply-accumulates in convolutions and matrix products, for the equations as
            written.
        peak_bytes: Peak memory of the process (CPU) or peak reserved by PyTorch (GPU); None where the system does not
            report it.
        idle_bytes: The same before the first run.
        seconds_per_megapixel: Seconds for 10^6 input pixels.
        gflops: 2 * gmacs / seconds: the speed at which the equations as written would take this time.
        has_plain: Whether the network has a plain form beside the fast one.
    """

    seconds: float
    gmacs: float
    peak_bytes: int | None
    idle_bytes: int
    seconds_per_megapixel: float
    gflops: float
    has_plain: bool


def build(name: str) -> Network:
    """The network of `Subject.name`; without weights, they are random.

    Raises:
        UsageError: The network has no such config.
        WeightsError: The name is neither a network nor weights.
    """
    network, _, config = name.partition(":")
    if network not in NETWORKS:
        try:
            return checkpoints.load(name)[0]
        except WeightsError as error:
            raise WeightsError(error.message, hint=did_you_mean(network, NETWORKS) or error.hint) from error
    configs = NETWORKS[network].CONFIGS
    if config and config not in configs:
        raise UsageError(f"{network} has no config {config!r}", hint=f"choose one of {', '.join(configs)}")
    return NETWORKS[network](**configs[config or next(iter(configs))])


def count_gmacs(network: Network, height: int, width: int) -> float:
    """Count the equations as written, without computing them. An attention that is left out does not count."""
    if isinstance(network, ForeignNetwork):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            try:
                run_on_meta(network, height, width)
            except Exception:  # some networks make tensors of NumPy, or read values
                network(torch.zeros(1, network.channels, height, width))
        return float(counter.get_total_flops() / 2e9)
    with torch.device("meta"):  # a second network in memory would raise the peak
        plain = type(network)(**network.config).to("meta")  # also tensors that ignore the default device
    plain.use_plain_forms(True)
    if not network.attends:
        plain.use_attention(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain(torch.empty(1, network.channels, height, width, device="meta"))
    return float(counter.get_total_flops() / 2e9)


def measure(subject: Subject) -> Cost:
    """Measure in a new process, so that other memory does not count.

    Raises:
        DeviceError: The system ended the process, most likely for lack of memory.
        RestoreError: The network or its weights cannot be loaded.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, subject).result()
        except BrokenProcessPool as error:
            raise DeviceError(
                f"the system ended {subject.name} at {subject.height}x{subject.width}, probably for lack of memory",
                hint="measure a smaller --size",
            ) from error


def measure_need(name: str, *, device: str = "auto", threads: int | None = None) -> tuple[Need, dict[int, Cost]]:
    """The memory that a network takes beside its weights, and the measured costs by side of the tile.

    Sides go up to the network's largest automatic tile, or else to half of the device's: memory grows with the pixels.

    Raises:
        DeviceError: The memory is not enough, or the system does not report the memory in use.
        RestoreError: The network or its weights cannot be loaded.
    """
    network = build(name)
    largest = network.largest_auto_tile or AUTO_TILES[pick_device(device).type][0] // 2
    costs: dict[int, Cost] = {}
    needs: dict[int, float] = {}
    for quarters in (2, 3, 4):
        side = round_up(max(quarters * largest // 4, network.min_size), network.size_multiple)
        costs[side] = cost = measure(Subject(name, side, side, device=device, threads=threads, repeats=0))
        if cost.peak_bytes is None:
            raise DeviceError("this system does not report the memory in use", hint="measure on Linux, macOS or CUDA")
        needs[side**2] = cost.peak_bytes - cost.idle_bytes
    return Need.fitted(needs), costs


def _measure(subject: Subject) -> Cost:
    device = pick_device(subject.device)
    if subject.keep:
        keep_memory()
    if subject.threads:
        torch.set_num_threads(subject.threads)
    network = build(subject.name)
    height, width = (
        round_up(max(side, network.min_size), network.size_multiple) for side in (subject.height, subject.width)
    )
    gmacs = count_gmacs(network, height, width)
    network.use_plain_forms(subject.plain)
    network = network.to(device).eval()
    x = torch.rand(1, network.channels, height, width, device=device)
    if device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)
    dtype = getattr(torch, subject.precision)
    idle_bytes = held_memory() if device.type == "cpu" else torch.cuda.memory_reserved(device)
    times = []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=subject.precision != "float32"):
        for _ in range(subject.repeats + 1):
            _wait(device)
            started = time.perf_counter()
            network(x)
            _wait(device)
            times.append(time.perf_counter() - started)
    seconds = statistics.median(times[1:] or times)
    return Cost(
        seconds=seconds,
        gmacs=gmacs,
        peak_bytes=_peak(device),
        idle_bytes=idle_bytes,
        seconds_per_megapixel=seconds / (height * width / 1e6),
        gflops=2 * gmacs / seconds,
        has_plain=network.has_plain_forms,
    )


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved()
    if device.type != "cpu" or sys.platform == "win32":
        return None
    if sys.platform == "linux":  # where ru_maxrss also counts the parent process
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
        return int(fields["VmHWM"].removesuffix("kB")) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
