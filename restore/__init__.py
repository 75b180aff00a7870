"""Restore photographs.

```python
import restore

restorer = restore.load("cs-kit-s-denoise")
restored = restorer("photo.jpg")  # or a Pillow image, a NumPy array, a tensor: what goes in comes out
```

Importing this package costs milliseconds: torch is imported when `load` or `Restorer` is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    import os

    from restore.restorer import Restorer

__version__ = "0.1.0"
__all__ = ["RestoreError", "Restorer", "__version__", "load"]


def load(weights: str | os.PathLike[str], *, device: str = "auto") -> Restorer:
    """A restorer with trained weights, ready to use.

    Args:
        weights: A name of the catalogue, a `.safetensors` file, or `hf://owner/repo[@revision][/file]`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        WeightsError: The weights cannot be found, verified or loaded.
        DeviceError: The device is not there.
    """
    from restore import checkpoints
    from restore.restorer import Restorer

    network, info = checkpoints.load(weights)
    return Restorer(network, device=device, entry=info.entry, task=info.task)


def __getattr__(name: str) -> Any:
    if name == "Restorer":
        from restore.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
