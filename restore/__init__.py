"""Restore photographs.

```python
import restore

restorer = restore.load("denoise")  # a task, or the name of weights
restored = restorer("photo.jpg")  # or bytes, a Pillow image, NumPy array or tensor
restored.save("restored.jpg")  # EXIF and profile are kept
restore.restore_file("photo.jpg", "restored.png", "denoise")  # as the command does
```

Importing this package takes milliseconds: torch is imported when you first load a network that it computes.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from restore.errors import (
    Cancelled,
    DataError,
    DeviceError,
    PictureError,
    RestoreError,
    UsageError,
    WeightsError,
)

if TYPE_CHECKING:
    from restore.api.files import restore_bytes, restore_file
    from restore.api.loading import Weights, list_weights, load
    from restore.api.pictures import inspect, load_steps, run
    from restore.batch.pipeline import Outcome
    from restore.batch.steps import Step
    from restore.images.picture import Picture
    from restore.inference.region import Region
    from restore.inference.restored import Restored
    from restore.inference.restorer import Restorer
    from restore.inspection.findings import Findings

__version__ = "0.2.0"
__all__ = [
    "Cancelled",
    "DataError",
    "DeviceError",
    "Findings",
    "Outcome",
    "Picture",
    "PictureError",
    "Region",
    "RestoreError",
    "Restored",
    "Restorer",
    "Step",
    "UsageError",
    "Weights",
    "WeightsError",
    "__version__",
    "inspect",
    "list_weights",
    "load",
    "load_steps",
    "restore_bytes",
    "restore_file",
    "run",
]

_PLACES = {
    "Findings": "restore.inspection.findings",
    "Outcome": "restore.batch.pipeline",
    "Picture": "restore.images.picture",
    "Region": "restore.inference.region",
    "Restored": "restore.inference.restored",
    "Restorer": "restore.inference.restorer",
    "Step": "restore.batch.steps",
    "Weights": "restore.api.loading",
    "inspect": "restore.api.pictures",
    "list_weights": "restore.api.loading",
    "load": "restore.api.loading",
    "load_steps": "restore.api.pictures",
    "restore_bytes": "restore.api.files",
    "restore_file": "restore.api.files",
    "run": "restore.api.pictures",
}
"""Name -> the module that it is imported from when it is first used."""

# A waiting thread of GNU's OpenMP spins 300,000 times or for ever. On a busy machine it takes the core from the
# threads it waits for. OpenMP reads this variable when torch loads it.
if "torch" not in sys.modules and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"


if not TYPE_CHECKING:  # a type checker must refuse names that do not exist

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    imported = {"Any", "TYPE_CHECKING", "annotations", "importlib", "os", "sys"}
    return sorted({*globals(), *__all__} - imported)
