"""Score weights on the benchmark sets, and print the `scores` tables for weights/catalogue.toml.

    python scripts/score_weights.py cs-kit-s-denoise --bench DIR
    python scripts/score_weights.py drsformer-s-derain --bench DIR --rain DIR
    python scripts/score_weights.py cs-kit-s-denoise --bench DIR --bfloat16    # the bfloat16_loss of the catalogue
    python scripts/score_weights.py cs-kit-s-denoise --bench DIR --classical   # classical methods on the same files
    python scripts/score_weights.py cs-kit-s-denoise --bench DIR --bm3d 8      # against BM3D, needs `pip install bm3d`

Where `--precision auto` takes bfloat16, each set is scored in both precisions. `--photos DIR` adds the validation sets:
the held-out photos under each kind of the recipe's `validate` (scripts/validate.py). They chose between runs.

`--classical` for mosaics needs `pip install colour-demosaicing`. The folder of `--bench` holds PolyU/{clean,noisy},
CBSD68, Kodak24, McMaster, LIVE1, Classic5, Set5 and Set14. The folder of `--rain` holds a folder for each kind of rain,
with {clean,rainy}.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tomli_w
import typer
from numpy.typing import NDArray

from restore import checkpoints
from restore.checkpoints.catalogue import WeightsEntry
from restore.datasets.layouts import find
from restore.datasets.pairs import Pair, degrading, paired
from restore.degradations import Image
from restore.evaluation.metrics import psnr
from restore.evaluation.scoring import evaluate, restoring
from restore.inference.devices import keep_memory
from restore.inference.precision import takes_bfloat16
from restore.inference.restorer import Restorer
from restore.training.recipe import load_recipe, recipe_for
from scripts import validate

Set = tuple[str, Iterator[Pair]]  # protocol, pictures


def unseen_scenes(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The pictures of PolyU whose scenes did not choose between runs (scripts/validate.py)."""
    named = list(pairs)
    seen = validate.first_scenes([pair.name for pair in named])
    return (pair for pair in named if validate.scene(pair.name) not in seen)


def sets(bench: Path, task: str, level: float | None = None, rain: Path | None = None) -> dict[str, Set]:
    """The benchmark sets of a task by their names in the catalogue; `level` is that of the weights."""

    def spoilt(
        name: str, degradation: str | None, level: float | None = None, *, as_file: bool = False
    ) -> Iterator[Pair]:
        draw = None if degradation is None else degrading(degradation, level, as_file=as_file)
        return find(name, bench / name).pairs(draw)

    named: dict[str, Set] = {}
    if task == "denoise":
        named["PolyU"] = "rgb", spoilt("PolyU", None)
        for sigma, as_file in itertools.product((15, 25, 30, 50), (False, True)):
            pictures = spoilt("CBSD68", "gaussian-noise", sigma, as_file=as_file)
            named[f"CBSD68 sigma {sigma}" + " rounded" * as_file] = "rgb", pictures
        for name, sigma in itertools.product(("CBSD68", "Kodak24"), (15, 25, 50)):
            named[f"{name} grey sigma {sigma} rounded"] = "rgb", spoilt(name, "grey-noise", sigma)
        named["PolyU, scenes 6 to 15"] = "rgb", unseen_scenes(spoilt("PolyU", None))
    elif task == "dejpeg":
        for quality in (10, 20, 30, 40):
            named[f"LIVE1 luma, quality {quality}"] = "luma", spoilt("LIVE1", "jpeg-luma", quality)
        for quality in (10, 20, 30, 40, 60, 80, 90, 95):
            named[f"LIVE1 quality {quality}"] = "rgb", spoilt("LIVE1", "jpeg", quality)
        for quality in (10, 90, 95):
            named[f"Kodak24 quality {quality}"] = "rgb", spoilt("Kodak24", "jpeg", quality)
        named["Classic5 luma, quality 10"] = "luma", spoilt("Classic5", "jpeg-luma", 10)
    elif task == "demosaic":
        named |= {name: ("rgb", spoilt(name, "mosaic")) for name in ("Kodak24", "McMaster", "CBSD68")}
    elif task == "upscale":
        named |= {f"{name} x{level:g}": ("y-border", spoilt(name, "bicubic", level)) for name in ("Set5", "Set14")}
    elif task == "deblur":
        named |= {
            f"{name} {kind}": ("rgb", spoilt(name, kind))
            for name in ("Kodak24",)
            for kind in ("motion-blur", "defocus")
        }
    elif task == "derain":
        for folder in sorted(rain.iterdir()) if rain else ():
            named[folder.name] = "y", paired(folder / "clean", folder / "rainy")
        named["Kodak24 synthetic rain"] = "y", spoilt("Kodak24", "rain")
    if task in ("denoise", "derain", "deblur", "dejpeg"):
        named["Kodak24 clean"] = "rgb", spoilt("Kodak24", None)
    return named


def validation_sets(entry: WeightsEntry, photos: Path) -> dict[str, Set]:
    """The validation sets of weights, by their names in the catalogue."""
    recipe = load_recipe(entry.recipe or recipe_for(entry.task, entry.network, entry.config))
    protocol = "y-border" if entry.task == "upscale" else "rgb"
    return {f"validation: {name}": (protocol, iter(pairs)) for name, pairs in validate.sets(recipe, photos, None)}


def non_local_means(pair: Pair) -> Image:
    """Non-local means of OpenCV, at 0.6 of the estimated noise, the best strength on CBSD68."""
    levels = np.round(np.clip(pair.degraded, 0, 1) * 255).astype(np.uint8)
    strength = 0.6 * 255 * estimated_sigma(pair.degraded)
    result = cv2.fastNlMeansDenoisingColored(levels, None, strength, strength, 7, 21)
    return np.asarray(result, np.float32) / np.float32(255)


def unsharp_mask(pair: Pair) -> Image:
    """An unsharp mask of 1 pixel at full strength: the best of 16 for the defocus of half of Kodak24."""
    blurred = cv2.GaussianBlur(pair.degraded, (0, 0), 1)
    return np.asarray(np.clip(2 * pair.degraded - blurred, 0, 1), np.float32)


def demosaiced(method: int) -> Callable[[Pair], Image]:
    """A method of OpenCV for RGGB."""

    def answer(pair: Pair) -> Image:
        mosaic = np.round(pair.degraded.sum(-1) * 255).astype(np.uint8)  # two of three channels are 0
        return np.asarray(cv2.cvtColor(mosaic, method), np.float32) / np.float32(255)

    return answer


def menon(pair: Pair) -> Image:
    """Directional filtering with a posteriori decision (Menon, Andriani, Calvagno, IEEE TIP 2007)."""
    from colour_demosaicing import demosaicing_CFA_Bayer_Menon2007

    return np.asarray(demosaicing_CFA_Bayer_Menon2007(pair.degraded.sum(-1), "RGGB"), np.float32)


CLASSICAL: dict[str, dict[str, Callable[[Pair], Image]]] = {
    "denoise": {"OpenCV's non-local means": non_local_means},
    "dejpeg": {"OpenCV's non-local means": non_local_means},
    "deblur": {"unsharp mask": unsharp_mask},
    "demosaic": {  # OpenCV names a pattern by its second row and second column
        "OpenCV bilinear": demosaiced(cv2.COLOR_BayerBG2RGB),
        "OpenCV VNG": demosaiced(cv2.COLOR_BayerBG2RGB_VNG),
        "OpenCV edge-aware": demosaiced(cv2.COLOR_BayerBG2RGB_EA),
        "Menon": menon,
    },
}


def estimated_sigma(picture: NDArray[np.float32]) -> float:
    """Noise level in [0, 1]: median absolute deviation of green's finest diagonal Haar detail (Donoho)."""
    green = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2, 1]
    detail = (green[::2, ::2] - green[1::2, ::2] - green[::2, 1::2] + green[1::2, 1::2]) / 2
    return float(np.median(np.abs(detail)) / 0.6745)


def against_bm3d(restorer: Restorer, bench: Path, count: int, only: str) -> None:
    """Print PSNR and seconds per megapixel of both, on `count` files each of CBSD68 and PolyU (sigma estimated)."""
    from bm3d import bm3d_rgb

    named = {name: pairs for name, (_, pairs) in sets(bench, "denoise").items()}
    tests = {
        f"CBSD68 sigma {s}": (itertools.islice(named[f"CBSD68 sigma {s}"], count), s / 255) for s in (15, 25, 30, 50)
    }
    polyu = list(named["PolyU"])
    spread = polyu[:: max(1, len(polyu) // count)][:count]
    for name, (pairs, sigma) in (tests | {"PolyU": (iter(spread), None)}).items():
        if only not in name:
            continue
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
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A name or a .safetensors file.")],
    bench: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the benchmark sets.")],
    rain: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of rain sets.")] = None,
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="The training photos: also validate.")] = None,
    bm3d: Annotated[int, typer.Option(metavar="N", help="Compare with BM3D on N files instead.")] = 0,
    classical: Annotated[bool, typer.Option("--classical", help="Score classical methods instead.")] = False,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Print the catalogue's bfloat16_loss instead.")] = False,
    only: Annotated[str, typer.Option(metavar="TEXT", help="Only sets whose name contains TEXT.")] = "",
    tile: Annotated[int | None, typer.Option(metavar="N", help="Score in tiles, for attention that is slow.")] = None,
) -> None:
    keep_memory()
    network, info = checkpoints.load(weights)
    restorer = Restorer(network, entry=info.entry, precision="float32")
    if bm3d:
        against_bm3d(restorer, bench, bm3d, only)
        return
    level = info.entry.level if info.entry else network.scale if info.task == "upscale" else None
    named = sets(bench, info.task, level, rain)
    if bfloat16:
        if info.entry is None or not info.entry.scores:
            raise typer.BadParameter("the catalogue has no scores for these weights")
        first = info.entry.scores[0].set
        if first not in named:
            raise typer.BadParameter(f"{first} is a set of --rain")
        protocol, pairs = named[first]
        pictures, psnrs = list(pairs), []
        for precision in ("float32", "bfloat16"):
            restorer.precision = precision
            psnrs.append(evaluate(restorer, pictures, protocol=protocol, with_ssim=False).mean("psnr"))
        print(f"bfloat16_loss = {psnrs[0] - psnrs[1]:.4f}")
        return
    if photos is not None and info.entry is not None:
        named |= validation_sets(info.entry, photos)
    for name, (protocol, pairs) in named.items():
        if only not in name:
            continue
        if classical:
            pictures = list(pairs)
            for method, answer in CLASSICAL.get(info.task, {}).items():
                print(f"{name}: {method} {evaluate(answer, pictures, protocol=protocol).mean('psnr'):.2f}", flush=True)
        else:
            shown = name if tile is None else f"{name}, tiles of {tile}"
            print(score_table(weights, shown, restorer, protocol, list(pairs), tile), flush=True)


def score_table(
    weights: str, name: str, restorer: Restorer, protocol: str, pairs: list[Pair], tile: int | None = None
) -> str:
    """The table of a score for the catalogue. `restorer` is left in float32."""
    restorer.precision = "float32"
    scores = evaluate(restoring(restorer, tile=tile), pairs, protocol=protocol)
    values = {
        "set": name, "protocol": protocol, "psnr": round(scores.mean("psnr"), 2),
        "input_psnr": round(scores.mean("input_psnr"), 2),  # infinite for a clean set
        "ssim": round(scores.mean("ssim"), 4),
    }  # fmt: skip
    if takes_bfloat16(restorer.entry):
        restorer.precision = "bfloat16"
        answer = restoring(restorer, tile=tile)
        values["bfloat16_psnr"] = round(evaluate(answer, pairs, protocol=protocol, with_ssim=False).mean("psnr"), 2)
        restorer.precision = "float32"
    return tomli_w.dumps({weights: {"scores": [values]}}, multiline_strings=False)


if __name__ == "__main__":
    typer.run(main)
