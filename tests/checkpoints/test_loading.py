from __future__ import annotations

import hashlib
import os
import pickle  # noqa: TID251 - to show that it is refused
import re
from pathlib import Path

import pytest
import torch
from conftest import table_of, to_toml
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import restore
from restore import checkpoints
from restore.errors import WeightsError
from restore.networks import Network
from restore.networks.panet import PAEDSR

META = {"format": "restore/1", "network": "tiny", "config": "{}", "task": "denoise"}
OFFSET = torch.zeros(1, 3, 1, 1)
COMMIT = "0123456789" * 4


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **metadata: str | None) -> None:
    """Replace the tensors or metadata of a checkpoint of the tiny network."""
    kept = {key: value for key, value in (META | metadata).items() if value is not None}
    save_file(load_file(path) if tensors is None else tensors, path, kept)


def test_a_saved_network_is_loaded_with_the_same_values(tiny: type[Network], tmp_path: Path) -> None:
    network, path = tiny(extra=True), tmp_path / "a.safetensors"
    torch.nn.init.normal_(network.get_parameter("more"))
    checkpoints.save(path, network, "tiny", {"task": "denoise", "steps": "7"})
    loaded, info = checkpoints.load(path)
    assert loaded.config == {"extra": True}
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in loaded.state_dict().items())
    assert (info.network, info.task, info.metadata["steps"], info.entry) == ("tiny", "denoise", "7", None)
    assert info.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("upscale", "cannot be used to upscale: its network does not enlarge"),
        ("denose", "is for an unknown task, 'denose'"),
    ],
)
def test_a_task_that_the_network_cannot_do_is_an_error(tiny_file: Path, task: str, message: str) -> None:
    rewrite(tiny_file, task=task)
    with pytest.raises(WeightsError, match=message):
        checkpoints.load(tiny_file)


def test_a_network_that_enlarges_is_for_upscaling_only(tmp_path: Path) -> None:
    network = PAEDSR(scale=2, dim=8, blocks=2, reduction=2)
    for task in ("denoise", "upscale"):
        checkpoints.save(tmp_path / f"{task}.safetensors", network, "pa-edsr", {"task": task})
    assert checkpoints.load(tmp_path / "upscale.safetensors")[0].scale == 2
    with pytest.raises(WeightsError, match="cannot be used to denoise: its network enlarges 2 times"):
        checkpoints.load(tmp_path / "denoise.safetensors")


def test_half_precision_weights_become_float32(tiny_file: Path) -> None:
    rewrite(tiny_file, {"offset": OFFSET.half() + 0.5})
    network, _ = checkpoints.load(tiny_file)
    assert network.get_parameter("offset").dtype == torch.float32
    assert network.get_parameter("offset").flatten().tolist() == [0.5] * 3


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    tiny_file: Path, tiny: type[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny_file.read_bytes()

    def full(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WeightsError, match=r"cannot write .*No space left"):
        checkpoints.save(tiny_file, tiny(), "tiny", {"task": "denoise", "x": "y"})
    assert tiny_file.read_bytes() == before
    assert [p.name for p in tiny_file.parent.iterdir()] == [tiny_file.name]


@pytest.mark.parametrize("metadata", [{}, {"task": "cook"}, {"task": "denoise", "config": "{}"}])
def test_metadata_that_cannot_be_loaded_are_not_saved(
    tiny: type[Network], tmp_path: Path, metadata: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="metadata"):
        checkpoints.save(tmp_path / "a.safetensors", tiny(), "tiny", metadata)


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({}, "offset is missing"),
        ({"offset": OFFSET, "left.over": OFFSET + 1}, "left.over is unknown"),
        ({"offset": torch.zeros(1, 4, 1, 1)}, "offset is (1, 4, 1, 1), not (1, 3, 1, 1)"),
        ({"offset": OFFSET.long()}, "offset is of type I64, not one of F16, BF16, F32, F64"),
        ({"offset": torch.full((1, 3, 1, 1), torch.nan)}, "offset has values that are not finite"),
        ({"offset": torch.full((1, 3, 1, 1), torch.inf)}, "offset has values that are not finite"),
    ],
)
def test_a_tensor_that_does_not_fit_is_an_error_that_names_it(
    tiny_file: Path, tensors: dict[str, torch.Tensor], fault: str
) -> None:
    rewrite(tiny_file, tensors)
    with pytest.raises(WeightsError, match=re.escape(fault)):
        checkpoints.load(tiny_file)


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ({"format": None}, "is not a checkpoint of restore"),
        ({"format": "restore/2"}, "is not a checkpoint of restore"),
        ({"network": None}, "lacks network"),
        ({"task": None}, "lacks task"),
        ({"network": "tinny"}, "unknown network, 'tinny'"),
        ({"config": "{"}, "not a JSON object"),
        ({"config": "[1]"}, "not a JSON object"),
        ({"config": '{"depth": 4}'}, "unknown key 'depth'"),
        ({"config": '{"extra": true, "extra": false}'}, "the key 'extra' twice"),
        ({"config": '{"extra": 1}'}, "extra in its config is 1, not true or false"),
        ({"config": '{"extra": null}'}, "extra in its config is None, not true or false"),
        ({"config": '{"extra": ' + "9" * 6000 + "}"}, "not a JSON object"),  # more digits than Python reads
        ({"config": '{"extra": ' + "[" * 4000 + "]" * 4000 + "}"}, "config"),
        ({"config": " " * 10_000 + "{}"}, "its config has 10002 characters"),
    ],
)
def test_metadata_that_do_not_fit_are_an_error(tiny_file: Path, metadata: dict[str, str | None], fault: str) -> None:
    rewrite(tiny_file, None, **metadata)
    with pytest.raises(WeightsError, match=re.escape(fault)):
        checkpoints.load(tiny_file)


def test_a_file_cut_anywhere_is_an_error(tiny_file: Path) -> None:
    whole = tiny_file.read_bytes()
    for length in (0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1):
        tiny_file.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="damaged or not a safetensors file" if length else "is empty"):
            checkpoints.load(tiny_file)


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.ckpt", "a.safetensors"])
def test_a_pickle_is_refused_without_running_it(tmp_path: Path, name: str) -> None:
    fallout = tmp_path / "exploded"
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(str(fallout))))
    with pytest.raises(WeightsError) as raised:
        checkpoints.load(tmp_path / name)
    assert "it holds more than tensors" in raised.value.message
    assert raised.value.hint
    assert not fallout.exists()


def test_weights_of_the_catalogue_are_found_by_name(tiny_catalogue: Path, tiny_file: Path) -> None:
    _, info = checkpoints.load("tiny-denoise")
    assert info.entry is not None and info.entry.name == "tiny-denoise"
    assert info.weights.path == tiny_file


def test_one_changed_byte_in_bundled_weights_is_an_error(tiny_catalogue: Path, tiny_file: Path) -> None:
    data = bytearray(tiny_file.read_bytes())
    data[-1] ^= 1
    tiny_file.write_bytes(data)
    with pytest.raises(WeightsError, match="SHA-256") as raised:
        checkpoints.load("tiny-denoise")
    assert raised.value.hint == "pip install --force-reinstall restore-photos"
    checkpoints.load(tiny_file)  # as a plain file it has no recorded hash


def test_truncated_bundled_weights_are_an_error_that_says_so(tiny_catalogue: Path, tiny_file: Path) -> None:
    size = tiny_file.stat().st_size
    tiny_file.write_bytes(tiny_file.read_bytes()[:-4])
    with pytest.raises(WeightsError, match=f"has {size - 4} bytes, and tiny-denoise has {size}"):
        checkpoints.resolve("tiny-denoise")


def test_a_missing_bundled_file_is_an_error(tiny_catalogue: Path, tiny_file: Path) -> None:
    tiny_file.unlink()
    with pytest.raises(WeightsError, match="the file of tiny-denoise is missing"):
        checkpoints.resolve("tiny-denoise")


def test_a_file_for_another_network_than_the_catalogue_says_is_an_error(tiny_catalogue: Path, tiny_file: Path) -> None:
    tiny_catalogue.write_text(to_toml("tiny-denoise", table_of(tiny_file, network="kit")))
    with pytest.raises(WeightsError, match="is tiny for denoise; the catalogue says kit"):
        checkpoints.load("tiny-denoise")


@pytest.mark.parametrize("source", ["gone.safetensors", "./tiny-denoise", "no/such/file.safetensors"])
def test_a_missing_file_is_an_error(tiny_catalogue: Path, source: str) -> None:
    with pytest.raises(WeightsError, match=f"cannot find the weights file {re.escape(source)}"):
        checkpoints.resolve(source)


# The Hub


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for the real client."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache: Path, file: Path) -> Path:
    """Put a file into the cache as `owner/name` at COMMIT, which `main` points to."""
    repo = cache / "models--owner--name"
    cached = repo / "snapshots" / COMMIT / "sub" / file.name
    cached.parent.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    file.rename(cached)
    return cached


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
def test_weights_in_the_hubs_cache_need_no_network(tiny_file: Path, hub_cache: Path, revision: str) -> None:
    cached = put(hub_cache, tiny_file)
    assert checkpoints.resolve(f"hf://owner/name{revision}/sub/{cached.name}").path == cached
    checkpoints.load(f"hf://owner/name{revision}/sub/{cached.name}")


def test_an_entry_without_a_bundled_file_is_taken_from_the_hub_and_verified(
    tiny_catalogue: Path, tiny_file: Path, hub_cache: Path
) -> None:
    hub = {"hub_repo": "owner/name", "hub_revision": COMMIT, "hub_file": f"sub/{tiny_file.name}"}
    tiny_catalogue.write_text(to_toml("tiny-denoise", table_of(tiny_file, **hub)))
    cached = put(hub_cache, tiny_file)
    assert checkpoints.resolve("tiny-denoise").path == cached
    cached.write_bytes(cached.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match="SHA-256") as raised:
        checkpoints.resolve("tiny-denoise")
    assert raised.value.hint == f"delete {cached} and try again"


def test_without_a_network_the_error_says_that_the_hub_is_not_reached(hub_cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot download hf://owner/name@v1/a.safetensors") as raised:
        checkpoints.resolve("hf://owner/name@v1/a.safetensors")
    assert "HF_HUB_OFFLINE is set" in raised.value.message
    assert raised.value.hint


def test_nothing_is_downloaded_where_that_is_not_wanted(hub_cache: Path) -> None:
    with pytest.raises(WeightsError, match="is not on this machine"):
        checkpoints.resolve("hf://owner/name/a.safetensors", download=False)


@pytest.mark.parametrize("source", ["hf://", "hf://owner", "hf://owner/name/", "hf://owner/name@/a", "hf://-/n@me/x"])
def test_an_address_that_is_none_is_an_error(source: str) -> None:
    with pytest.raises(WeightsError):
        checkpoints.resolve(source)


def test_a_pickle_on_the_hub_is_refused_before_it_is_fetched() -> None:
    with pytest.raises(WeightsError, match="pickle"):
        checkpoints.resolve("hf://owner/name/model.pth")


@pytest.mark.parametrize(("task", "multiple"), [("demosaic", 2), ("denoise", 1)])
def test_what_takes_mosaics_is_given_whole_squares_of_the_pattern(
    tiny: type[Network], tmp_path: Path, task: str, multiple: int
) -> None:
    checkpoints.save(tmp_path / "a.safetensors", tiny(), "tiny", {"task": task})
    assert checkpoints.load(tmp_path / "a.safetensors")[0].size_multiple == multiple


def test_load_gives_a_restorer(tiny_catalogue: Path) -> None:
    restorer = restore.load("tiny-denoise", device="cpu")
    assert isinstance(restorer, restore.Restorer)
    assert restorer.entry is not None and restorer.entry.name == "tiny-denoise"
