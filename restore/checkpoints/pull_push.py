"""Pull weights from the Hugging Face Hub into the user's own catalogue, push weights to the Hub, and remove them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.checkpoints import any_file, catalogue, hub, loading
from restore.checkpoints.cards import weights_card
from restore.checkpoints.catalogue import Score, WeightsEntry
from restore.checkpoints.hub import MODEL, Address
from restore.errors import UsageError, WeightsError
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints.loading import CheckpointInfo, ResolvedWeights
    from restore.networks import Network

CONFIG = "config.json"  # in the repository: the keys of the catalogue's table, and the network's options
RECIPE, CURVES = "recipe.json", "curves.png"
_OF_RUN = ("best", "last")  # files of a run, the first one that exists
_LARGEST_CONFIG = 200_000  # bytes; `push` writes about 3,000
_TELL_OWNER = "tell the owner of the repository; its weights can be downloaded by hand"
_UNKNOWN = "unknown"
_LEFT_OUT = (None, (), math.inf)  # JSON has no infinity, the PSNR of an input without error
_ABOUT = ("level", "trained_on", "summary", "recipe", "steps", "hours", "machine", "scores")


def pull(source: str, *, name: str | None = None) -> WeightsEntry:
    """Download weights from the Hub, pin their commit and name them in the user's own catalogue.

    Args:
        source: `hf://owner/repo[@revision][/file]`.
        name: Name of the weights; None: the repository's name. Pulling the same weights again changes nothing.

    Raises:
        WeightsError: The weights cannot be downloaded, differ from the Hub's hash, do not load, or the name is taken.
    """
    asked = Address.parse(source)
    loading.refuse_pickle(asked.file or "")
    address, sha256, licence, files = hub.look_up(asked)
    name = name or re.sub(r"[^a-z0-9.]+", "-", address.repo.partition("/")[2].lower()).strip("-.")
    known = catalogue.load_catalogue().get(name)
    if known and Address(known.hub_repo or "", known.hub_revision, known.hub_file) == address:
        loading.resolve(name)
        return known
    catalogue.check_new_name(name)
    weights = loading.resolve(str(address))
    if sha256 not in (None, weights.sha256):
        message = f"{address} is damaged: its SHA-256 is {weights.sha256}, and the Hub says {sha256}"
        raise WeightsError(message, hint=f"delete {weights.path.resolve()} and try again")
    network, info = loading.load_own(weights)
    table = {
        "trained_on": f"see hf://{address.repo}",
        "summary": f"pulled from hf://{address.repo}",
        **_stated(info),
        **(_config(dataclasses.replace(address, file=CONFIG), weights.sha256) if CONFIG in files else {}),
        **loading.facts(network, info),
        "file": f"{name}.safetensors",
        "licence": licence or _UNKNOWN,
        "hub_repo": address.repo,
        "hub_revision": address.revision,
        "hub_file": address.file,
    }
    return catalogue.add_own(name, table)


def push(
    source: str,
    repo: str,
    *,
    private: bool = False,
    message: str | None = None,
    licence: str | None = None,
    datasets: Sequence[str] = (),
) -> tuple[Address, str]:
    """Publish weights on the Hub: model.safetensors, config.json, a model card and the recipe, in one commit.

    Args:
        source: What `loading.resolve` takes; or the folder of a training run, for its best weights.
        repo: `owner/name`; created if it does not exist.
        private: Whether only the owner may see it.
        message: The commit message.
        licence: SPDX identifier; None: the one in the catalogue.
        datasets: Datasets of the Hub that the weights were trained on, as `owner/name`.

    Returns:
        The address with the commit, and the URL of the commit's page.

    Raises:
        UsageError: `repo` or `licence` is invalid.
        WeightsError: The weights are damaged, have no licence that allows sharing, or the Hub refuses them.
    """
    _check_push(repo, licence, datasets)
    run = Path(source) if os.path.isdir(source) else None
    weights = loading.resolve(source if run is None else str(best_of(run)))
    network, info = loading.load_own(weights)
    entry = info.entry or record_of(network, info)
    entry = dataclasses.replace(entry, licence=licence or entry.licence)
    if not _allows_sharing(entry.licence):
        raise WeightsError(
            f"cannot publish {source}: its licence is {entry.licence}",
            hint="if the authors allow it, give the licence: --licence SPDX",
        )
    about = dataclasses.asdict(entry, dict_factory=lambda items: {k: v for k, v in items if v not in _LEFT_OUT})
    for key in ("name", "folder", "file", "default", "hub_repo", "hub_revision", "hub_file"):
        about.pop(key, None)
    config = {"library_name": "restore", "format": loading.FORMAT, **about, "options": network.config}
    recipe = _recipe(info)
    card = weights_card(entry, repo, datasets=datasets, has_recipe=recipe is not None)
    files: dict[str, Path | bytes] = {
        MODEL: weights.path,
        CONFIG: (json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        "README.md": card.encode(),
    }
    if recipe is not None:
        files[RECIPE] = (json.dumps(recipe, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if run is not None and (run / CURVES).is_file():
        files[CURVES] = run / CURVES
    message = message or f"Upload {entry.network} for {entry.task}"
    return hub.upload(repo, files, private=private, message=message)


def push_network(
    network: Network, task: str, weights: ResolvedWeights | None, repo: str, *, private: bool = False,
    message: str | None = None, licence: str | None = None, datasets: Sequence[str] = (),
) -> tuple[Address, str]:  # fmt: skip
    """Publish a network as `push` does: its file, or if it has changed since then a file of its own.

    What is known of the file (training, scores, licence) does not hold for changed weights, and is left out.

    Args:
        network: What to publish.
        task: Key of `TASKS`.
        weights: The file that it was loaded from; None for none.
        repo, private, message, licence, datasets: As for `push`.

    Raises:
        UsageError, WeightsError: As for `push`.
    """
    _check_push(repo, licence, datasets)
    options: dict[str, Any] = {"private": private, "message": message, "licence": licence, "datasets": datasets}
    if weights is not None and _is_unchanged(network, weights):
        return push(weights.entry.name if weights.entry else str(weights.path), repo, **options)
    from restore.networks import key_of

    if (name := key_of(network)) is None:
        raise WeightsError("this network cannot be published: it is none of restore's", hint="publish its own file")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        loading.save(path, network, name, {"task": task})
        return push(str(path), repo, **options)


def _is_unchanged(network: Network, weights: ResolvedWeights) -> bool:
    import torch

    kept, own = any_file.load(weights)[0].state_dict(), network.state_dict()
    return kept.keys() == own.keys() and all(torch.equal(kept[key], own[key].cpu()) for key in kept)


def best_of(run: Path) -> Path:
    """The weights of the best validation of a training run; the last ones, if there was none.

    Raises:
        WeightsError: The folder holds no run with weights.
    """
    found = next((run / f"{name}.safetensors" for name in _OF_RUN if (run / f"{name}.safetensors").is_file()), None)
    if found is None:
        raise WeightsError(f"{run} holds no weights of a run", hint="name the folder of `restore train --out`")
    return found


def _check_push(repo: str, licence: str | None, datasets: Sequence[str]) -> None:
    """Refuse what no push can do, before slow work."""
    for what in (repo, *datasets):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", what, re.ASCII):
            raise UsageError(f"{what!r} is not a name on the Hub", hint="write owner/name")
    if licence is not None and not _allows_sharing(licence):
        raise UsageError(f"{licence!r} is not an SPDX identifier", hint="use one such as MIT, Apache-2.0 or CC-BY-4.0")
    hub.check_login()


def _recipe(info: CheckpointInfo) -> dict[str, Any] | None:
    """The recipe in a checkpoint's metadata, as `restore train` takes it; None if it holds none."""
    try:
        text = info.metadata.get("recipe", "")
        found = _strict_json(text) if len(text) <= _LARGEST_CONFIG else None
    except WeightsError:
        return None
    return found if isinstance(found, dict) else None


def remove(name: str) -> WeightsEntry:
    """Remove weights from the user's own catalogue, and their file from this machine.

    A commit stays in the Hub's cache while other weights of the catalogue use it.

    Returns:
        The removed entry.

    Raises:
        WeightsError: The name is unknown, the weights are bundled, or a file cannot be removed.
    """
    entry = catalogue.remove_own(name)
    try:
        entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot remove {entry.path}: {error.strerror or error}") from error
    used = {other.hub_revision for other in catalogue.load_catalogue().values()}
    if entry.hub_revision is not None and entry.hub_revision not in used:
        hub.forget(entry.hub_revision)
    return entry


def cached() -> list[tuple[hub.Cached, str]]:
    """The weights in the Hub's cache that restore can use, each with its name in the catalogue or an empty name."""
    from safetensors import SafetensorError, safe_open

    names = {
        Address(entry.hub_repo, entry.hub_revision, entry.hub_file): entry.name
        for entry in catalogue.load_catalogue().values()
        if entry.hub_repo is not None
    }
    ours = []
    for one in hub.cached():
        try:
            with safe_open(one.path, framework="np") as file:
                is_ours = (file.metadata() or {}).get("format") == loading.FORMAT
        except (SafetensorError, OSError):
            is_ours = False
        if is_ours or one.address in names:
            ours.append((one, names.get(one.address, "")))
    return ours


def _allows_sharing(licence: str) -> bool:
    """Whether the text is the identifier of a public licence.

    >>> [_allows_sharing(licence) for licence in ("Apache-2.0", "CC-BY-4.0", "unknown", "its authors'", "other")]
    [True, True, False, False, False]
    """
    named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence) is not None
    return named and not licence.lower().startswith((_UNKNOWN, "other", "none", "noassertion", "licenseref"))


def _config(address: Address, sha256: str) -> dict[str, Any]:
    """What a repository's config.json says about its weights, if `push` wrote it for these weights; else empty.

    Raises:
        WeightsError: The file cannot be downloaded, or is not strict JSON.
    """
    path = hub.fetch(address, largest=_LARGEST_CONFIG)
    try:
        config = _strict_json(path.read_bytes()[: _LARGEST_CONFIG + 1].decode())
    except WeightsError as error:
        raise WeightsError(f"config.json of {address} {error.message}", hint=error.hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"config.json of {address} is not JSON", hint=_TELL_OWNER) from error
    if not isinstance(config, dict) or config.get("sha256") != sha256:
        return {}
    about = {key: config[key] for key in _ABOUT if key in config}
    if isinstance(scores := about.get("scores"), list):
        about["scores"] = [{"input_psnr": math.inf, **one} if isinstance(one, dict) else one for one in scores]
    return about


def _strict_json(text: str) -> Any:
    """The content of a stranger's JSON text.

    Raises:
        WeightsError: It is not JSON, nested too deeply, has a key twice, or has a number that is not finite.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                raise WeightsError(f"has the key {key[:80]!r} twice", hint=_TELL_OWNER)
        return dict(pairs)

    def finite(number: str) -> float:
        if math.isfinite(value := float(number)):
            return value
        raise WeightsError(f"has {number[:80]}, which is no number of JSON", hint=_TELL_OWNER)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
    except RecursionError:
        raise WeightsError("is nested too deeply", hint=_TELL_OWNER) from None
    except ValueError:  # also of an integer with thousands of digits
        raise WeightsError("is not JSON", hint=_TELL_OWNER) from None


def record_of(network: Network, info: CheckpointInfo) -> WeightsEntry:
    """A record of weights that are in no catalogue, from their file."""
    steps, about = info.metadata.get("step", ""), _stated(info)
    if "scores" in about:
        about["scores"] = tuple(Score(**score) for score in about["scores"])
    return WeightsEntry(
        **loading.facts(network, info),
        name=info.weights.path.stem,
        folder=info.weights.path.parent,
        file=info.weights.path.name,
        licence=info.metadata.get("licence", _UNKNOWN),
        summary=TASKS[info.task].summary if info.task else "not stated",
        **{"trained_on": "not stated", "steps": int(steps) if steps.isdigit() else None, **about},
    )


def _stated(info: CheckpointInfo) -> dict[str, Any]:
    """What a checkpoint's own metadata state about its training, as keys of the catalogue's tables.

    A run of `restore train` writes them. Anything else that the metadata hold there is left out.
    """
    try:
        text = info.metadata.get("training", "")
        found = _strict_json(text) if len(text) <= _LARGEST_CONFIG else None
    except WeightsError:
        return {}
    if not isinstance(found, dict):
        return {}
    kinds = {"trained_on": str, "recipe": str, "steps": int, "hours": float, "machine": str}
    about = {key: found[key] for key, kind in kinds.items() if type(found.get(key)) is kind and _is_plain(found[key])}
    scores = [{"input_psnr": math.inf, **score} for score in _listed(found.get("scores")) if _is_score(score)]
    return about | ({"scores": scores} if scores else {})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_plain(value: Any) -> bool:
    """Whether a value is a short printable text, or a number."""
    return not isinstance(value, str) or (value.isprintable() and len(value) <= 2000)


def _is_score(score: Any) -> bool:
    """Whether a value has the keys of a `Score` that a training run writes."""
    kinds = {"set": str, "protocol": str, "psnr": float, "input_psnr": float}
    if not isinstance(score, dict) or not {"set", "protocol", "psnr"} <= score.keys() <= kinds.keys():
        return False
    return all(type(value) is kinds[key] and _is_plain(value) for key, value in score.items())
