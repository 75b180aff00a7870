"""Time the attention of KiT and CS-KiT step by step for growing pictures, and both forms of pyramid attention.

    python scripts/profile_attention.py knn --largest 4096
    python scripts/profile_attention.py pyramid 96 128

Weights and values are random.
"""

from __future__ import annotations

import restore  # noqa: F401 - before torch: sets GOMP_SPINCOUNT

# isort: split
import statistics
import time
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table

from restore.inference.devices import keep_memory
from restore.networks.blocks import linear
from restore.networks.knn import (
    KNNLocalAttention,
    bucket_count,
    hash_patches,
    inverse_permutation,
    patch_rows,
    permute,
    sort_patches,
)
from restore.networks.pyramid_attention import PyramidAttention

app = typer.Typer(pretty_exceptions_enable=False)


def knn_steps(side: int, channels: int, *, k: int, r: int, repeats: int) -> dict[str, float]:
    """Seconds of each step for `(1, side, side, channels)`: the fastest repeat."""
    x = torch.rand(1, side, side, channels)
    layer = KNNLocalAttention(channels, k=k, h=1, r=r).eval()
    weights = list(zip(layer.project.weight.chunk(3), layer.project.bias.chunk(3), strict=True))
    buckets = bucket_count(side**2 // r**2, k)
    seconds: dict[str, float] = {}
    with torch.inference_mode():
        for _ in range(repeats):
            began = time.perf_counter()

            def lap(step: str) -> None:
                nonlocal began
                now = time.perf_counter()
                seconds[step] = min(now - began, seconds.get(step, now - began))
                began = time.perf_counter()

            hashes = hash_patches(x, layer.rotation, r=r, rounds=1, buckets=buckets)
            lap("hash")
            order = sort_patches(hashes)[:, 0]
            lap("sort")
            there = patch_rows(order, r=r, height=side, width=side)
            back = inverse_permutation(there)
            lap("find rows")
            parts = [linear(x, weight, bias) for weight, bias in weights]
            lap("project")
            parts = [permute(part.view(-1, r * channels), there, back) for part in parts]
            lap("gather")
            query, key, value = (part.view(-1, 1, k * r**2, channels) for part in parts)
            out = F.scaled_dot_product_attention(query, key, value)
            lap("attend")
            permute(out.view(-1, r * channels), back, there)
            lap("scatter")
    return seconds


@app.command()
def knn(
    channels: int = 24,
    k: int = 4,
    r: int = 4,
    largest: Annotated[int, typer.Option(metavar="N", help="Largest side in pixels.")] = 4096,
    repeats: int = 3,
) -> None:
    """Time the steps of k-NN local attention, in ns per pixel."""
    keep_memory()
    sides = [side for side in (256, 512, 1024, 2048, 4096) if side <= largest]
    table = Table(
        "step", *(f"{side}x{side}" for side in sides), title=f"ns per pixel, C = {channels}, k = {k}, r = {r}"
    )
    costs = [knn_steps(side, channels, k=k, r=r, repeats=repeats) for side in sides]
    for step in costs[0]:
        table.add_row(step, *(f"{cost[step] / side**2 * 1e9:.2f}" for side, cost in zip(sides, costs, strict=True)))
    table.add_row("all", *(f"{sum(c.values()) / side**2 * 1e9:.2f}" for side, c in zip(sides, costs, strict=True)))
    Console(width=120).print(table)


@app.command()
def pyramid(sides: list[int], repeats: int = 1) -> None:
    """Time the pyramid attention of PANet (64 channels) and PA-EDSR (256), in s."""
    keep_memory()
    table = Table("channels", "size", "literal", "fast", "faster", "largest difference")
    for channels, reduction in ((64, 2), (256, 8)):
        layer = PyramidAttention(channels, reduction=reduction, res_scale=1).eval()
        for side in sides:
            x = torch.rand(1, side, side, channels)
            seconds, results = [], []
            for form in (layer.plain, layer.fast):
                runs = []
                with torch.inference_mode():
                    for _ in range(repeats):
                        began = time.perf_counter()
                        out = form(x)
                        runs.append(time.perf_counter() - began)
                seconds.append(statistics.median(runs))
                results.append(out)
            difference = (results[0] - results[1]).abs().max()
            table.add_row(
                f"{channels}", f"{side}x{side}", *(f"{s:.2f}" for s in seconds),
                f"{seconds[0] / seconds[1]:.1f}x", f"{difference:.1e}",
            )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    app()
