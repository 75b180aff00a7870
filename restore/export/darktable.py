"""darktable's `.dtmodel`: a zip of a folder with an ONNX file and `config.json`.

Sources: darktable's `src/ai/README.md`, `src/ai/backend_common.c` and `src/common/ai/restore.c` (5.6), and the page
"Pipeline reference" of the wiki of darktable-org/darktable-ai, all read in 2026; nothing is copied. What follows from
them:

- The folder in the zip has the name of `id`. `config.json` has `id`, `name`, `description`, `task`, `backend`,
  `version`, `tiling`, `arch`, and `attributes` with `input_sizes`, the sides of the tiles that darktable may use.
- The task `denoise` runs `model.onnx`; `upscale` runs `model_x2.onnx` or `model_x4.onnx`.
- Input and output are float32 `(1, 3, H, W)` in sRGB with its transfer curve, H = W = one of `input_sizes`. A tile
  overlaps its neighbours by 64 pixels on each side, or by 16 to upscale.
- darktable 5.6 brings ONNX Runtime from 1.18 on: opset 20.
"""

from __future__ import annotations

import io
import json
import zipfile

from restore.errors import UsageError
from restore.export.contract import Facts
from restore.networks import Network

SUFFIX = ".dtmodel"
_MARGIN = {1: 64, 2: 16, 4: 16}  # pixels that darktable cuts off each side of a tile, by scale
_WHEN = (1980, 1, 1, 0, 0, 0)  # the oldest time of a zip: the same export gives the same bytes


def tile_for(network: Network, takes_mosaic: bool, tile: int | None) -> int:
    """The side of darktable's tiles.

    Args:
        network: The network.
        takes_mosaic: Whether its pictures are Bayer mosaics.
        tile: What the user asks for.

    Raises:
        UsageError: darktable cannot use such a network, or such a tile.
    """
    if takes_mosaic or network.channels != 3 or network.scale not in _MARGIN:
        what = "a mosaic" if takes_mosaic else f"a factor of {network.scale}"
        what = "one channel" if network.channels != 3 else what
        raise UsageError(f"darktable takes no network for {what}", hint="export to .onnx instead")
    margin, multiple = _MARGIN[network.scale], network.size_multiple
    if tile is None:
        # Pyramid attention's memory grows with the square of a tile's area.
        tile = (512 if network.scale == 1 else 256) if network.largest_auto_tile is None else 3 * max(32, margin)
        return -(-tile // multiple) * multiple
    if tile <= 2 * margin:
        raise UsageError(
            f"darktable cuts {margin} pixels off each side of a tile; tiles of {tile} leave nothing",
            hint=f"use a --tile above {2 * margin}",
        )
    return tile


def package(content: bytes, facts: Facts, summary: str) -> bytes:
    """The bytes of a `.dtmodel`.

    Args:
        content: The ONNX file, for one size.
        facts: Its metadata.
        summary: One line about the weights.
    """
    file = "model" if facts.scale == 1 else f"model_x{facts.scale}"
    sizes = {"input_sizes": [facts.tile]}
    task = "denoise" if facts.scale == 1 else "upscale"
    config = {
        "id": f"{task}-restore-{facts.weights}".lower().replace("_", "-"),
        "name": f"restore {facts.weights}",
        "description": f"{facts.task}: {summary}" if summary else facts.task,
        "task": task,
        "arch": facts.network,
        "backend": "onnx",
        "version": "1.0",
        "tiling": True,
        "num_inputs": 1,
        "attributes": sizes if facts.scale == 1 else sizes | {file: sizes},
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ((f"{file}.onnx", content), ("config.json", json.dumps(config, indent=4).encode() + b"\n")):
            entry = zipfile.ZipInfo(f"{config['id']}/{name}", _WHEN)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return written.getvalue()
