"""`restore weights`: list, show and verify weights; import them from authors; share them on the Hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore import checkpoints
from restore.checkpoints import catalogue, loading, pull_push
from restore.checkpoints.catalogue import WeightsEntry
from restore.cli import complete, help
from restore.cli.columns import facts, table
from restore.cli.streams import describe, say
from restore.errors import WeightsError, check_choice
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.networks import Network

app = typer.Typer(
    help="List, show, verify, import and share weights.",
    **help.group("restore weights list", "restore weights show cs-kit-s-denoise", page="weights.md"),
)


@app.command("list", **help.command("restore weights list", "restore weights list --cached", page="weights.md"))
def list_weights(
    cached: Annotated[bool, typer.Option("--cached", help="List the cache of the Hugging Face Hub instead.")] = False,
) -> None:
    """List all weights. * marks the default of a task.

    PSNR is that of the input and of the result on the first test set. `restore weights show NAME` has all scores.
    """
    if cached:
        found = [(name, f"{one.size_bytes / 1e6:.1f} MB", str(one.address)) for one, name in pull_push.cached()]
        print(table(("NAME", "SIZE", "ADDRESS"), found))
        return
    rows = [
        (
            entry.name + "*" * entry.default,
            entry.task,
            "blind" if entry.level is None else f"{entry.level:g}",
            f"{entry.size_bytes / 1e6:.1f} MB",
            where(entry),
            next((f"{score.input_psnr:.2f} -> {score.psnr:.2f}" for score in entry.scores), ""),
        )
        for entry in catalogue.load_catalogue().values()
    ]
    print(table(("NAME", "TASK", "LEVEL", "SIZE", "WHERE", "PSNR dB"), rows))


@app.command(
    **help.command("restore weights show cs-kit-s-denoise", "restore weights show pa-edsr-s-x2", page="weights.md")
)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete.weights,
            help="A name, a file such as RUN/last.safetensors, or hf://...",
        ),
    ],
) -> None:
    """Show origin, licence, training and scores of one set of weights."""
    entry, network = _record(name)
    is_listed = name in catalogue.load_catalogue()  # only the catalogue says for which level weights are
    level = ", blind" * is_listed if entry.level is None else f", level {entry.level:g}"
    rows = [
        ("name", entry.name),
        ("summary", entry.summary),
        ("task", (entry.task or "not stated") + level),
        ("network", f"{entry.network}, config {entry.config}, {entry.parameters:,} parameters"),
        ("licence", entry.licence),
        ("trained on", entry.trained_on),
        ("training", _training(entry)),
        ("file", f"{entry.file}, {entry.size_bytes:,} bytes"),
        ("sha256", entry.sha256),
    ]
    rows = _with_facts_of_others(rows, network)
    if entry.hub_repo:
        rows.append(("hub", f"hf://{entry.hub_repo}@{entry.hub_revision}/{entry.hub_file}"))
    print(facts(rows))
    if entry.scores:
        scores = [
            (
                score.set,
                score.protocol,
                f"{score.psnr:.2f}",
                f"{score.input_psnr:.2f}",
                "" if score.bfloat16_psnr is None else f"{score.bfloat16_psnr:.2f}",
                "" if score.ssim is None else f"{score.ssim:.4f}",
            )
            for score in entry.scores
        ]
        print("\n" + table(("SET", "PROTOCOL", "PSNR dB", "INPUT dB", "BF16 dB", "SSIM"), scores))
    others = [(score.set, score.others) for score in entry.scores if score.others]
    if others:
        print("\nother methods, PSNR dB:")
        print(facts(others, indent="  "))


@app.command(
    "import",
    **help.command(
        "restore weights import deraining.pth --network drsformer --task derain",
        "restore weights import panet.pth --network panet --task dejpeg --name mine",
        page="weights.md",
    ),
)
def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="A checkpoint from the authors of a network.")],
    network: Annotated[
        str,
        typer.Option(
            metavar="NETWORK", autocompletion=complete.networks, help=f"One of {', '.join(complete.NETWORKS)}."
        ),
    ],
    task: Annotated[
        str, typer.Option(metavar="TASK", autocompletion=complete.tasks, help=f"One of {', '.join(TASKS)}.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name for the weights.",
            show_default="network, task and the name of the file",
        ),
    ] = None,
) -> None:
    """Import a published checkpoint, to use it by name.

    The file may be a pickle: only its tensors are read. Every tensor is checked by name and shape.
    """
    for what, word, choices in (("network", network, complete.NETWORKS), ("task", task, TASKS)):
        check_choice(what, word, choices)
    from restore.checkpoints import author_files

    entry = author_files.import_published(file, network=network, task=task, name=name)
    say(entry.summary)
    say(f"{entry.parameters:,} parameters, config {entry.config}; use it with `restore {task} --weights {entry.name}`")
    print(entry.name)


@app.command(
    **help.command(
        "restore weights pull hf://owner/name",
        "restore weights pull hf://owner/name@v1 --name mine",
        page="hub.md",
    )
)
def pull(
    source: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="An address on the Hub: hf://owner/repo[@revision][/file].")
    ],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name for the weights.", show_default="the name of the repository"),
    ] = None,
) -> None:
    """Download weights from the Hugging Face Hub, to use them by name, also offline.

    Commit and SHA-256 are recorded, so the name always means the same weights. Private repositories need
    `hf auth login` or HF_TOKEN.
    """
    entry = pull_push.pull(source, name=name)
    say(f"hf://{entry.hub_repo}@{entry.hub_revision}/{entry.hub_file}, {entry.size_bytes:,} bytes")
    say(f"licence {entry.licence}; use it with `restore {entry.task} --weights {entry.name}`")
    print(entry.name)


@app.command(
    **help.command(
        "restore weights push runs/mine --repo owner/name --licence MIT",
        "restore weights push my-weights --repo owner/name --private",
        page="hub.md",
    )
)
def push(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete.weights,
            help="A name, a file, or the folder of a run for its best weights.",
        ),
    ],
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The repository, created if it is missing.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str | None, typer.Option(metavar="MESSAGE", help="Commit message.")] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Licence, such as Apache-2.0, if the catalogue has none.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="OWNER/NAME", help="A Hub dataset they were trained on; repeatable."),
    ] = None,
) -> None:
    """Publish weights on the Hugging Face Hub, with config, model card and recipe, in one commit.

    Needs `hf auth login` or HF_TOKEN. Weights without a known licence are refused.
    """
    address, page = pull_push.push(
        source, repo, private=private, message=message, licence=licence, datasets=dataset or ()
    )
    say(page)
    print(address)


@app.command(
    **help.command(
        "restore weights remove mine", "restore weights remove drsformer-derain-deraining", page="weights.md"
    )
)
def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=complete.weights, help="Imported or pulled weights.")
    ],
) -> None:
    """Remove imported or pulled weights and their file."""
    entry = pull_push.remove(name)
    say(f"removed {entry.name}, {entry.size_bytes / 1e6:.1f} MB")


@app.command(
    **help.command("restore weights verify", "restore weights verify runs/mine/last.safetensors", page="weights.md")
)
def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete.weights,
            help="Only these weights: a name, or a file such as RUN/last.safetensors.",
            show_default="all weights",
        ),
    ] = None,
) -> None:
    """Compare the weights on this machine with the SHA-256 in the catalogue.

    Weights that you name are also loaded, and restore a small picture.
    """
    if name is not None:
        _verify_by_use(name)
        return
    entries = list(catalogue.load_catalogue().values())
    broken = [entry.name for entry in entries if not _is_whole(entry)]
    if broken:
        raise WeightsError(f"{len(broken)} of {len(entries)} weights cannot be used: {', '.join(broken)}")


def _verify_by_use(name: str) -> None:
    from restore.checkpoints.verifying import verify

    try:
        found = verify(str(pull_push.best_of(Path(name))) if os.path.isdir(name) else name)
    except WeightsError as error:
        print(f"{name}: {describe(error)}")
        raise WeightsError(f"1 of 1 weights cannot be used: {name}", hint=error.hint) from error
    known = f"that of {' and '.join(found.names)} in the catalogue" if found.names else "not in the catalogue"
    print(
        f"{name}: ok, SHA-256 {found.sha256}, {known}; {found.network}{f' for {found.task}' * bool(found.task)}, "
        f"{found.parameters:,} parameters, finite numbers on a small picture"
    )


def _record(name: str) -> tuple[WeightsEntry, Network | None]:
    """The catalogue's record of weights; of others, what their file says, and the network that was loaded for it."""
    if name in catalogue.load_catalogue() or not loading.looks_like_a_file(name):
        return catalogue.find(name), None
    network, info = checkpoints.load(str(pull_push.best_of(Path(name))) if os.path.isdir(name) else name)
    return pull_push.record_of(network, info), network


def _with_facts_of_others(rows: list[tuple[str, str]], network: Network | None) -> list[tuple[str, str]]:
    """The rows of `show`, with what a network of others tells instead of what only this project's files say."""
    told = getattr(network, "facts", None)  # `foreign_files` imports torch
    if told is None:
        return rows
    kept = [row for row in rows if row[0] in ("name", "file", "sha256")]
    return [kept[0], *told(), *kept[1:]]


def where(entry: WeightsEntry) -> str:
    """Where the file of the weights is."""
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
