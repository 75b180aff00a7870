"""Restore photographs.

```python
import restore

restorer = restore.load("cs-kit-s-denoise")
restored = restorer("photo.jpg")  # or a Pillow image, NumPy array or tensor: the result has the same type
```

Importing this package takes milliseconds: torch is imported when you first use `load` or `Restorer`.
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


# A waiting thread of GNU's OpenMP spins 300,000 times or for ever. On a busy machine it takes the core from the
# threads it waits for. OpenMP reads this variable when torch loads it.
if "torch" not in sys.modules and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"


def load(weights: str | os.PathLike[str], *, device: str = "auto", precision: str = "auto") -> Restorer:
    """A restorer with trained weights, ready to use.

    Args:
        weights: A name from the catalogue, a `.safetensors` file, or `hf://owner/repo[@revision][/file]`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: As for `Restorer`.

    Raises:
        WeightsError: The weights cannot be found, verified or loaded.
        DeviceError: The device is not available.
        UsageError: The precision is unknown.
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
