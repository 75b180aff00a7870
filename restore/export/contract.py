"""What an ONNX file of restore says about itself; the text of `restore.export` explains it. No torch is needed here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from restore.errors import WeightsError
from restore.tasks import TASKS

FORMAT = "restore-onnx/1"
INPUT, OUTPUT = "input", "output"
OPSET = 20  # the newest that darktable's oldest ONNX Runtime (1.18) knows


@dataclass(frozen=True)
class Facts:
    """The keys of `facts`.

    Attributes:
        weights: Name in the catalogue, or the name of the file without its suffix.
        sha256: Of the checkpoint that was exported.
        task: Key of `TASKS`. A mosaic's first pixel is red in every tile (`size_multiple` is then even).
        network: Key of `NETWORKS`.
        config: Keyword arguments of the network.
        attends: Whether the attention is in use.
        version: Of restore, which wrote the file.
        channels, scale, size_multiple, tile_grid, min_size, halo: As in `networks.base.Network`.
        largest_auto_tile: Side of the largest automatic tile; None: as large as memory allows. For pyramid attention it
            is half of torch's: the plain form's memory grows with the square of the tile's area.
        tile: The only side that the file takes, in pixels; None: all sides.
        difference: Largest difference from torch in the check before the file was written, in values from 0 to 1.
        licence: Of the weights; None: not known.
    """

    weights: str
    sha256: str
    task: str
    network: str
    config: dict[str, Any]
    attends: bool
    version: str
    channels: int
    scale: int
    size_multiple: int
    tile_grid: int
    min_size: int
    halo: int | None
    largest_auto_tile: int | None
    tile: int | None
    difference: float
    licence: str | None = None

    def to_metadata(self) -> dict[str, str]:
        """As `metadata_props` of an ONNX file."""
        return {"restore": FORMAT, "facts": json.dumps(dataclasses.asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], shown: str) -> Facts:
        """Read `metadata_props`, such as ONNX Runtime's `custom_metadata_map`.

        Args:
            metadata: The properties.
            shown: The file, for messages.

        Raises:
            WeightsError: They are not those of a file that `restore export` wrote.
        """
        hint = "export it again: `restore export NAME -o FILE.onnx`"
        if metadata.get("restore") != FORMAT:
            raise WeightsError(f"{shown} is not an export of restore: its metadata lack {FORMAT!r}", hint=hint)
        try:
            facts = cls(**json.loads(metadata["facts"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{shown} has damaged metadata", hint=hint) from error
        sides = facts.channels, facts.scale, facts.size_multiple, facts.tile_grid, facts.min_size
        optional = facts.halo, facts.largest_auto_tile, facts.tile
        if (
            any(type(side) is not int or side < 1 for side in sides)
            or any(side is not None and (type(side) is not int or side < 0) for side in optional)
            or facts.task not in TASKS
        ):
            raise WeightsError(f"{shown} has metadata out of their limits", hint=hint)
        return facts
