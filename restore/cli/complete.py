"""What the shell offers when Tab is pressed; without torch, which takes seconds to import."""

from __future__ import annotations

from importlib import resources

import typer

from restore.inference.precision import PRECISIONS
from restore.tasks import TASKS

NETWORKS = ("drsformer", "panet", "pa-edsr", "kit", "cs-kit")  # keys of `restore.networks.NETWORKS`, which needs torch


def weights() -> list[str]:
    """Names of weights."""
    from restore.checkpoints import catalogue

    return list(catalogue.load_catalogue())


def datasets() -> list[str]:
    """Names of datasets."""
    from restore.datasets import registry

    return list(registry.datasets())


def settings(ctx: typer.Context) -> list[str]:
    """Names of settings, such as `denoise.strength`."""
    from restore.cli import settings

    options = settings.Options(ctx.find_root().command)
    own = {
        name: [key for key, param in keys.items() if settings.may_be_in_file(param)] for name, keys in options.items()
    }
    own[settings.ALL] = sorted({key for keys in own.values() for key in keys})
    return [f"{name}.{key}" for name, keys in own.items() for key in keys]


def recipes() -> list[str]:
    """Names of the bundled recipes."""
    folder = resources.files("restore.training") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def tasks() -> list[str]:
    """Names of tasks."""
    return list(TASKS)


def networks() -> list[str]:
    """Names of networks."""
    return list(NETWORKS)


def networks_and_weights() -> list[str]:
    """What `restore bench` measures."""
    return [*NETWORKS, *weights()]


def devices() -> list[str]:
    """Kinds of device."""
    return ["auto", "cpu", "cuda", "mps"]


def precisions() -> list[str]:
    """What a network computes in."""
    return list(PRECISIONS)
