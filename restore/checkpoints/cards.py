"""Model cards as Markdown: of a training run, and of weights on the Hugging Face Hub.

The texts of a card come from catalogues, recipes and names of files. `_plain` and `_code` escape them, so no text can
end the metadata, add HTML, a link or a heading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints.catalogue import WeightsEntry

HEADINGS = ("Use it for", "Not for", "Limits", "Data and licences", "Recipe", "Compute", "Scores")
"""What every card says, in this order; weights/README.md has the same headings."""

_NOT_STATED = "not stated."


def model_card(
    name: str, recipe: dict[str, Any], sessions: Sequence[dict[str, Any]], log: Sequence[dict[str, Any]], seconds: float
) -> str:
    """The card of a training run, with the metadata that the Hugging Face Hub reads.

    Args:
        name: Name of the run.
        recipe: The fields of its `Recipe`.
        sessions: When and where the run was worked on, in order.
        log: Its progress, in order.
        seconds: How long it took.
    """
    now = sessions[-1]
    step = log[-1]["step"] if log else now["step"]
    licence = "The weights have no licence yet: choose one that the training photos allow."
    facts = {
        "Use it for": f"`restore {recipe['task']}`: {TASKS[recipe['task']].summary}",
        "Not for": _NOT_STATED,
        "Limits": _NOT_STATED,
        "Data and licences": " ".join(filter(None, (_with_code(_data(sessions)), _labels(recipe), licence))),
        "Recipe": _training(recipe, step, sessions[0].get("start")),  # runs of older versions have no start
        "Compute": _compute(now, seconds),
        "Scores": _validation(recipe, log, _since(sessions)),
    }
    metadata = [
        "library_name: restore",
        "pipeline_tag: image-to-image",
        f"tags: [image-restoration, {recipe['task']}, {recipe['network']}]",
    ]
    options = "".join(f", {_plain(key)} = {_plain(value)}" for key, value in recipe.get("options", {}).items())
    use = [f"restore {recipe['task']} PICTURE -o OUT --weights last.safetensors"]
    lead = f"{_plain(recipe['network'])}, config {_code(recipe['config'])}{options}."
    card = _card("\n".join(metadata), name, [lead, _fenced("sh", use)], facts)
    return card + "\n![Held-out pictures: degraded, restored, clean](validation.png)\n" if _scored(log) else card


def training_facts(
    recipe: dict[str, Any],
    sessions: Sequence[dict[str, Any]],
    *,
    step: int,
    seconds: float,
    scored: dict[str, Any] | None,
) -> dict[str, Any]:
    """What the card of a training run says, as keys of the catalogue's tables; for the metadata of its weights.

    Args:
        recipe: The fields of its `Recipe`.
        sessions: When and where the run was worked on, in order.
        step: Steps done.
        seconds: How long they took.
        scored: Step and validation of the log's entry that scores these weights; None for none.
    """
    name = next(
        (session["recipe"] for session in sessions if session.get("recipe")), f"of the run, {recipe['network']}"
    )
    found: dict[str, Any] = {
        "trained_on": _flat(f"{_data(sessions).rstrip('.')}; degradation {_degradation(recipe)}".replace("`", "'")),
        "recipe": _flat(name),
        "steps": step,
        "hours": round(seconds / 3600, 2),
        "machine": _flat(sessions[-1]["device"]),
    }
    if scored is not None:
        name = f"{recipe['held_out']} held-out pictures at step {scored['step']:,}"
        found["scores"] = _measured(name, scored["validation"])
        for kind, psnrs in (scored.get("kinds") or {}).items():
            found["scores"] += _measured(f"{name}: {_flat(kind)}", psnrs)
    return found


def _measured(name: str, psnrs: tuple[float | None, float | None]) -> list[dict[str, Any]]:
    """A validation as a score of the catalogue; none without a finite PSNR."""
    known = zip(("input_psnr", "psnr"), psnrs, strict=True)
    numbers = {key: round(value, 4) for key, value in known if value is not None and math.isfinite(value)}
    return [{"set": name, "protocol": "rgb"} | numbers] if "psnr" in numbers else []


def weights_card(entry: WeightsEntry, repo: str, *, datasets: Sequence[str] = (), has_recipe: bool = False) -> str:
    """The card of weights in a repository of the Hugging Face Hub, with the metadata that the Hub reads.

    Args:
        entry: The weights.
        repo: `owner/name`.
        datasets: Datasets of the Hub that the weights were trained on, as `owner/name`.
        has_recipe: Whether `recipe.json` is beside it.
    """
    name = repo.partition("/")[2]
    option = TASKS[entry.task].level
    level = f" For {option.name} {entry.level:g}." if option and entry.level is not None else ""
    trained = "" if entry.steps is None else f"{entry.steps:,} steps."
    recipe = f"{_code(entry.recipe)}{', ' if trained else '.'}" if entry.recipe else ""
    machine = f" on {_plain(entry.machine)}" if entry.machine else ""
    took = "" if entry.hours is None else f"{entry.hours:g} hours{machine}."
    licence = f"The licence of the weights is {_plain(entry.licence)}."
    facts = {
        "Use it for": f"`restore {entry.task}`: {TASKS[entry.task].summary}{level}",
        "Not for": _NOT_STATED,
        "Limits": _NOT_STATED,
        "Data and licences": f"{_plain(entry.trained_on.rstrip('.'))}. {licence}",
        "Recipe": recipe + trained + " `recipe.json` has all settings." * has_recipe or _NOT_STATED,
        "Compute": took or _NOT_STATED,
        "Scores": _scores(entry),
    }
    summary = _plain(f"{entry.summary[:1].upper()}{entry.summary[1:].rstrip('.')}.")
    network = (
        f"{_plain(entry.network)}, config {_code(entry.config)}, {entry.parameters:,} parameters. "
        f"SHA-256 {_code(entry.sha256)}."
    )
    shell = [
        f"restore weights pull hf://{repo} --name {name}",
        f"restore {entry.task} PICTURE -o OUT --weights {name}",
    ]
    python = ["import restore", "", f'restorer = restore.Restorer.from_pretrained("{repo}")']
    lead = [f"{summary} {network}", _fenced("sh", shell), _fenced("python", python)]
    return _card(_metadata(entry, name, datasets), name, lead, facts)


def _card(metadata: str, name: str, lead: Sequence[str], facts: dict[str, str]) -> str:
    """A card: metadata, title, paragraphs, and one item a heading."""
    items = "\n".join(f"- **{heading}**: {facts[heading]}" for heading in HEADINGS)
    return "\n\n".join([f"---\n{metadata}\n---", f"# {_plain(name)}", *lead, items]) + "\n"


def _flat(text: object) -> str:
    """A text on one line, without characters that cannot be printed."""
    return "".join(character if character.isprintable() else " " for character in str(text))


def _plain(text: object) -> str:
    """A text as Markdown that shows the same characters, on one line.

    >>> _plain("<b>x</b> [y](javascript:z) `a` --- \\n# b"), _plain("SPA-Data, sigma 0 to 75 (half)")
    ('&lt;b&gt;x&lt;/b&gt; \\\\[y\\\\](javascript:z) \\\\`a\\\\` ---  # b', 'SPA-Data, sigma 0 to 75 (half)')
    """
    text = _flat(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"[\\`*\[\]|~]|\b_|_\b", r"\\\g<0>", text)
    return re.sub(r"^([-+#=]|\d+[.)])", r"\\\1", text) if re.match(r"[-+#=]|\d+[.)]\s", text) else text


def _with_code(text: str) -> str:
    """A text of `restore` with names between backticks, as Markdown.

    >>> _with_code("pairs of `a<b>` and <c>")
    'pairs of `a<b>` and &lt;c&gt;'
    """
    parts = text.split("`")
    return "".join(_code(part) if place % 2 else _plain(part) for place, part in enumerate(parts))


def _code(text: object) -> str:
    """A text as code in Markdown, where only a backtick has a meaning.

    >>> _code("a`<b>")
    "`a'<b>`"
    """
    return f"`{_flat(text).replace('`', chr(39)).replace('|', '/')}`"


def _fenced(language: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))


def _decibels(value: float | None) -> str:
    """A PSNR; a dash for a picture without error."""
    return "-" if value in (None, math.inf) else f"{value:.2f}"


def _labels(recipe: dict[str, Any]) -> str:
    """The share of the crops that learns from a teacher's outputs."""
    if not recipe.get("labels"):
        return ""
    return (
        f"{recipe['teacher_share']:.0%} of the photos' crops learn from a teacher's outputs, {_code(recipe['labels'])}."
    )


def _data(sessions: Sequence[dict[str, Any]]) -> str:
    """The pictures of all sessions; with the steps where a resumed run got others."""
    parts: list[tuple[int, str]] = []
    for session in sessions:
        if not parts or parts[-1][1] != session["data"]:
            parts.append((session["step"], session["data"]))
    return parts[0][1] if len(parts) == 1 else " ".join(f"From step {step:,}: {text}" for step, text in parts)


def _since(sessions: Sequence[dict[str, Any]]) -> int:
    """The step of the last session with new pictures: earlier scores are of others."""
    return max((session["step"] for session in sessions if session.get("new_data")), default=-1)


def _degradation(recipe: dict[str, Any]) -> str:
    levels = "" if recipe["level_low"] is None else f", {recipe['level_low']:g} to {recipe['level_high']:g}"
    return f"{recipe['degradation']}{levels}"


def _training(recipe: dict[str, Any], step: int, start: str | None) -> str:
    degradation = _plain(_degradation(recipe))
    stages = "".join(f" ({batch} of {side} until step {until:,})" for until, batch, side in recipe["stages"])
    return (
        f"degradation {degradation}; {step:,} of {recipe['steps']:,} steps of {recipe['batch']} crops of "
        f"{recipe['crop']} pixels{stages}, {recipe['precision']}, seed {recipe['seed']}."
        f"{f' It starts from {_with_code(start)}.' if start else ''} `recipe.json` has all settings."
    )


def _compute(now: dict[str, Any], seconds: float) -> str:
    versions = f"restore {now['restore']}, PyTorch {now['torch']}, NumPy {now['numpy']}, Python {now['python']}"
    commit = f", commit {now['commit']}" if now["commit"] else ""
    processes = f"{now['processes']} process{'es' * (now['processes'] > 1)}"
    return f"{seconds / 3600:.2f} hours on {_plain(now['device'])}, {processes}; {versions}{commit}."


def _scored(log: Sequence[dict[str, Any]], since: int = -1) -> list[dict[str, Any]]:
    return [entry for entry in log if entry["validation"] and entry["step"] > since]


def _validation(recipe: dict[str, Any], log: Sequence[dict[str, Any]], since: int) -> str:
    """PSNR of the held-out pictures: at the best and the last step, and for each degradation at the last."""
    scored = _scored(log, since)
    if not scored:
        return "none yet."
    how = "each under the degradations below; the mean over these" if recipe.get("validate") else "degraded as above"
    part = f", the middle {recipe['validate_crop']} pixels" if recipe["validate_crop"] else ""
    count = f"{recipe['held_out']} held-out pictures"
    if (held_pairs := recipe.get("held_out_pairs")) not in (None, recipe["held_out"]):
        count += f" ({held_pairs} pairs)"
    best = max(scored, key=lambda entry: -math.inf if entry["validation"][1] is None else entry["validation"][1])
    steps = _table(
        ("step", "input", "restored"),
        [
            (f"{entry['step']:,}{' (best)' * (entry is best)}", *map(_decibels, entry["validation"]))
            for entry in ([best] if best is scored[-1] else [best, scored[-1]])
        ],
    )
    text = (
        f"PSNR of {count} in dB, 8-bit RGB{part}, {how}. They resemble the training pictures: to compare with "
        f"other work, use `restore eval`.\n\n{steps}"
    )
    if kinds := scored[-1].get("kinds"):
        rows = [(_plain(kind), *map(_decibels, scores)) for kind, scores in kinds.items()]
        text += f"\n\nAt step {scored[-1]['step']:,}:\n\n{_table(('degradation', 'input', 'restored'), rows)}"
    return text


def _scores(entry: WeightsEntry) -> str:
    if not entry.scores:
        return _NOT_STATED
    rows = [
        (
            _plain(s.set),
            _plain(s.protocol),
            _decibels(s.input_psnr),
            _decibels(s.psnr),
            "-" if s.ssim is None else f"{s.ssim:.4f}",
        )
        for s in entry.scores
    ]
    return f"PSNR in dB.\n\n{_table(('set', 'protocol', 'input', 'restored', 'SSIM'), rows)}"


def _metadata(entry: WeightsEntry, name: str, datasets: Sequence[str]) -> str:
    """The Hub's metadata as YAML: licence, tags, datasets, and the scores as its `model-index`."""
    from huggingface_hub import EvalResult, ModelCardData

    measures = [("psnr", "PSNR in dB"), ("ssim", "SSIM")]
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=entry.task,
            dataset_name=_flat(score.set),
            dataset_type=re.sub(r"[^a-z0-9]+", "-", score.set.lower()).strip("-") or "unknown",
            metric_type=measure,
            metric_name=f"{label}, protocol {_flat(score.protocol)}",
            metric_value=value,
        )
        for score in entry.scores
        for measure, label in measures
        if (value := getattr(score, measure)) not in (None, math.inf)
    ]
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
    return str(metadata.to_yaml())
