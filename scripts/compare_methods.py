"""Measure denoisers side by side, dB against seconds per megapixel, and draw docs/comparison.svg from the figures.

    pip install bm3d scikit-image matplotlib     # BM3D's licence: research only
    python scripts/compare_methods.py measure    # about 30 minutes on 2 idle cores
    python scripts/compare_methods.py draw

Two sets: PolyU (real noise, every 5th pair) and CBSD68 (every 8th picture, Gaussian noise of sigma 25, rounded as in a
file). The classical methods need a strength. Each runs at several, and its best mean PSNR counts. A user without the
clean picture gets less. Ours are blind. The time is that of one run on a picture in memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import typer

from restore import checkpoints
from restore.datasets.pairs import Pair, degrading, read_rgb
from restore.degradations import Image
from restore.evaluation.metrics import psnr
from restore.inference.devices import processor_name
from restore.inference.restorer import Restorer

ROOT = Path(__file__).parents[1]
BENCH = ROOT.parent / "shared/data/bench"
FIGURES, CHART = ROOT / "docs/comparison.json", ROOT / "docs/comparison.svg"
Method = Callable[[Image], Image]
app = typer.Typer(add_completion=False)


def polyu() -> Iterator[Pair]:
    for path in sorted((BENCH / "PolyU/clean").iterdir())[::5]:
        noisy = next((BENCH / "PolyU/noisy").glob(f"{path.stem}.*"))
        yield Pair(path.stem, read_rgb(path), read_rgb(noisy))


def cbsd68() -> Iterator[Pair]:
    draw = degrading("gaussian-noise", 25, as_file=True)
    for i, path in enumerate(sorted((BENCH / "CBSD68").iterdir())[::8]):
        generator = np.random.default_rng(8 * i)
        yield Pair(path.stem, *draw(generator).apply(read_rgb(path), generator))


def at(strengths: Iterable[float], run: Callable[[float, Image], Image]) -> list[Method]:
    return [partial(run, s) for s in strengths]


def classical(sigma: float) -> dict[str, list[Method]]:
    """Each method at several strengths; `sigma` (in [0, 1]) is the expected noise."""
    import bm3d
    from skimage import restoration

    def means(h: float, x: Image) -> Image:
        levels = np.round(x * 255).astype(np.uint8)
        return cv2.fastNlMeansDenoisingColored(levels, None, h, h, 7, 21).astype(np.float32) / np.float32(255)

    def patches(s: float, x: Image) -> Image:
        restored: Image = restoration.denoise_nl_means(
            x, patch_size=5, patch_distance=6, h=0.6 * s * sigma, sigma=s * sigma, channel_axis=2
        )
        return restored

    def bilateral(s: float, x: Image) -> Image:
        return np.asarray(cv2.bilateralFilter(x, 7, 3 * s * sigma, 2), np.float32)

    scales = (0.5, 1, 2)
    return {
        "BM3D": at((1, 2), lambda s, x: bm3d.bm3d_rgb(x, s * sigma).astype(np.float32)),
        "non-local means (OpenCV)": at([s * sigma * 255 for s in (0.25, 0.35, 0.5, 0.75, 1)], means),
        "non-local means (scikit-image)": at(scales, patches),
        "wavelets (BayesShrink)": at(
            scales, lambda s, x: restoration.denoise_wavelet(x, s * sigma, convert2ycbcr=True, channel_axis=2)
        ),
        "total variation": at(
            (0.5, 1, 2, 4), lambda s, x: restoration.denoise_tv_chambolle(x, s * sigma, channel_axis=2)
        ),
        "bilateral filter": at(scales, bilateral),
    }


def ours() -> dict[str, list[Method]]:
    def method(name: str, self_ensemble: bool = False) -> Method:
        network, info = checkpoints.load(name)
        restorer = Restorer(network, entry=info.entry, task=info.task)

        def run(x: Image) -> Image:
            restored = restorer(np.round(x * 255).astype(np.uint8), self_ensemble=self_ensemble)
            return np.asarray(restored, np.float32) / np.float32(255)

        return run

    return {
        "cs-kit-s-denoise": [method("cs-kit-s-denoise")],
        "cs-kit-s-denoise, self-ensemble": [method("cs-kit-s-denoise", self_ensemble=True)],
        "panet-s-denoise-gaussian": [method("panet-s-denoise-gaussian")],
    }


@app.command()
def measure(only: int | None = None) -> None:
    """Score and time every method on both sets; write docs/comparison.json. --only N takes N pictures per set."""
    sets = {"PolyU, real noise": (polyu, 6 / 255), "CBSD68, sigma 25": (cbsd68, 25 / 255)}
    report: dict[str, object] = {"processor": processor_name(), "sets": {}}
    for title, (pairs, sigma) in sets.items():
        pictures = list(pairs())[:only]
        levels = [(np.round(p.clean * 255), p) for p in pictures]
        rows: dict[str, tuple[float, float]] = {}
        for name, strengths in (ours() | classical(sigma)).items():
            strengths[0](pictures[0].degraded)  # The first call loads and compiles; it is not timed.
            results = []
            for method in strengths:
                scores, seconds, area = [], 0.0, 0
                for clean, pair in levels:
                    begun = time.perf_counter()
                    restored = method(pair.degraded)
                    seconds += time.perf_counter() - begun
                    area += clean.shape[0] * clean.shape[1]
                    scores.append(psnr(np.round(np.clip(restored, 0, 1) * 255), clean))
                results.append((fmean(scores), seconds / area * 1e6))
            rows[name] = max(results)
            print(f"{title:20} {name:34} {rows[name][0]:.2f} dB  {rows[name][1]:.2f} s/MP", flush=True)
        noisy = fmean(psnr(np.round(p.degraded * 255), clean) for clean, p in levels)
        report["sets"][title] = {"pictures": len(levels), "input": round(noisy, 2)} | {  # type: ignore[index]
            "methods": {
                name: {"psnr": round(db, 2), "seconds_per_megapixel": round(s, 3)} for name, (db, s) in rows.items()
            }
        }
    FIGURES.write_text(json.dumps(report, indent=2) + "\n")


@app.command()
def draw() -> None:
    """Draw docs/comparison.svg from docs/comparison.json."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "svg.hashsalt": "restore",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    report = json.loads(FIGURES.read_text())
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, (title, about) in zip(axes, report["sets"].items(), strict=True):
        for name, row in about["methods"].items():
            if name.endswith("self-ensemble") or (name == "panet-s-denoise-gaussian" and "real" in title):
                continue  # one point for each network, where it is made for the noise
            is_ours = name.startswith(("cs-kit", "panet"))
            x, y = row["seconds_per_megapixel"], row["psnr"]
            axis.scatter(x, y, s=42 if is_ours else 26, color="#c2410c" if is_ours else "#64748b", zorder=3)
            is_below = name in ("panet-s-denoise-gaussian", "wavelets (BayesShrink)", "non-local means (scikit-image)")
            is_left = name in ("BM3D", "panet-s-denoise-gaussian")
            axis.annotate(
                name.removesuffix(" (BayesShrink)"),
                (x, y),
                xytext=(-5 if is_left else 5, -10 if is_below else 4),
                textcoords="offset points",
                ha="right" if is_left else "left",
                fontsize=7.5,
                fontweight="bold" if is_ours else None,
            )
        axis.set(xscale="log", xlim=(0.008, 200), xlabel="seconds per megapixel, 2 cores", ylabel="PSNR, dB")
        axis.set_title(f"{title} ({about['pictures']} pictures)", fontsize=9)
        axis.axhline(about["input"], color="#94a3b8", linestyle=":", linewidth=1)
        axis.annotate("input", (0.009, about["input"]), xytext=(0, 3), textcoords="offset points", fontsize=7.5)
        axis.grid(alpha=0.25)
    figure.savefig(CHART, metadata={"Date": None})
    print(CHART)


if __name__ == "__main__":
    app()
