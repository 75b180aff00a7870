"""Copy the weights of a run into weights/, in half precision, and print their table for weights/catalogue.toml.

    python scripts/bundle_weights.py runs/derain drsformer-s-derain --default

Name weights after their recipe. The metadata stay those of the run. Half precision halves the file; compare the scores
(scripts/score_weights.py) to see what it costs.
"""

from __future__ import annotations

import restore  # noqa: F401 - before torch: sets GOMP_SPINCOUNT

# isort: split
from pathlib import Path
from typing import Annotated

import tomli_w
import torch
import typer
from safetensors import safe_open
from safetensors.torch import save_file

from restore import checkpoints
from scripts.commands import run

WEIGHTS = Path(__file__).parents[1] / "weights"


def main(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the weights.")],
    full: Annotated[bool, typer.Option("--full", help="Keep single precision.")] = False,
    default: Annotated[bool, typer.Option("--default", help="Make them the default of their task.")] = False,
) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    with safe_open(run / "last.safetensors", "pt") as file:
        metadata, names = file.metadata(), file.keys()
        tensors = {key: file.get_tensor(key) for key in names}
    if not full:
        tensors = {key: x.half() if x.is_floating_point() else x for key, x in tensors.items()}
    save_file(tensors, path, metadata)
    path.chmod(0o644)
    network, info = checkpoints.load(path)
    table = checkpoints.facts(network, info) | {
        "file": path.name,
        "default": default,
        "licence": "Apache-2.0",
        "trained_on": "",
        "summary": "",
        "recipe": name,
        "steps": int(metadata["step"]),
        "hours": round(torch.load(run / "state.pt", weights_only=True)["seconds"] / 3600, 2),
        "machine": "",
    }
    if info.task == "upscale":
        table["level"] = network.scale
    print(tomli_w.dumps({name: table}))
    print(f"# measure bfloat16_loss: python scripts/score_weights.py {name} --bfloat16 --bench DIR")


if __name__ == "__main__":
    run(main)
