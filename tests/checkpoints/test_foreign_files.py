"""Checkpoints of spandrel's networks: read safely, and run under our contract."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run
from picture_files import save_flat
from safetensors.torch import save_file
from small_foreign_networks import OTHERS, RESTORING, save_small, small

import restore
from restore import checkpoints
from restore.errors import UsageError, WeightsError

try:
    import spandrel
except Exception as error:  # torchvision raises a RuntimeError where it does not fit PyTorch
    spandrel, WHY = None, f"spandrel cannot be imported: {error}"
else:
    WHY = ""

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of spandrel's architectures, for programmers
needs_spandrel = pytest.mark.skipif(spandrel is None, reason=WHY)
NOISE = np.random.default_rng(0).integers(0, 255, (70, 50, 3)).astype(np.uint8)


def test_without_spandrel_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "x4.pth")
    with pytest.raises(WeightsError, match="not a checkpoint of restore, and spandrel") as raised:
        checkpoints.load(tmp_path / "x4.pth")
    assert raised.value.hint == "pip install 'restore-photos[spandrel]'"


@needs_spandrel
@pytest.mark.slow
@pytest.mark.parametrize("architecture", RESTORING)
def test_each_architecture_restores_whole_pictures_and_tiles(architecture: str, tmp_path: Path) -> None:
    restorer = restore.load(save_small(tmp_path / "a.pth", architecture), device="cpu")
    network = restorer.network
    picture = NOISE if network.channels == 3 else NOISE[..., 0]
    whole = restorer(picture)
    multiple = network.size_multiple
    tiled = restorer(picture, tile=max(64, 2 * multiple, network.min_size), overlap=16)
    assert whole.shape == tiled.shape == (70 * network.scale, 50 * network.scale, *picture.shape[2:])
    assert np.array_equal(restorer(picture), whole)


@needs_spandrel
@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "why"), [("LaMa", "a mask"), ("GFPGAN", "faces"), ("RestoreFormer", "faces")])
def test_what_restores_no_pictures_is_refused_in_words(architecture: str, why: str, tmp_path: Path) -> None:
    assert architecture in OTHERS
    with pytest.raises(WeightsError, match=f"its network, {architecture}, .*{why}"):
        checkpoints.load(save_small(tmp_path / "a.pth", architecture))


@needs_spandrel
def test_the_result_is_that_of_the_network_itself(tmp_path: Path) -> None:
    restorer = restore.load(save_small(tmp_path / "a.pth", "Compact"), device="cpu")
    x = torch.rand(2, 3, 20, 31)
    with torch.inference_mode():
        expected = small("Compact").eval()(x).clamp(0, 1)
    assert torch.allclose(restorer.restore_tensor(x), expected, atol=1e-5)


@needs_spandrel
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.ckpt"])
def test_the_command_checks_the_scale_of_a_file(run: Run, name: str) -> None:
    state = small("Compact").state_dict()
    save_file(state, name, {"format": "pt"}) if name.endswith("s") else torch.save({"state_dict": state}, name)
    save_flat("a.png", 200)
    assert run("upscale", "a.png", "-o", "b.png", "--scale", "4", "--weights", name).code == 0
    wrong = run("upscale", "a.png", "-o", "c.png", "--scale", "2", "--weights", name)
    assert wrong.code == 2 and "these weights are for --scale 4, not 2" in wrong.err
    wrong = run("denoise", "a.png", "-o", "c.png", "--weights", name)
    assert wrong.code == 1 and "cannot be used to denoise: its network enlarges 4 times" in wrong.err


@needs_spandrel
def test_a_network_that_does_not_enlarge_does_every_task_of_the_same_size(tmp_path: Path) -> None:
    file = checkpoints.resolve(save_small(tmp_path / "a.pth", "NAFNet"))
    assert [checkpoints.load(file, task)[1].task for task in ("derain", "deblur", None)] == ["derain", "deblur", ""]
    with pytest.raises(WeightsError, match="its network does not enlarge"):
        checkpoints.load(file, "upscale")


@needs_spandrel
def test_show_names_the_network_and_what_it_needs(run: Run) -> None:
    save_small(Path("a.pth"), "Uformer")
    shown = run("weights", "show", "a.pth").out
    assert "Uformer, by spandrel" in shown and "multiples of 128, squares" in shown and "1x" in shown


@needs_spandrel
def test_a_precision_that_the_architecture_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not compute in float16"):
        restore.load(save_small(tmp_path / "a.pth", "NAFNet"), device="cpu", precision="float16")


@needs_spandrel
def test_what_no_architecture_fits_and_what_is_damaged_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"body.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"none of spandrel's \d+ architectures; its keys are like body.weight"):
        checkpoints.load(path)
    state = small("SwinIR").state_dict()
    del state["conv_first.bias"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"looks like SwinIR, but does not fit it: .*conv_first.bias"):
        checkpoints.load(path)
    torch.save(small("Compact").state_dict() | {"body.0.bias": torch.full((8,), float("nan"))}, path)
    with pytest.raises(WeightsError, match=r"body.0.bias has values that are not finite"):
        checkpoints.load(path)


@needs_spandrel
def test_a_network_that_wants_alpha_gets_an_opaque_one(tmp_path: Path) -> None:
    built = type(small("Compact"))(num_in_ch=4, num_out_ch=4, num_feat=8, num_conv=1, upscale=2).eval()
    torch.save(built.state_dict(), tmp_path / "a.pth")
    x = torch.rand(1, 3, 9, 8)
    with torch.inference_mode():
        expected = built(torch.cat([x, torch.ones(1, 1, 9, 8)], 1))[:, :3].clamp(0, 1)
    restored = restore.load(tmp_path / "a.pth", device="cpu").restore_tensor(x)
    assert torch.allclose(restored, expected, atol=1e-5)


@needs_spandrel
def test_the_memory_of_a_network_that_is_not_measured_grows_with_the_tile(tmp_path: Path) -> None:
    from restore.inference.memory import TRACED, need_of

    network, _ = checkpoints.load(save_small(tmp_path / "a.pth", "Compact"))
    # At the end: 48 channels, their shuffled copy, the enlarged input, and their sum, each 48 numbers a pixel.
    assert need_of(network).bytes_per_pixel >= TRACED * 2 * 48 * 4
    assert all(not tensor.is_meta for tensor in network.state_dict().values())
