"""The model card of a training run: what it was trained on and how, and what it scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from restore.tasks import TASKS


def model_card(
    name: str, recipe: dict[str, Any], sessions: Sequence[dict[str, Any]], log: Sequence[dict[str, Any]], seconds: float
) -> str:
    """The card as Markdown, with the metadata that the Hugging Face Hub reads.

    Args:
        name: What the run is called.
        recipe: The fields of its `Recipe`.
        sessions: When and where it was worked on, in order.
        log: Its progress, in order.
        seconds: How long it took.
    """
    now = sessions[-1]
    step = log[-1]["step"] if log else now["step"]
    scored = [entry for entry in log if entry["validation"]]
    degradation = recipe["degradation"]
    if recipe["level_low"] is not None:
        degradation += f", {recipe['level_low']:g} to {recipe['level_high']:g}"
    lines = [
        "---",
        "library_name: restore",
        "pipeline_tag: image-to-image",
        f"tags: [image-restoration, {recipe['task']}, {recipe['network']}]",
        "---",
        "",
        f"# {name}",
        "",
        f"{recipe['network']}, config `{recipe['config']}`. {TASKS[recipe['task']].summary}",
        "",
        "```sh",
        f"restore {recipe['task']} PICTURE -o OUT --weights last.safetensors",
        "```",
        "",
        f"- **Data.** {now['data']}",
        f"- **Degradation.** {degradation}",
        f"- **Training.** {step:,} of {recipe['steps']:,} steps of {recipe['batch']} crops of {recipe['crop']} pixels, "
        f"{seconds / 3600:.2f} hours, {recipe['precision']}, seed {recipe['seed']}; all of it in `recipe.json`.",
        f"- **Machine.** {now['device']}, {now['processes']} process{'es' * (now['processes'] > 1)}; restore "
        f"{now['restore']}, PyTorch {now['torch']}, NumPy {now['numpy']}, Python {now['python']}"
        + (f", commit {now['commit']}." if now["commit"] else "."),
        "- **Licence.** Not chosen yet. Which one do the pictures it was trained on allow?",
        "",
        "## Scores",
        "",
    ]
    if not scored:
        return "\n".join([*lines, "Not scored yet.", ""])
    part = "whole" if not recipe["validate_crop"] else f"their middle {recipe['validate_crop']} pixels"
    lines += [
        f"PSNR of the {recipe['held_out']} held-out pictures in dB, RGB, 8 bits, {part}, each degraded as the training "
        "pictures were. They are alike those trained on: for scores to compare with others, see `restore eval`.",
        "",
        "| step | input | restored |",
        "|---|---|---|",
    ]
    best = max(scored, key=lambda entry: float(entry["validation"][1]))
    for entry in [best] if best is scored[-1] else [best, scored[-1]]:
        before, after = entry["validation"]
        found = " (best)" if entry is best else ""
        lines.append(f"| {entry['step']:,}{found} | {before:.2f} | {after:.2f} |")
    return "\n".join([*lines, "", "![Held-out pictures: degraded, restored, clean](validation.png)", ""])
