"""Measure `restore auto` against each single task, on pictures that are degraded on purpose.

Give clean photographs that no weights were trained on. Each kind of degradation, single or mixed, is applied to some
of them. The table has PSNR (RGB, 8 bits, in dB) of the input, after each task alone, after `auto`, and after the right
steps in other orders.

    python -m scripts.measure_auto DATA/Kodak24 --each 3
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restore.batch.step_chain import StepLoader
from restore.batch.steps import Step, advised
from restore.degradations import DEGRADATIONS, Draw, Image
from restore.images import Picture, read_picture
from restore.inspection.advice import advise
from restore.inspection.inspect import inspect

Pixels = NDArray[np.uint8]
Kinds = Sequence[tuple[str, tuple[float, float] | None]]
"""Degradations one after another, each with its range of levels."""

TASKS = ("denoise", "dejpeg", "deblur", "derain")
SINGLE: dict[str, tuple[float, float] | None] = {
    "clean": None, "gaussian-noise": (5, 50), "camera-noise": None, "phone-noise": None, "grain": None,
    "correlated-noise": (5, 30), "jpeg": (10, 75), "jpeg-twice": (10, 75), "jpeg-grey": (10, 75), "defocus": None,
    "motion-blur": None, "rain": None, "rain-crossed": None, "night-rain": None,
}  # fmt: skip
MIXED: dict[str, Kinds] = {
    "rain, then noise": (("rain", None), ("gaussian-noise", (5, 25))),
    "rain, then JPEG": (("rain", None), ("jpeg", (20, 60))),
    "noise, then JPEG": (("gaussian-noise", (5, 25)), ("jpeg", (20, 75))),
    "camera noise, then JPEG": (("camera-noise", None), ("jpeg", (40, 85))),
    "blur, then noise": (("defocus", None), ("gaussian-noise", (3, 12))),
    "blur, then JPEG": (("motion-blur", None), ("jpeg", (30, 80))),
}
_NEEDED = {"rain": "derain", "gaussian-noise": "denoise", "camera-noise": "denoise", "jpeg": "dejpeg"}
_NEEDED |= {"defocus": "deblur", "motion-blur": "deblur"}


def degraded(clean: Pixels, kinds: Kinds, seed: int) -> tuple[Pixels, Pixels]:
    """The picture that a restoration should reach, and the degraded one."""
    generator = np.random.default_rng(seed)
    x: Image = clean.astype(np.float32) / np.float32(255)
    reference = x
    for kind, levels in kinds:
        draw: Draw = DEGRADATIONS[kind](levels)
        target, x = draw(generator).apply(np.clip(x, 0, 1), generator)  # as in a file
        reference = target if kind == kinds[0][0] else reference  # of the first: some make pictures smaller
    return _bytes(reference), _bytes(x)


def _bytes(x: Image) -> Pixels:
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


def psnr(a: Pixels, b: Pixels) -> float:
    """At most 60 dB: for equal pictures it would be infinite."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return min(60.0, float(10 * np.log10(255**2 / error))) if error else 60.0


def steps_of(kinds: Kinds) -> list[str]:
    """The tasks that mend mixed degradations, in the order of the degradations."""
    return [_NEEDED[kind] for kind, _ in kinds]


def main() -> None:
    """Print a row for each kind, the means, and where `auto` loses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--each", type=int, default=3, help="pictures of each kind")
    parser.add_argument("--side", type=int, default=320, help="of the middle crop, in pixels")
    parser.add_argument("--orders", action="store_true", help="only compare the orders of steps, on mixed kinds")
    args = parser.parse_args()
    photos = sorted(path for path in args.photos.iterdir() if path.suffix.lower() in (".png", ".jpg", ".tif"))
    loader = StepLoader(device="cpu", precision="float32")

    def restored(pixels: Pixels, steps: Sequence[Step]) -> Pixels:
        return loader.chain(steps).restore_picture(Picture(pixels)).picture.pixels if steps else pixels

    kinds: dict[str, Kinds] = {} if args.orders else {kind: ((kind, levels),) for kind, levels in SINGLE.items()}
    kinds |= MIXED
    taken = iter(range(10**6))
    columns: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kind, parts in kinds.items():
        for _ in range(args.each):
            number = next(taken)
            reference, pixels = degraded(_middle(photos[number % len(photos)], args.side), parts, number)
            scores = _orders(parts, pixels, reference, restored) if args.orders else {}
            if not args.orders:
                scores = {task: psnr(restored(pixels, [Step(task)]), reference) for task in TASKS}
                advice = advise(inspect(Picture(pixels)))
                scores["auto"] = psnr(restored(pixels, advised(advice)), reference)
                change = scores["auto"] - psnr(pixels, reference)
                print(f"  {kind} {number}: {change:+.2f} dB, {advice.words()}", flush=True)
            for name, score in {"input": psnr(pixels, reference), **scores}.items():
                columns[kind][name].append(score)
        print(f"{kind}: " + ", ".join(f"{name} {np.mean(values):.2f}" for name, values in columns[kind].items()))
    if not args.orders:
        _conclude(columns)


def _middle(path: Path, side: int) -> Pixels:
    pixels = read_picture(path).pixels
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))[top : top + side, left : left + side])


def _orders(
    parts: Kinds,
    pixels: Pixels,
    reference: Pixels,
    restored: Callable[[Pixels, Sequence[Step]], Pixels],
) -> dict[str, float]:
    """PSNR of each step alone and of the steps in each order."""
    tasks = steps_of(parts)
    ways = [*((task,) for task in tasks), *permutations(tasks)]
    return {" ".join(way): psnr(restored(pixels, [Step(task) for task in way]), reference) for way in ways}


def _conclude(columns: dict[str, dict[str, list[float]]]) -> None:
    flat: dict[str, list[float]] = defaultdict(list)
    for row in columns.values():
        for name, values in row.items():
            flat[name] += values
    means = {name: float(np.mean(values)) for name, values in flat.items()}
    print(f"mean of {len(flat['input'])}: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()))
    change = np.array(flat["auto"]) - np.array(flat["input"])
    best = max(TASKS, key=lambda task: means[task])
    print(f"auto beats {best}, the best single task, by {means['auto'] - means[best]:.2f} dB in the mean")
    each = np.max([flat["input"], *(flat[task] for task in TASKS)], axis=0)
    print(f"the best of input and single task, chosen for each picture by its reference: {each.mean():.2f} dB")
    print(
        f"auto loses over 0.1 dB on {int((change < -0.1).sum())} of {len(change)} pictures, worst {change.min():+.2f}"
    )


if __name__ == "__main__":
    main()
