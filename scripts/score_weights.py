"""Score weights on the benchmark sets and print the `scores` tables for weights/catalogue.toml.

    python scripts/score_weights.py cs-kit-s-denoise --bench DIR
    python scripts/score_weights.py cs-kit-s-denoise --bench DIR --bm3d 8     # against BM3D, needs `pip install bm3d`

DIR holds PolyU/{clean,noisy}, CBSD68 and Kodak24.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

import restore
from restore.data import Pair
from restore.dataset_files import degrading, find
from restore.devices import keep_memory
from restore.evaluation import evaluate
from restore.metrics import psnr
from restore.restorer import Restorer


def sets(bench: Path) -> dict[str, Iterator[Pair]]:
    """Every set of the catalogue by the name it has there."""
    polyu, cbsd, kodak = (find(name, bench / name) for name in ("PolyU", "CBSD68", "Kodak24"))
    named = {"PolyU": polyu.pairs()}
    for sigma, as_file in itertools.product((15, 25, 50), (False, True)):
        draw = degrading("gaussian-noise", sigma, as_file=as_file)
        named[f"CBSD68 sigma {sigma}" + " rounded" * as_file] = cbsd.pairs(draw)
    return named | {"Kodak24 clean": kodak.pairs(), "CBSD68 clean": cbsd.pairs()}


def estimated_sigma(picture: NDArray[np.float32]) -> float:
    """Noise level in [0, 1]: median absolute deviation of green's finest diagonal Haar detail (Donoho)."""
    green = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2, 1]
    detail = (green[::2, ::2] - green[1::2, ::2] - green[::2, 1::2] + green[1::2, 1::2]) / 2
    return float(np.median(np.abs(detail)) / 0.6745)


def against_bm3d(restorer: Restorer, bench: Path, count: int) -> None:
    """PSNR and seconds a megapixel of both, on the first `count` files of CBSD68 and PolyU (sigma estimated)."""
    from bm3d import bm3d_rgb

    named = sets(bench)
    tests = {f"CBSD68 sigma {s}": (itertools.islice(named[f"CBSD68 sigma {s}"], count), s / 255) for s in (15, 25, 50)}
    polyu = list(named["PolyU"])
    spread = polyu[:: max(1, len(polyu) // count)][:count]
    for name, (pairs, sigma) in (tests | {"PolyU": (iter(spread), None)}).items():
        ours, theirs, pixels, seconds = [], [], 0, [0.0, 0.0]
        for pair in pairs:
            began = time.perf_counter()
            ours.append(evaluate(restorer, [pair], with_ssim=False).pictures[0].psnr)
            middle = time.perf_counter()
            restored = bm3d_rgb(pair.degraded.astype(np.float64), sigma or estimated_sigma(pair.degraded))
            seconds[0] += middle - began
            seconds[1] += time.perf_counter() - middle
            pixels += pair.clean.shape[0] * pair.clean.shape[1]
            theirs.append(psnr(np.round(np.clip(restored, 0, 1) * 255), np.round(pair.clean * 255)))
        each = [s / pixels * 1e6 for s in seconds]
        print(
            f"{name}: ours {np.mean(ours):.2f} dB, {each[0]:.2f} s/MP; "
            f"BM3D {np.mean(theirs):.2f} dB, {each[1]:.1f} s/MP; {each[1] / each[0]:.0f} times faster",
            flush=True,
        )


def main(
    weights: Annotated[str, typer.Argument(help="What `--weights` takes.")],
    bench: Annotated[Path, typer.Option(help="Folder of the benchmark sets.")],
    bm3d: Annotated[int, typer.Option(help="Compare with BM3D on so many files instead.")] = 0,
    only: Annotated[str, typer.Option(help="Only the sets whose name contains this.")] = "",
) -> None:
    keep_memory()
    restorer = restore.load(weights)
    if bm3d:
        against_bm3d(restorer, bench, bm3d)
        return
    for name, pairs in sets(bench).items():
        if only in name:
            scores = evaluate(restorer, pairs)
            print(f'[[{weights}.scores]]\nset = "{name}"\nprotocol = "rgb"\npsnr = {scores.mean("psnr"):.2f}')
            before = scores.mean("input_psnr")  # infinite for a clean set, where nothing is to be removed
            print(f"input_psnr = {before:.2f}\nssim = {scores.mean('ssim'):.4f}\n", flush=True)


if __name__ == "__main__":
    typer.run(main)
