"""The authors' checkpoint files: which of our networks a published state dict belongs to, tensor by tensor.

Their names are facts of their files; the tensors carry over as they are, but for 1x1 convolutions that we write as
linear layers. DRSformer's files are offered at github.com/cschenxiang/DRSformer, those of PANet and PA-EDSR at
github.com/SHI-Labs/Pyramid-Attention-Networks. KiT and CS-KiT were never published: for them a state dict with our own
names is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restore.checkpoints import catalogue, loading
from restore.checkpoints.catalogue import WeightsEntry
from restore.errors import WeightsError, first_few
from restore.networks import NETWORKS, Network
from restore.networks.panet import MEAN

Shapes = Mapping[str, tuple[int, ...]]


def import_published(path: Path, *, network: str, task: str, name: str | None = None) -> WeightsEntry:
    """Turn a checkpoint that a network's authors published into weights of the user's own catalogue.

    Args:
        path: A file that `torch.save` wrote; only tensors are read from it, no code is run.
        network: Key of `NETWORKS`.
        task: Key of `TASKS`: what the weights were trained for.
        name: What to call them; None for the network, the task and the file's name.

    Returns:
        Their record.

    Raises:
        WeightsError: The file is damaged or holds more than tensors; a tensor is missing, unknown or misshaped; or the
            name is taken.
    """
    name = name or re.sub(r"[^a-z0-9]+", "-", f"{network}-{task}-{path.stem}".lower()).strip("-")
    catalogue.check_new_name(name)
    folder = catalogue.own_folder()
    source_sha256 = loading.sha256_of(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged or hostile pickle raises has no common type
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        hint = "fetch it once more; a file that needs code to be read is not taken"
        raise WeightsError(f"{path} holds no tensors that can be read: {reason}", hint=hint) from None
    try:
        built = convert(network, read_state_dict(content))
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit: {error.message}", hint=error.hint) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot make {folder}: {error.strerror or error}") from error
    file = folder / f"{name}.safetensors"
    loading.save(file, built, network, {"task": task, "imported_from": path.name, "imported_sha256": source_sha256})
    info = loading.CheckpointInfo(loading.ResolvedWeights(file, loading.sha256_of(file)), network, task, {})
    about = {
        "file": file.name,
        "licence": "its authors'",
        "trained_on": "see its authors",
        "summary": f"imported from {path.name}, SHA-256 {source_sha256[:12]}",
    }
    return catalogue.add_own(name, loading.facts(built, info) | about)


def read_state_dict(content: Any) -> dict[str, Tensor]:
    """The tensors in what `torch.load` returned: bare, or under the key that a training framework puts them.

    Raises:
        WeightsError: It holds no state dict.
    """
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError("the file holds no state dict: names, and a tensor for each")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def convert(network: str, state: Mapping[str, Tensor]) -> Network:
    """Build the network that a published state dict is of, from the tensors' shapes, and fill it.

    Args:
        network: Key of `NETWORKS`.
        state: Names as published, and tensors.

    Raises:
        WeightsError: A tensor is missing, left over or of another shape; the message names it.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    find_config = _PUBLISHED[network][0]
    try:
        built = NETWORKS[network](**find_config(shapes))
    except KeyError as error:
        raise WeightsError(f"{error.args[0]} is missing", hint=f"is the file one of {network}?") from None
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"the shapes are of no {network}: {error}") from error
    own, faults, used = built.state_dict(), [], set()
    for key, tensor in own.items():
        names = names_of(network, key, built)
        used.update(names)
        faults += [f"{name} is missing" for name in names if name not in state]
        given = [state[name] for name in names if name in state]
        shape = tuple(tensor.shape)
        for name, value in zip((n for n in names if n in state), given, strict=True):
            if tuple(value.shape) not in (shape, (*shape, 1, 1)):
                faults.append(f"{name} is {tuple(value.shape)}, not {shape}")
            elif not torch.equal(value, given[0]):
                faults.append(f"{name} is not the same as {names[0]}, which it should be")
        if given and given[0].numel() == tensor.numel():
            own[key] = given[0].reshape(shape).to(tensor.dtype)
    faults += [f"{name} is unknown" for name in state if name not in used and not _is_idle(name, network)]
    faults += _mean_faults(state) if network == "pa-edsr" else []
    if faults:
        raise WeightsError(first_few(faults), hint=f"is the file one of {network}?")
    built.load_state_dict(own)
    return built


def names_of(network: str, key: str, built: Network) -> list[str]:
    """What the published files call one tensor of ours: several names where they hold it several times."""
    return _PUBLISHED[network][1](key, built)


def _is_idle(name: str, network: str) -> bool:
    """Whether a published tensor takes no part in the result."""
    shifts_the_mean = name.startswith(("sub_mean.", "add_mean."))  # PA-EDSR's are constants, see `_mean_faults`
    return network in ("panet", "pa-edsr") and (shifts_the_mean or name.endswith("escape_NaN"))


def _mean_faults(state: Mapping[str, Tensor]) -> list[str]:
    """PA-EDSR takes DIV2K's mean away and gives it back; we have it as a constant."""
    wanted = {"sub_mean.bias": -torch.tensor(MEAN), "add_mean.bias": torch.tensor(MEAN)}
    wanted |= {f"{key}_mean.weight": torch.eye(3)[..., None, None] for key in ("sub", "add")}
    return [
        f"{name} is not that of DIV2K in [0, 1]"
        for name, value in wanted.items()
        if name in state
        and (state[name].shape != value.shape or not torch.allclose(state[name].float(), value, atol=1e-4))
    ]


def _count(shapes: Shapes, pattern: str) -> int:
    """One more than the largest number that `pattern` finds in a name."""
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
    """What PANet and PA-EDSR have in common."""
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
    numbers = [i + (i >= blocks // 2) for i in range(blocks)]  # the attention takes the number in the middle
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
    if key.startswith("body.attention."):  # which stands in the file twice
        names.append(key.replace("body.attention.", "msa."))
    return names


def _kit_config(shapes: Shapes) -> dict[str, Any]:
    """What shapes tell; k, h, heads and the seed of the hashing are the defaults."""
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
