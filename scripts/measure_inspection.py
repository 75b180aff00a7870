"""Measures `restore inspect` on pictures with known faults and on real ones, and prints tables.

python scripts/measure_inspection.py --bench bench --rain-pairs rain_pairs --samples samples --count 400
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from restore.degradations import jpeg
from restore.images import Picture
from restore.inspection.examples import Example, makers
from restore.inspection.findings import Findings
from restore.inspection.inspect import inspect

WHITE = frozenset({"gaussian-noise", "correlated-noise", "grey-noise"})
SETS = ("Kodak24", "McMaster", "LIVE1", "CBSD68")


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """`(H, W, 3)`."""
    return np.array(Image.open(path).convert("RGB"))


def floats_of(path: Path) -> NDArray[np.float32]:
    """`(H, W, 3)`, 0 to 1."""
    return pixels_of(path).astype(np.float32) / np.float32(255)


def looked_at(pixels: NDArray[np.uint8]) -> Findings:
    """The findings of an array."""
    return inspect(Picture(np.ascontiguousarray(pixels)))


def answer_of(found: Findings) -> str:
    """The tasks as one word, `upscale` for an enlarged picture."""
    return "+".join(sorted(found.tasks)) or ("upscale" if found.enlarged > 1 else "none")


def examples(photos: Sequence[Path], count: int) -> Iterable[Example]:
    """As many of each kind as its share says, in turn; from faults that can be seen."""
    g = np.random.default_rng(7)
    kinds = makers()
    shares = np.array([share for _, share in kinds.values()])
    names = [name for name, number in zip(kinds, np.ceil(shares / shares.sum() * count), strict=True)
             for _ in range(int(number))]  # fmt: skip
    names = [names[k] for k in g.permutation(len(names))[:count]]
    for k, name in enumerate(names):
        clean = floats_of(photos[k % len(photos)])
        for _ in range(5):
            example = kinds[name][0](clean, g)
            if example.task != "?":
                yield example
                break


def measure_made(photos: Sequence[Path], count: int) -> None:
    """Print how many answers are right for each kind, and the errors of the levels."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    wrong: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sigmas, qualities, first = [], [], 0
    for example in examples(photos, count):
        found = looked_at(example.pixels)
        answer = answer_of(found)
        total[example.kind] += 1
        # Noise under JPEG has two faults: either order is right.
        accepted = {example.task} | ({"dejpeg+denoise"} if np.isnan(example.quality) else set())
        right[example.kind] += answer in accepted
        first += example.task in answer.split("+")
        if answer not in accepted:
            wrong[example.kind][answer] += 1
        if example.task == "denoise" and example.sigma > 3:
            sigmas.append((example.kind, found.noise / example.sigma - 1))
        if example.task == "dejpeg" and not np.isnan(example.quality):
            seen = found.jpeg_quality_seen
            qualities.append(999.0 if seen is None else abs(seen - example.quality))
    for kind in sorted(total):
        print(f"{kind:16} {right[kind]:3} of {total[kind]:3}  {dict(wrong[kind])}")
    print(f"the right task alone: {sum(right.values())} of {total.total()} ({sum(right.values()) / total.total():.1%})")
    print(f"the right task among the answers: {first} of {total.total()} ({first / total.total():.1%})")
    for name, is_white in (("white noise", True), ("other noise", False)):
        errors = np.abs([error for kind, error in sigmas if (kind in WHITE) == is_white])
        within = f"{np.mean(errors <= 0.15):.1%} of {len(errors)} within 15 %"
        print(f"sigma of {name}: {within}, median error {np.median(errors):.1%}")
    print(f"JPEG quality: {np.mean(np.array(qualities) <= 8):.1%} of {len(qualities)} within 8")


def measure_real(title: str, pictures: Iterable[NDArray[np.uint8]]) -> None:
    """Print the answers for pictures."""
    print(f"{title:24} {dict(Counter(answer_of(looked_at(pixels)) for pixels in pictures).most_common())}", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bench", "--rain-pairs", "--samples"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--parts", nargs="+", choices=("real", "made"), default=("real", "made"))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    bench: Path = given.bench
    if "real" in given.parts:
        measure_all_real(bench, given.rain_pairs, given.samples)
    if "made" in given.parts:
        photos = sorted(path for name in SETS for path in (bench / name).iterdir())
        photos = [photos[k] for k in np.random.default_rng(3).permutation(len(photos))]
        measure_made(photos, given.count)


def measure_all_real(bench: Path, rain_pairs: Path, samples: Path) -> None:
    """Print the answers for photographs, clean and with faults of their own."""
    for name in ("Kodak24", "McMaster"):
        measure_real(name, map(pixels_of, sorted((bench / name).iterdir())))
    measure_real("PolyU noisy", map(pixels_of, sorted((bench / "PolyU/noisy").iterdir())))
    measure_real("PolyU clean", map(pixels_of, sorted((bench / "PolyU/clean").iterdir())))
    for quality in (10, 20, 30, 40):
        clean = (floats_of(path) for path in sorted((bench / "LIVE1").iterdir()))
        measure_real(f"LIVE1, quality {quality}", (_saved(one, quality) for one in clean))
    pairs = [path for k, path in enumerate(sorted((rain_pairs / "rainy").iterdir())) if k % 4 == 3]
    measure_real("rain pairs, rainy", map(pixels_of, pairs))
    measure_real("rain pairs, clean", (pixels_of(rain_pairs / "clean" / path.name) for path in pairs))
    for path in sorted(samples.glob("*.jpg")):
        measure_real(path.name, [pixels_of(path)])


def _saved(clean: NDArray[np.float32], quality: int) -> NDArray[np.uint8]:
    return np.round(jpeg(clean, quality) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
