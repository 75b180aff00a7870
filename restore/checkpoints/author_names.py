"""How the networks' authors call their tensors: config from shapes, and names for each tensor of ours.

The names are facts of the published files. DRSformer's files are offered at github.com/cschenxiang/DRSformer, those of
PANet and PA-EDSR at github.com/SHI-Labs/Pyramid-Attention-Networks. KiT and CS-KiT are not published: for them the
names are our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from restore.networks import Network
from restore.networks.panet import MEAN

Shapes = Mapping[str, tuple[int, ...]]


def config_of(network: str, shapes: Shapes) -> dict[str, Any]:
    """The keyword arguments of the network that a published state dict belongs to.

    Args:
        network: Key of `NETWORKS`.
        shapes: Published names, and the shapes of their tensors.

    Raises:
        KeyError: A tensor that is needed to tell is missing.
        ValueError, IndexError, ZeroDivisionError: The shapes fit no such network.
    """
    return _PUBLISHED[network][0](shapes)


def names_of(network: str, key: str, built: Network) -> list[str]:
    """The published names of one tensor of ours; several where the file holds it several times."""
    return _PUBLISHED[network][1](key, built)


def is_idle(name: str, network: str) -> bool:
    """Whether a published tensor has no effect on the result."""
    shifts_the_mean = name.startswith(("sub_mean.", "add_mean."))  # PA-EDSR's are constants, see `mean_faults`
    return network in ("panet", "pa-edsr") and (shifts_the_mean or name.endswith("escape_NaN"))


def mean_faults(state: Mapping[str, Tensor]) -> list[str]:
    """What is wrong with PA-EDSR's mean shift: it subtracts and adds DIV2K's mean, here a constant."""
    wanted = {"sub_mean.bias": -torch.tensor(MEAN), "add_mean.bias": torch.tensor(MEAN)}
    wanted |= {f"{key}_mean.weight": torch.eye(3)[..., None, None] for key in ("sub", "add")}
    return [
        f"{name} is not that of DIV2K in [0, 1]"
        for name, value in wanted.items()
        if name in state
        and (state[name].shape != value.shape or not torch.allclose(state[name].float(), value, atol=1e-4))
    ]


def _count(shapes: Shapes, pattern: str) -> int:
    """One more than the largest number that `pattern` finds in the names."""
    return 1 + max((int(match[1]) for name in shapes if (match := re.match(pattern, name))), default=-1)


def _drsformer_config(shapes: Shapes) -> dict[str, Any]:
    dim, channels, *_ = shapes["patch_embed.proj.weight"]
    levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    hidden = shapes["encoder_level1.0.ffn.project_in.weight"][0] // 2
    return {
        "channels": channels,
        "dim": dim,
        "blocks": [_count(shapes, rf"{level}\.(\d+)\.") for level in levels],
        "heads": [shapes[f"{level}.0.attn.temperature"][0] for level in levels],
        "expansion": 2.66 if hidden == int(2.66 * dim) else hidden / dim,
        "norm_bias": any(name.endswith("norm1.body.bias") for name in shapes),
        "compensator": any(name.startswith(("encoder_level0.", "refinement.")) for name in shapes),
    }


def _drsformer_names(key: str, _: Network) -> list[str]:
    """
    >>> _drsformer_names("refinement.steps.2.dilated.1.depthwise.0", None)
    ['refinement.layers.1._ops.2._ops.5.op.0.weight']
    """
    expert = re.fullmatch(
        r"(\w+)\.steps\.(\d)\.(separable|dilated)\.(\d)\.(depthwise|pointwise)\.(\d)(?:\.weight)?", key
    )
    if expert:
        where, step, kind, index, layer, part = expert.groups()
        number = int(index) + (4 if kind == "dilated" else 0)
        layer_number = 3 * int(part) + (layer == "pointwise")
        return [f"{where}.layers.1._ops.{step}._ops.{number}.op.{layer_number}.weight"]
    for pattern, name in (
        (r"(.*\.norm\d)\.(\w+)", r"\1.body.\2"),
        (r"((?:down|up)\d_\d)\.weight", r"\1.body.0.weight"),
        (r"patch_embed\.(\w+)", r"patch_embed.proj.\1"),
        (r"(\w+)\.gate\.(.*)", r"\1.layers.0.ca_fc.\2"),
        (r"(\w+)\.squeeze\.weight", r"\1.layers.1.preprocess.op.0.weight"),
        (r"(\w+)\.steps\.(\d)\.out\.weight", r"\1.layers.1._ops.\2._out.0.weight"),
    ):
        key = re.sub(rf"^{pattern}$", name, key)
    return [key]


def _pyramid_config(shapes: Shapes) -> dict[str, Any]:
    """The options that PANet and PA-EDSR share."""
    blocks = _count(shapes, r"body\.(\d+)\.weight") - 2  # the last convolution follows blocks and attention
    dim = shapes["head.0.weight"][0]
    reduction = dim // shapes[f"body.{blocks // 2}.conv_match.0.weight"][0]
    return {"dim": dim, "blocks": blocks, "reduction": reduction}


def _panet_config(shapes: Shapes) -> dict[str, Any]:
    return {"channels": shapes["head.0.weight"][1], **_pyramid_config(shapes)}


def _pa_edsr_config(shapes: Shapes) -> dict[str, Any]:
    grown, dim, *_ = shapes["tail.0.0.weight"]
    scale = {9: 3, 4: 4 if "tail.0.2.weight" in shapes else 2}.get(grown // dim, 0)
    return {"scale": scale, **_pyramid_config(shapes)}


def _panet_names(key: str, network: Network) -> list[str]:
    """
    >>> from restore.networks.panet import PANet
    >>> _panet_names("body.blocks.3.second.bias", PANet(dim=8, blocks=4))
    ['body.4.body.2.bias']
    """
    blocks = network.config["blocks"]
    numbers = [i + (i >= blocks // 2) for i in range(blocks)]  # the attention has the number in the middle
    if block := re.fullmatch(r"body\.blocks\.(\d+)\.(first|second)\.(\w+)", key):
        return [f"body.{numbers[int(block[1])]}.body.{0 if block[2] == 'first' else 2}.{block[3]}"]
    if key == "body.activation.weight":
        return [f"body.{number}.body.1.weight" for number in numbers]
    key = re.sub(r"^body\.attention\.", f"body.{blocks // 2}.", key)
    key = re.sub(r"^body\.last\.", f"body.{blocks + 1}.", key)
    return [re.sub(r"^(head|tail)\.", r"\1.0.", key)]


def _pa_edsr_names(key: str, network: Network) -> list[str]:
    if up := re.fullmatch(r"up\.(\d)\.(\w+)", key):
        return [f"tail.0.{2 * int(up[1])}.{up[2]}"]
    if key.startswith("tail."):
        return [key.replace("tail.", "tail.1.")]
    names = _panet_names(key, network)
    if key.startswith("body.attention."):  # the file holds it twice
        names.append(key.replace("body.attention.", "msa."))
    return names


def _kit_config(shapes: Shapes) -> dict[str, Any]:
    """From the shapes; k, h, heads and the seed of the hashing keep their defaults."""
    dim, pixels = shapes["first.0.weight"][:2]
    shuffle = 2 if pixels in (4, 12) else 1
    scored = shapes.get("encoder.0.blocks.0.embed.score.weight")
    fused = "fuse.0.weight" in shapes
    refined = "refine.expand.weight" in shapes
    return {
        "channels": pixels // shuffle**2,
        "dim": dim,
        "shuffle": shuffle,
        "blocks": _count(shapes, r"encoder\.0\.blocks\.(\d+)\."),
        "expansion": shapes["encoder.0.blocks.0.feed_forward.expand.weight"][0] // dim,
        "fuse_skips": fused,
        **({"r": scored[-1]} if scored else {}),
        **({"refine": _count(shapes, r"refine\.blocks\.(\d+)\.")} if refined else {}),
        **({"refine_width": shapes["refine.expand.weight"][0]} if refined else {}),
    }


def _own_names(key: str, _: Network) -> list[str]:
    return [key]


_PUBLISHED: dict[str, tuple[Callable[[Shapes], dict[str, Any]], Callable[[str, Network], list[str]]]] = {
    "drsformer": (_drsformer_config, _drsformer_names),
    "panet": (_panet_config, _panet_names),
    "pa-edsr": (_pa_edsr_config, _pa_edsr_names),
    "kit": (_kit_config, _own_names),
    "cs-kit": (_kit_config, _own_names),
}
