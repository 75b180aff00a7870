"""Model cards: what weights were trained on and how, and what they score."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints.catalogue import WeightsEntry


def model_card(
    name: str, recipe: dict[str, Any], sessions: Sequence[dict[str, Any]], log: Sequence[dict[str, Any]], seconds: float
) -> str:
    """The card of a training run as Markdown, with the metadata that the Hugging Face Hub reads.

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
    stages = "".join(f" ({batch} of {side} until step {until:,})" for until, batch, side in recipe["stages"])
    degradation = recipe["degradation"]
    if recipe["level_low"] is not None:
        degradation += f", {recipe['level_low']:g} to {recipe['level_high']:g}"
    start = sessions[0].get("start")  # runs of older versions do not tell
    options = "".join(f", {key} = {value}" for key, value in recipe.get("options", {}).items())
    labels = ""
    if recipe.get("labels"):
        labels = f"{recipe['teacher_share']:.0%} of the photos' crops are compared with `{recipe['labels']}`"
        labels = f" {labels}, what a better network makes of the photos."
    lines = [
        "---",
        "library_name: restore",
        "pipeline_tag: image-to-image",
        f"tags: [image-restoration, {recipe['task']}, {recipe['network']}]",
        "---",
        "",
        f"# {name}",
        "",
        f"{recipe['network']}, config `{recipe['config']}`{options}. {TASKS[recipe['task']].summary}",
        "",
        "```sh",
        f"restore {recipe['task']} PICTURE -o OUT --weights last.safetensors",
        "```",
        "",
        f"- **Data.** {now['data']}{labels}",
        f"- **Degradation.** {degradation}",
        f"- **Training.** {step:,} of {recipe['steps']:,} steps of {recipe['batch']} crops of {recipe['crop']} pixels"
        f"{stages}, {seconds / 3600:.2f} hours, {recipe['precision']}, seed {recipe['seed']}; "
        "all of it in `recipe.json`." + (f" Begun from {start}." if start else ""),
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
    how = "as the training pictures were"
    if recipe.get("validate"):
        how = "in each of the ways below; the mean over these"
    part = "whole" if not recipe["validate_crop"] else f"their middle {recipe['validate_crop']} pixels"
    count = f"{recipe['held_out']} held-out pictures"
    if (held_pairs := recipe.get("held_out_pairs")) not in (None, recipe["held_out"]):
        count += f" (of pairs {held_pairs})"
    lines += [
        f"PSNR of the {count} in dB, RGB, 8 bits, {part}, each degraded "
        f"{how}. They are alike those trained on: for scores to compare with others, see `restore eval`.",
        "",
        "| step | input | restored |",
        "|---|---|---|",
    ]
    best = max(scored, key=lambda entry: float(entry["validation"][1]))
    for entry in [best] if best is scored[-1] else [best, scored[-1]]:
        before, after = entry["validation"]
        found = " (best)" if entry is best else ""
        lines.append(f"| {entry['step']:,}{found} | {before:.2f} | {after:.2f} |")
    if kinds := scored[-1].get("kinds"):
        lines += ["", f"At step {scored[-1]['step']:,}:", "", "| degradation | input | restored |", "|---|---|---|"]
        lines += [
            f"| {kind} | {'-' if before is None else f'{before:.2f}'} | {after:.2f} |"
            for kind, (before, after) in kinds.items()
        ]
    return "\n".join([*lines, "", "![Held-out pictures: degraded, restored, clean](validation.png)", ""])


def weights_card(entry: WeightsEntry, repo: str, *, datasets: Sequence[str] = ()) -> str:
    """The card of weights in a repository of the Hugging Face Hub, as Markdown with the metadata that it reads.

    Args:
        entry: The weights.
        repo: `owner/name`.
        datasets: Data sets of the Hub that they were trained on, as `owner/name`.
    """
    from huggingface_hub import EvalResult, ModelCardData

    measures = [("psnr", "PSNR in dB"), ("ssim", "SSIM")]
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=entry.task,
            dataset_name=score.set,
            dataset_type=re.sub(r"[^a-z0-9]+", "-", score.set.lower()).strip("-"),
            metric_type=measure,
            metric_name=f"{label}, protocol {score.protocol}",
            metric_value=value,
        )
        for score in entry.scores
        for measure, label in measures
        if (value := getattr(score, measure)) not in (None, math.inf)
    ]
    name = repo.partition("/")[2]
    metadata = ModelCardData(
        library_name="restore",
        pipeline_tag="image-to-image",
        license=entry.licence.lower(),
        tags=["image-restoration", entry.task, entry.network],
        datasets=list(datasets) or None,
        metrics=[measure for measure, _ in measures if any(result.metric_type == measure for result in results)]
        or None,
        model_name=name,
        eval_results=results or None,
    )
    lines = [
        "---",
        metadata.to_yaml(),
        "---",
        "",
        f"# {name}",
        "",
        f"{entry.summary[:1].upper()}{entry.summary[1:].rstrip('.')}. {entry.network}, config `{entry.config}`, "
        f"{entry.parameters:,} parameters.",
        "",
        "```sh",
        f"restore weights pull hf://{repo} --name {name}",
        f"restore {entry.task} PICTURE -o OUT --weights {name}",
        "```",
        "",
        "```python",
        "import restore",
        "",
        f'restorer = restore.Restorer.from_pretrained("{repo}")',
        "```",
        "",
        f"- **Task.** {TASKS[entry.task].summary}"
        + (f" Made for level {entry.level:g}." if entry.level is not None else ""),
        f"- **Data.** {entry.trained_on}",
    ]
    if entry.steps is not None:
        took = f", {entry.hours:g} hours on {entry.machine}" if entry.hours is not None else ""
        followed = f" of recipe {entry.recipe}" if entry.recipe else ""
        lines.append(f"- **Training.** {entry.steps:,} steps{followed}{took}.")
    lines += [f"- **Licence.** {entry.licence}", f"- **SHA-256 of the weights.** `{entry.sha256}`", ""]
    if entry.scores:
        lines += ["## Scores", "", "| set | protocol | input, dB | restored, dB | SSIM |", "|---|---|---|---|---|"]
        for score in entry.scores:
            ssim = "-" if score.ssim is None else f"{score.ssim:.4f}"
            given = "-" if score.input_psnr == math.inf else f"{score.input_psnr:.2f}"
            lines.append(f"| {score.set} | {score.protocol} | {given} | {score.psnr:.2f} | {ssim} |")
        lines.append("")
    return "\n".join(lines)
