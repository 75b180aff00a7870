"""Restore photographs.

```python
import restore

restorer = restore.load("cs-kit-s-denoise")
restored = restorer("photo.jpg")  # or a Pillow image, a NumPy array, a tensor: what goes in comes out
```

Importing this package costs milliseconds: torch is imported when `load` or `Restorer` is first used.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    from restore.inference.restorer import Restorer

__version__ = "0.2.0"
__all__ = ["RestoreError", "Restorer", "__version__", "load"]


# GNU's OpenMP lets a thread that waits for others spin 300,000 times or for ever, which on a busy machine takes the
# cores from those it waits for. It reads this when torch loads it.
if "torch" not in sys.modules and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"


def load(weights: str | os.PathLike[str], *, device: str = "auto", precision: str = "auto") -> Restorer:
    """A restorer with trained weights, ready to use.

    Args:
        weights: A name of the catalogue, a `.safetensors` file, or `hf://owner/repo[@revision][/file]`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: As for `Restorer`.

    Raises:
        WeightsError: The weights cannot be found, verified or loaded.
        DeviceError: The device is not there.
        UsageError: There is no such precision.
    """
    from restore import checkpoints
    from restore.inference.restorer import Restorer

    network, info = checkpoints.load(weights)
    return Restorer(network, device=device, entry=info.entry, task=info.task, precision=precision)


def __getattr__(name: str) -> Any:
    if name == "Restorer":
        from restore.inference.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
