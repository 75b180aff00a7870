"""Write docs/weights.md from weights/catalogue.toml.

python scripts/write_weights_page.py
"""

from __future__ import annotations

from pathlib import Path

from restore.checkpoints.catalogue import WeightsEntry, load_catalogue

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "weights.md"
SHEETS = {
    "derain": "Crops 1:1. First row: a photograph in the rain, derained, and then denoised as well. The others: "
    "synthetic rain, derained, and the picture without it.",
    "dejpeg": "Crops 1:1, saved with JPEG quality 10, 10 and 25; restored; the picture.",
    "deblur": "Crops 1:1: camera shake twice and defocus, made on purpose; sharpened; the picture.",
    "demosaic": "Crops 1:1: RGGB mosaics; the colours filled in; the picture.",
    "upscale": "Crops 1:1 of pictures reduced 2, 3 and 4 times: enlarged by a bicubic kernel; by the weights; "
    "the picture.",
}


def page(entries: list[WeightsEntry]) -> str:
    """The page as Markdown."""
    lines = [
        "# Bundled weights and what they score",
        "",
        "Generated from the catalogue by `python scripts/write_weights_page.py`; `restore weights list` and "
        "`restore weights show NAME` print the same.",
        "How scores are made is in [evaluation.md](evaluation.md), how the weights were trained in "
        "[weights/README.md](../weights/README.md), how to share weights in [hub.md](hub.md); where the networks' "
        "authors offer their checkpoints, and how to import each, in [hub.md](hub.md#the-authors-own-checkpoints).",
        "",
        "| name | task | network | parameters | file | licence |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{e.name}`{' (default)' * e.default} | {e.task} | {e.network} `{e.config}` | {e.parameters / 1e6:.2f} M "
        f"| {e.size_bytes / 1e6:.1f} MB | {e.licence} |"
        for e in entries
    ]
    last = {e.task: e for e in entries if e.default}  # where a task has weights for several levels, the sheet is of all
    for e in entries:
        lines += ["", f"## {e.name}", "", f"{e.summary[0].upper()}{e.summary[1:]}. Trained on {e.trained_on}."]
        if e.steps is not None:
            lines[-1] += f" {e.steps:,} steps, {e.hours:g} hours on {e.machine}."
        lines += ["", "| set | protocol | input dB | restored dB | SSIM | others, dB |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {s.set} | {s.protocol} | {s.input_psnr:.2f} | {s.psnr:.2f} "
            f"| {'' if s.ssim is None else f'{s.ssim:.4f}'} | {s.others or ''} |"
            for s in e.scores
        ]
        if e.default and e.task in SHEETS and e is last[e.task]:
            source = "From the [sample pictures](samples/README.md), CC BY-SA 4.0."
            lines += ["", f"![{SHEETS[e.task]}]({e.task}.jpg)", "", f"*{SHEETS[e.task]} {source}*"]
    return "\n".join([*lines, ""])


def main() -> None:
    PAGE.write_text(page(list(load_catalogue(ROOT / "weights" / "catalogue.toml").values())), encoding="utf-8")


if __name__ == "__main__":
    main()
