"""A strip of held-out pictures: degraded, restored and clean beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from restore.datasets.pairs import Pair
from restore.evaluation.scoring import restoring
from restore.inference.restorer import Restorer
from restore.training.held_out import middle

_SIDE = 192  # pixels of each picture
_ROWS = 4


def strip_of(restorer: Restorer, pairs: Iterable[Pair]) -> NDArray[np.uint8]:
    """The middles of the first pairs, a row each: `(H, W, 3)` bytes, black at the right of narrow rows."""
    rows = [strip_row(restorer, pair) for pair in islice(pairs, _ROWS)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def strip_row(restorer: Restorer, pair: Pair) -> NDArray[np.uint8]:
    """The middle of a pair, degraded (pixels repeated if it is smaller), restored and clean: `(h, 3 * w, 3)` bytes."""
    pair = middle(pair, _SIDE)
    scale = pair.clean.shape[0] // pair.degraded.shape[0]
    shown = np.concatenate([pair.degraded.repeat(scale, 0).repeat(scale, 1), restoring(restorer)(pair), pair.clean], 1)
    row: NDArray[np.uint8] = np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return row
