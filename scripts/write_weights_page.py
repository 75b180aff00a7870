"""Write docs/weights.md from weights/catalogue.toml.

python scripts/write_weights_page.py
"""

from __future__ import annotations

from pathlib import Path

from restore.checkpoints.catalogue import WeightsEntry, load_catalogue

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "weights.md"
SHEETS = {
    "denoise": "Two photographs at night and their denoised copies. Simulated noise of a phone, grain, Gaussian noise "
    "of sigma 25 in black and white: noisy, denoised, clean.",
    "derain": "A photograph in the rain: as it is, derained, derained and denoised. Synthetic rain, and drops on the "
    "lens: rainy, derained, clean.",
    "dejpeg": "JPEG quality 15, 10, 25, 30 and 10: the file, restored, clean.",
    "deblur": "Averaged frames, defocus (twice), camera shake, a straight path: blurred, restored, clean.",
    "demosaic": "RGGB mosaic, demosaiced, clean.",
    "upscale": "Reduced 2, 3, 4 and 2 times: enlarged by a bicubic kernel, by the weights, clean. The last is a JPEG, "
    "enlarged by `pa-edsr-m-x2-web`.",
}
CREDIT = "Crops 1:1 of the [sample pictures](samples/README.md), under CC BY-SA 4.0."


def page(entries: list[WeightsEntry]) -> str:
    """The page as Markdown."""
    lines = [
        "# Bundled weights and their scores",
        "",
        "`restore weights list` and `restore weights show NAME` print the same facts. This page is generated: "
        "`python scripts/write_weights_page.py`.",
        "",
        "- [Evaluation](evaluation.md) explains the protocols.",
        "- The [model cards](../weights/README.md) say what each model is for, its limits and how it was trained.",
        "- [Hub](hub.md) shows how to share weights and how to [import the authors' "
        "checkpoints](hub.md#the-authors-own-checkpoints).",
        "",
        "| name | task | network | parameters | file | licence |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{e.name}`{' (default)' * e.default} | {e.task} | {e.network} `{e.config}` | {e.parameters / 1e6:.2f} M "
        f"| {e.size_bytes / 1e6:.1f} MB | {e.licence} |"
        for e in entries
    ]
    last = {e.task: e for e in entries if e.default}  # one sheet shows all levels of a task
    for e in entries:
        lines += ["", f"## {e.name}", "", f"{e.summary[0].upper()}{e.summary[1:]}.", "", f"- Data: {e.trained_on}"]
        if e.steps is not None:
            lines += [f"- Training: {e.steps:,} steps, {e.hours:g} hours", f"- Machine: {e.machine}"]
        lines += ["", "| set | protocol | input dB | restored dB | in bfloat16 | SSIM | others, dB |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            f"| {s.set} | {s.protocol} | {s.input_psnr:.2f} | {s.psnr:.2f} | {_number(s.bfloat16_psnr, 2)} "
            f"| {_number(s.ssim, 4)} | {s.others or ''} |"
            for s in e.scores
        ]
        if e.default and e.task in SHEETS and e is last[e.task]:
            lines += ["", f"![{SHEETS[e.task]}]({e.task}.jpg)", "", f"*{SHEETS[e.task]} {CREDIT}*"]
    return "\n".join([*lines, ""])


def _number(x: float | None, digits: int) -> str:
    return "" if x is None else f"{x:.{digits}f}"


def main() -> None:
    PAGE.write_text(page(list(load_catalogue(ROOT / "weights" / "catalogue.toml").values())), encoding="utf-8")


if __name__ == "__main__":
    main()
