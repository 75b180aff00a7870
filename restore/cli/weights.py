"""`restore weights`: what there is, whether it is whole, and more of it from the networks' authors and the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore import checkpoints
from restore.checkpoints import catalogue, pull_push
from restore.checkpoints.catalogue import WeightsEntry
from restore.cli.console import describe, say, table
from restore.errors import UsageError, WeightsError, did_you_mean
from restore.tasks import TASKS

PUBLISHED = ("drsformer", "panet", "pa-edsr", "kit", "cs-kit")  # keys of NETWORKS, which are on torch's side

app = typer.Typer(help="List, show, verify, import and share weights.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_weights(
    cached: Annotated[bool, typer.Option("--cached", help="What is in the Hugging Face Hub's cache instead.")] = False,
) -> None:
    """List the weights that can be named, with their first score; * marks the default of a task."""
    if cached:
        found = [(name, f"{one.size_bytes / 1e6:.1f} MB", str(one.address)) for one, name in pull_push.cached()]
        print(table(("NAME", "SIZE", "ADDRESS"), found))
        return
    rows = [
        (
            entry.name + "*" * entry.default,
            entry.task,
            "blind" if entry.level is None else f"{entry.level:g}",
            f"{entry.parameters / 1e6:.2f} M",
            f"{entry.size_bytes / 1e6:.1f} MB",
            where(entry),
            next((f"{score.set} {score.psnr:.2f} dB (input {score.input_psnr:.2f})" for score in entry.scores), ""),
        )
        for entry in catalogue.load_catalogue().values()
    ]
    print(table(("NAME", "TASK", "LEVEL", "PARAMETERS", "SIZE", "WHERE", "SCORE"), rows))


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `restore weights list`.")]) -> None:
    """Show everything that is known of one set of weights: origin, licence, training, scores."""
    entry = catalogue.find(name)
    facts = [
        ("name", entry.name),
        ("summary", entry.summary),
        ("task", entry.task + (", blind" if entry.level is None else f", level {entry.level:g}")),
        ("network", f"{entry.network}, config {entry.config}, {entry.parameters:,} parameters"),
        ("licence", entry.licence),
        ("trained on", entry.trained_on),
        ("training", _training(entry)),
        ("file", f"{entry.file}, {entry.size_bytes:,} bytes"),
        ("sha256", entry.sha256),
    ]
    if entry.hub_repo:
        facts.append(("hub", f"hf://{entry.hub_repo}@{entry.hub_revision}/{entry.hub_file}"))
    for label, fact in facts:
        print(f"{label + ':':<12}{fact}")
    if entry.scores:
        rows = [
            (
                score.set,
                score.protocol,
                f"{score.psnr:.2f}",
                f"{score.input_psnr:.2f}",
                "" if score.ssim is None else f"{score.ssim:.4f}",
                score.others or "",
            )
            for score in entry.scores
        ]
        print("\n" + table(("SET", "PROTOCOL", "PSNR dB", "INPUT dB", "SSIM", "OTHERS dB"), rows))


@app.command("import")
def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="A checkpoint that a network's authors published.")],
    network: Annotated[str, typer.Option(metavar="|".join(PUBLISHED), help="The network that it is of.")],
    task: Annotated[str, typer.Option(metavar="|".join(TASKS), help="What it was trained for.")],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to call it. [default: network, task and the file's name]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Import a published checkpoint; the other commands then take it by name.

    The file may be a pickle: only tensors are read from it. Every tensor is checked by name and shape.
    """
    for what, word, choices in (("network", network, PUBLISHED), ("task", task, TASKS)):
        if word not in choices:
            hint = did_you_mean(word, choices) or f"choose one of {', '.join(choices)}"
            raise UsageError(f"there is no {what} called {word!r}", hint=hint)
    from restore.checkpoints import author_files

    entry = author_files.import_published(file, network=network, task=task, name=name)
    say(f"{entry.parameters:,} parameters, config {entry.config}; use it with `restore {task} --weights {entry.name}`")
    print(entry.name)


@app.command()
def pull(
    source: Annotated[str, typer.Argument(metavar="ADDRESS", help="hf://owner/repo[@revision][/file]")],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What to call them. [default: the repository's name]", show_default=False),
    ] = None,
) -> None:
    """Fetch weights from the Hugging Face Hub; the other commands then take them by name, also offline.

    The commit and the SHA-256 are recorded, so the name always means the same weights. Private repositories need
    `hf auth login` or HF_TOKEN.
    """
    entry = pull_push.pull(source, name=name)
    say(f"hf://{entry.hub_repo}@{entry.hub_revision}/{entry.hub_file}, {entry.size_bytes:,} bytes")
    say(f"licence {entry.licence}; use it with `restore {entry.task} --weights {entry.name}`")
    print(entry.name)


@app.command()
def push(
    source: Annotated[str, typer.Argument(metavar="NAME", help="A name, or a file such as RUN/last.safetensors.")],
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The repository; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Only you may see it.")] = False,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="The commit's message.")] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Their licence, such as Apache-2.0, if it is not known here.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="OWNER/NAME", help="A data set of the Hub that they were trained on. [repeatable]"),
    ] = None,
) -> None:
    """Publish weights on the Hugging Face Hub, with a config and a model card, in one commit.

    Needs `hf auth login` or HF_TOKEN. Weights whose licence is not known are not published.
    """
    address, page = pull_push.push(
        source, repo, private=private, message=message, licence=licence, datasets=dataset or ()
    )
    say(page)
    print(address)


@app.command()
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="Weights that were imported or pulled.")]) -> None:
    """Remove imported or pulled weights, and their file from this machine."""
    entry = pull_push.remove(name)
    say(f"removed {entry.name}, {entry.size_bytes / 1e6:.1f} MB")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only these. [default: all]")] = None,
) -> None:
    """Compare the files of weights that are on this machine with the catalogue's SHA-256."""
    entries = list(catalogue.load_catalogue().values()) if name is None else [catalogue.find(name)]
    broken = [entry.name for entry in entries if not _is_whole(entry)]
    if broken:
        raise WeightsError(f"{len(broken)} of {len(entries)} weights cannot be used: {', '.join(broken)}")


def where(entry: WeightsEntry) -> str:
    """Where its file is."""
    is_ours = entry.folder == catalogue.weights_folder()
    if entry.hub_repo is not None and not entry.path.is_file():
        return "on the Hub" if is_ours else "pulled"
    return "bundled" if is_ours else "imported"


def _training(entry: WeightsEntry) -> str:
    if entry.recipe is None or entry.steps is None or entry.hours is None:
        return "not by this project"
    return f"recipe {entry.recipe}, {entry.steps:,} steps, {entry.hours:g} hours on {entry.machine}"


def _is_whole(entry: WeightsEntry) -> bool:
    try:
        found = checkpoints.resolve(entry.name, download=False)
    except WeightsError as error:
        print(f"{entry.name}: {describe(error)}")
        return False
    print(f"{entry.name}: ok, SHA-256 {found.sha256}")
    return True
