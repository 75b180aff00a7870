"""The network behind `restore inspect`, as PyTorch trains it; `restore.inspection.verdict` evaluates it with NumPy."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor, nn

from restore.inspection.verdict import (
    CLAIMS,
    COLOURS,
    FLOOR,
    HIDDEN,
    LEVELS,
    MEASURED,
    PLACES,
    STRIDES,
    VALUES,
    WIDTHS,
)  # fmt: skip


class InspectionNetwork(nn.Module):
    """Crops `(N, 3, H, W)`, 0 to 255, to `(N, 12)`: a logit for each claim, then log(1 + level) for each level.

    Eight convolutions of 3 x 3 with batch normalisation; the logarithms of the means and of the mean squares of five
    of them, and of what eight attention maps collect; two fully connected layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        before = 3
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            self.convolutions.append(nn.Conv2d(before, width, 3, stride, 1, bias=False))
            self.norms.append(nn.BatchNorm2d(width))
            before = width
        self.attention, self.values = nn.Conv2d(before, PLACES, 1), nn.Conv2d(before, VALUES, 1)
        count = 2 * sum(WIDTHS[k] for k in MEASURED) + PLACES * VALUES
        self.norm, self.dropout = nn.BatchNorm1d(count), nn.Dropout(0.1)
        self.hidden, self.last = nn.Linear(count, HIDDEN), nn.Linear(HIDDEN, len(CLAIMS) + len(LEVELS))
        self.register_buffer("colours", torch.tensor(COLOURS))

    def forward(self, crops: Tensor) -> Tensor:
        x = torch.einsum("oc,bchw->bohw", self.colours, crops.float()) / 32 - torch.tensor([4.0, 0, 0]).view(1, 3, 1, 1)
        found = []
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            # bfloat16 would round the noise of bright pixels away before the first convolution.
            with torch.autocast("cpu", torch.bfloat16, enabled=self.training and k > 0):
                x = torch.relu(norm(convolution(x)))
            if k in MEASURED:
                y = x.float()
                found += [y.mean((2, 3)), (y * y).mean((2, 3))]
        x = x.float()
        places = torch.softmax(self.attention(x).flatten(2), 2)
        values = torch.relu(self.values(x)).flatten(2)
        found.append(torch.einsum("bkn,bcn->bkc", places, values).flatten(1))
        numbers = self.norm(torch.log(torch.cat(found, 1) + FLOOR))
        outputs: Tensor = self.last(torch.relu(self.hidden(self.dropout(numbers))))
        return outputs


def to_file(network: InspectionNetwork) -> bytes:
    """The weights as `restore.inspection.verdict` reads them: an .npz file, normalisations folded into the layers."""
    arrays: dict[str, Tensor] = {}
    for k, (kernel, norm) in enumerate(zip(network.convolutions.parameters(), network.norms, strict=True)):
        gain, shift = _scaling(norm)
        arrays[f"convolution{k}"] = (kernel * gain[:, None, None, None]).permute(1, 2, 3, 0)
        arrays[f"convolution{k}_bias"] = shift
    for name in ("attention", "values"):
        layer = getattr(network, name)
        arrays[name], arrays[f"{name}_bias"] = layer.weight[:, :, 0, 0].T, layer.bias
    gain, shift = _scaling(network.norm)
    arrays["hidden"] = (network.hidden.weight * gain).T
    arrays["hidden_bias"] = network.hidden.bias + network.hidden.weight @ shift
    arrays["last"], arrays["last_bias"] = network.last.weight.T, network.last.bias
    file = io.BytesIO()
    halves = {name: one.detach().numpy().astype(np.float16 if one.dim() > 1 else np.float32)
              for name, one in arrays.items()}  # fmt: skip
    np.savez_compressed(file, **halves)  # type: ignore[arg-type]
    return file.getvalue()


def _scaling(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a normalisation multiplies with, and what it adds then, outside of training."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain
