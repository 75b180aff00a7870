"""Time the attention of KiT and CS-KiT step by step for growing pictures, and both forms of pyramid attention.

    python scripts/profile_attention.py knn --largest 4096
    python scripts/profile_attention.py pyramid 96 128
    python scripts/profile_attention.py gain with.safetensors without.safetensors BENCH/CBSD68 64 128 --every 8

`knn` and `pyramid` take random weights and values.
"""

from __future__ import annotations

import restore

# isort: split
import statistics
import time
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table

from restore.datasets.listing import list_pictures
from restore.datasets.pairs import degraded
from restore.evaluation.scoring import evaluate, restoring
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
from restore.training.recipe import degradation_of

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


@app.command()
def gain(
    weights: Annotated[str, typer.Argument(help="Those that attend.")],
    others: Annotated[str, typer.Argument(help="Those to compare them with.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Clean pictures.")],
    tiles: Annotated[list[int], typer.Argument(metavar="TILE...", help="Sides of tiles in pixels.")],
    degradation: str = "gaussian-noise:50",
    every: Annotated[int, typer.Option(metavar="N", help="Take every Nth picture.")] = 1,
) -> None:
    """What attention gains and costs in tiles that grow: PSNR in dB and seconds per megapixel, float32."""
    keep_memory()
    pairs = list(degraded(list_pictures(folder)[::every], degradation_of(degradation), seed=1))
    pixels = sum(pair.clean.shape[0] * pair.clean.shape[1] for pair in pairs)
    table = Table("weights", "tile", "dB", "s/MP")
    for name, sides in ((others, tiles[-1:]), (weights, tiles)):
        restorer = restore.load(name, device="cpu", precision="float32")
        for side in sides:
            answer = restoring(restorer, tile=side)
            began = time.perf_counter()
            scores = evaluate(answer, pairs, with_ssim=False)
            seconds = time.perf_counter() - began
            table.add_row(Path(name).name, f"{side}", f"{scores.mean('psnr'):.3f}", f"{seconds / pixels * 1e6:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    app()
