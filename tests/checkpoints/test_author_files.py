"""An author's checkpoint becomes the user's own weights, or one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run
from PIL import Image
from published_weights import build
from torch import Tensor

from restore import checkpoints
from restore.checkpoints import author_files, author_names, catalogue
from restore.errors import WeightsError
from restore.networks import NETWORKS

KEYS = Path(__file__).parents[3] / "shared" / "golden"
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "drsformer": ("drsformer", {"dim": 8, "blocks": [1, 2, 1, 1]}),
    "drsformer without MEFC": ("drsformer", {"dim": 8, "blocks": [1, 1, 1, 2], "compensator": False}),
    "drsformer without bias": ("drsformer", {"dim": 8, "blocks": [1, 1, 1, 1], "norm_bias": False}),
    "panet": ("panet", {"dim": 8, "blocks": 3}),
    "panet grey": ("panet", {"dim": 8, "blocks": 2, "channels": 1, "reduction": 4}),
    "pa-edsr x2": ("pa-edsr", {"dim": 8, "blocks": 2, "scale": 2}),
    "pa-edsr x3": ("pa-edsr", {"dim": 8, "blocks": 2, "scale": 3}),
    "pa-edsr x4": ("pa-edsr", {"dim": 8, "blocks": 2, "scale": 4}),
    "cs-kit": ("cs-kit", {"dim": 8, "shuffle": 2, "refine": 1, "refine_width": 8}),
    "kit": ("kit", {"dim": 8, "blocks": 1, "fuse_skips": False}),
}
FULL: dict[str, tuple[str, dict[str, Any]]] = {  # key list: network and config
    "drs_full": ("drsformer", {}),
    "drs_lite_full": ("drsformer", {"compensator": False}),
    "pan_dn_full": ("panet", {}),
    "pan_car_full": ("panet", {"channels": 1}),
    "pan_demosaic_full": ("panet", {}),
    "pan_sr2_full": ("pa-edsr", {"scale": 2}),
    "pan_sr3_full": ("pa-edsr", {"scale": 3}),
    "pan_sr4_full": ("pa-edsr", {"scale": 4}),
}


@pytest.mark.parametrize("name", SMALL)
def test_shapes_tell_the_config_and_every_tensor_arrives(name: str) -> None:
    key, config = SMALL[name]
    network, state = build(key, config)
    converted = author_files.convert(key, state)
    assert converted.config == network.config
    for own, tensor in converted.state_dict().items():
        first = author_names.names_of(key, own, network)[0]
        assert torch.equal(tensor.flatten(), state[first].flatten())


@pytest.mark.parametrize("tag", FULL)
def test_the_names_and_shapes_are_those_of_the_published_files(tag: str) -> None:
    path = KEYS / f"keys_{tag}.json"
    if not path.is_file():
        pytest.skip("the published key lists are not here")
    key, config = FULL[tag]
    idle = ("sub_mean", "add_mean")
    listed = {
        name: tuple(shape)
        for name, shape, _ in json.loads(path.read_text())["keys"]
        if not name.startswith(idle) and not name.endswith("escape_NaN")
    }
    with torch.device("meta"):
        network = NETWORKS[key](**config)
    ours = {
        name: tuple(tensor.shape)
        for own, tensor in network.state_dict().items()
        for name in author_names.names_of(key, own, network)
    }
    assert ours.keys() == listed.keys()
    assert all(listed[name] in (shape, (*shape, 1, 1)) for name, shape in ours.items())


def rename(state: dict[str, Tensor], old: str, new: str) -> None:
    state[new] = state.pop(old)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("drsformer", lambda s: s.pop("latent.0.attn.attn3"), "latent.0.attn.attn3 is missing"),
        ("drsformer", lambda s: s.pop("patch_embed.proj.weight"), "patch_embed.proj.weight is missing"),
        ("drsformer", lambda s: s.update(extra=torch.ones(1)), "extra is unknown"),
        (
            "drsformer",
            lambda s: s.update({"output.weight": torch.ones(3, 15, 3, 3)}),
            r"output.weight is \(3, 15, 3, 3\), not \(3, 16, 3, 3\)",
        ),
        ("drsformer", lambda s: rename(s, "output.weight", "other"), "output.weight is missing, other is unknown"),
        ("panet", lambda s: s.pop("body.2.body.1.weight"), "body.2.body.1.weight is missing"),
        (
            "panet",
            lambda s: s.update({"body.3.body.1.weight": torch.ones(1)}),
            "body.3.body.1.weight differs from body.0.body.1.weight",
        ),
        ("panet", lambda s: s.pop("body.0.body.0.weight"), "body.0.body.0.weight is missing"),
        ("pa-edsr x4", lambda s: s.pop("msa.conv_match.0.bias"), "msa.conv_match.0.bias is missing"),
        ("pa-edsr x2", lambda s: s.update({"sub_mean.bias": torch.ones(3)}), "sub_mean.bias is not that of DIV2K"),
        ("pa-edsr x2", lambda s: s.update({"tail.0.0.weight": torch.ones(40, 8, 3, 3)}), "fit no pa-edsr"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_named(
    name: str, damage: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    key, config = SMALL[name]
    state = build(key, config)[1]
    damage(state)
    with pytest.raises(WeightsError, match=message):
        author_files.convert(key, state)


def test_tensors_that_the_published_networks_do_not_use_are_left_out() -> None:
    state = build("panet", {"dim": 8, "blocks": 2})[1]
    idle = {"sub_mean.weight": torch.zeros(3, 3, 1, 1), "add_mean.bias": torch.ones(3)}
    author_files.convert("panet", state | idle | {"body.1.escape_NaN": torch.ones(1)})


def raw(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor + 0.001 for name, tensor in state.items()}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("wrap", "taken"),
    [
        (lambda s: s, ""),
        (lambda s: {"params": raw(s), "params_ema": s}, "params_ema"),
        (lambda s: {"model": raw(s), "ema": s}, "ema"),
        (lambda s: {"model_ema": s, "args": {"lr": 1e-4}}, "model_ema"),
        (lambda s: {"state": {"net_g": raw(s), "net_g_ema": s}}, "state.net_g_ema"),
        (lambda s: {"any key": {"at": {"all": s}}, "epoch": 3}, "any?key.at.all"),
        (lambda s: {"schema": s, "step": torch.ones(1)}, "schema"),
        (lambda s: {"ema": {"decay": torch.ones(1)}, "model": s}, "model"),  # averages of something else
        (lambda s: {"model": under("module._orig_mod.net.", s)}, "model"),
        (lambda s: {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "weights": s}, "weights"),
        (lambda s: under("module.", s) | {"n_averaged": torch.tensor(3)}, ""),
        (lambda s: under("net.", s) | {"net.total_ops": torch.ones(1), "net.head.total_params": torch.ones(1)}, ""),
    ],
    ids=range(12),
)  # fmt: skip
def test_the_weights_are_found_under_any_key_and_averaged_ones_first(
    wrap: Callable[[dict[str, Tensor]], dict[str, Any]], taken: str
) -> None:
    state = build("panet", SMALL["panet"][1])[1]
    wanted = author_files.convert("panet", state).state_dict()
    read, where = author_files.read_network("panet", wrap(state))
    assert where == taken
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in read.state_dict().items())


def test_what_was_taken_is_said_and_recorded(tmp_path: Path, run: Run) -> None:
    state = build("panet", SMALL["panet"][1])[1]
    torch.save({"model": raw(state), "ema": state}, tmp_path / "a.pth")
    imported = run("weights", "import", str(tmp_path / "a.pth"), "--network", "panet", "--task", "denoise")
    assert (imported.code, imported.out) == (0, "panet-denoise-a\n"), imported.err
    assert ", its ema" in imported.err
    assert catalogue.find("panet-denoise-a").summary.endswith(", its ema")


def test_where_nothing_fits_three_names_are_shown_beside_three_wanted() -> None:
    state = under("module.", build("panet", SMALL["panet"][1])[1])
    other = {name.replace("head.0", "first").replace("body", "trunk"): tensor for name, tensor in state.items()}
    with pytest.raises(WeightsError) as raised:
        author_files.read_network("panet", {"model": other})
    given, wanted = raised.value.message.split("its keys are like ")[1].split(", and wanted are like ")
    assert len(given.split(", ")) == len(wanted.split(", ")) == 3
    assert all(name.startswith(("first.", "trunk.")) for name in given.split(", "))
    assert all(name.startswith(("head.0.", "body.")) for name in wanted.split(", "))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((8,), torch.nan), "head.0.bias has values that are not finite"),
        (torch.full((8,), -torch.inf), "head.0.bias has values that are not finite"),
        (torch.ones(8, dtype=torch.int64), "head.0.bias is not a plain tensor of floats"),
        (torch.ones(8).to_sparse(), "head.0.bias is not a plain tensor of floats"),
        (torch.ones(8, dtype=torch.complex64), "head.0.bias is not a plain tensor of floats"),
    ],
)
def test_values_that_cannot_be_weights_are_refused_by_name(value: Tensor, message: str) -> None:
    state = build("panet", SMALL["panet"][1])[1] | {"head.0.bias": value}
    with pytest.raises(WeightsError, match=message):
        author_files.convert("panet", state)


@pytest.mark.parametrize("name", ["panet", "drsformer", "kit"])
def test_a_name_with_a_large_number_does_not_make_a_large_network(name: str) -> None:
    state = build(name, SMALL[name][1])[1]
    number = {"panet": "body.{}.weight", "drsformer": "latent.{}.x", "kit": "encoder.0.blocks.{}.x"}[name]
    with pytest.raises(WeightsError, match=r"fit no|is missing"):
        author_files.convert(name, state | {number.format(10**9): torch.ones(1)})


@pytest.mark.parametrize("under", [None, "params", "state_dict"])
def test_an_imported_file_restores_pictures(under: str | None, tmp_path: Path, run: Run, own_folder: Path) -> None:
    state = build("drsformer", SMALL["drsformer"][1])[1]
    torch.save({under: state, "epoch": 3} if under else state, tmp_path / "Net 7.pth")
    imported = run("weights", "import", str(tmp_path / "Net 7.pth"), "--network", "drsformer", "--task", "derain")
    assert (imported.code, imported.out) == (0, "drsformer-derain-net-7\n"), imported.err
    assert {path.name for path in own_folder.iterdir()} == {"catalogue.toml", "drsformer-derain-net-7.safetensors"}

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 33, 3), np.uint8)).save("rain.png")
    restored = run("derain", "rain.png", "-o", "dry.png", "--weights", "drsformer-derain-net-7")
    assert restored.code == 0, restored.err
    with Image.open("dry.png") as picture:
        assert picture.size == (33, 20)
    assert "imported" in run("weights", "list").out
    assert "not by this project" in run("weights", "show", "drsformer-derain-net-7").out
    assert run("weights", "verify", "drsformer-derain-net-7").code == 0


def test_a_picture_becomes_larger_with_imported_weights(tmp_path: Path, run: Run) -> None:
    torch.save(build("pa-edsr", SMALL["pa-edsr x3"][1])[1], tmp_path / "x3.pt")
    assert (
        run(
            "weights", "import", str(tmp_path / "x3.pt"), "--network", "pa-edsr", "--task", "upscale", "--name", "x3"
        ).code
        == 0
    )
    Image.new("RGB", (20, 10), "red").save("small.png")
    assert run("upscale", "small.png", "-o", "large.png", "--weights", "x3").code == 0
    with Image.open("large.png") as picture:
        assert picture.size == (60, 30)


def test_weights_for_another_task_are_refused(tmp_path: Path, run: Run) -> None:
    torch.save(build("panet", SMALL["panet"][1])[1], tmp_path / "a.pt")
    run("weights", "import", str(tmp_path / "a.pt"), "--network", "panet", "--task", "dejpeg", "--name", "mine")
    Image.new("RGB", (20, 10)).save("a.png")
    wrong = run("derain", "a.png", "-o", "b.png", "--weights", "mine")
    assert wrong.code == 2 and "the weights mine are for dejpeg, not for derain" in wrong.err


def test_a_name_that_is_taken_is_refused_and_nothing_is_overwritten(tmp_path: Path, run: Run, own_folder: Path) -> None:
    torch.save(build("panet", SMALL["panet"][1])[1], tmp_path / "a.pt")
    arguments = ["weights", "import", str(tmp_path / "a.pt"), "--network", "panet", "--task", "denoise", "--name"]
    assert run(*arguments, "mine").code == 0
    before = (own_folder / "mine.safetensors").stat().st_mtime_ns
    again = run(*arguments, "mine")
    assert again.code == 1 and "--name" in again.err
    assert run(*arguments, "cs-kit-s-denoise").code == 1
    assert (own_folder / "mine.safetensors").stat().st_mtime_ns == before


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["code", "text", "empty", "cut", "no tensors", "missing"])
def test_a_file_that_cannot_be_read_is_one_error_and_leaves_nothing(
    kind: str, tmp_path: Path, run: Run, own_folder: Path
) -> None:
    path = tmp_path / "a.pth"
    state = build("panet", SMALL["panet"][1])[1]
    if kind == "code":
        torch.save({"params": state, "more": Evil()}, path)
    elif kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "no tensors":
        torch.save({"epoch": 3}, path)
    failed = run("weights", "import", str(path), "--network", "panet", "--task", "denoise")
    assert failed.code == 1
    assert failed.err.startswith("error: ") and "Traceback" not in failed.err
    assert not Path("ran").exists()
    assert not own_folder.exists()


def test_unknown_networks_and_tasks_are_wrong_usage(run: Run) -> None:
    wrong = run("weights", "import", "a.pth", "--network", "drsforme", "--task", "derain")
    assert wrong.code == 2 and "did you mean 'drsformer'" in wrong.err
    assert run("weights", "import", "a.pth", "--network", "panet", "--task", "derian").code == 2


def test_every_network_can_be_imported() -> None:
    from restore.cli.complete import NETWORKS as NAMES  # those that `--network` takes

    assert set(NAMES) == set(NETWORKS)


def test_a_damaged_import_says_how_to_mend_it(tmp_path: Path, run: Run, own_folder: Path) -> None:
    torch.save(build("panet", SMALL["panet"][1])[1], tmp_path / "a.pt")
    run("weights", "import", str(tmp_path / "a.pt"), "--network", "panet", "--task", "denoise", "--name", "mine")
    (own_folder / "mine.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError) as failed:
        checkpoints.resolve(catalogue.find("mine").name)
    assert "import" in str(failed.value.hint)
