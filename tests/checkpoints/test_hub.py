"""Pull from and push to the Hugging Face Hub: the real client against a Hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import Run, table_of, to_toml
from hub_server import TOKEN, Hub, serve
from huggingface_hub import ModelCard, ModelCardData, constants
from safetensors.torch import load_file

import restore
from restore import checkpoints
from restore.checkpoints import catalogue, pull_push
from restore.checkpoints.cards import HEADINGS
from restore.errors import UsageError, WeightsError
from restore.networks import Network

pytest_plugins = ["hub_fixtures"]
# The client warns when it uploads without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def weights(tiny_file: Path) -> bytes:
    """The bytes of a checkpoint."""
    return tiny_file.read_bytes()


def card(licence: str) -> bytes:
    return f"---\nlicense: {licence}\n---\n".encode()


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def fails(source: str, match: str) -> WeightsError:
    """The error of a pull that registers nothing."""
    with pytest.raises(WeightsError, match=match) as raised:
        pull_push.pull(source)
    assert not (catalogue.own_folder() / "catalogue.toml").exists()
    assert raised.value.hint
    return raised.value


# Pulling


def test_pulled_weights_have_a_name_that_works_without_the_hub(
    hub: Hub, run: Run, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.repo("owner/My_Net", {"net.safetensors": weights, "README.md": card("mit")})
    ran = run("weights", "pull", "hf://owner/My_Net")
    assert (ran.code, ran.out) == (0, "my-net\n"), ran.err
    assert f"hf://owner/My_Net@{commit}/net.safetensors" in ran.err and "licence mit" in ran.err
    entry = catalogue.find("my-net")
    assert (entry.hub_repo, entry.hub_revision, entry.hub_file) == ("owner/My_Net", commit, "net.safetensors")
    assert (entry.sha256, entry.size_bytes) == (hashlib.sha256(weights).hexdigest(), len(weights))
    assert (entry.network, entry.config, entry.task, entry.parameters) == ("tiny", "s", "denoise", 3)
    assert not entry.default
    offline(monkeypatch)
    _, info = checkpoints.load("my-net")
    assert info.weights.path.read_bytes() == weights
    assert "pulled" in run("weights", "list").out
    assert run("weights", "verify", "my-net").code == 0


def test_a_name_stays_what_it_was_when_the_branch_moves(hub: Hub, weights: bytes) -> None:
    first = hub.repo("owner/net", {"model.safetensors": weights})
    pull_push.pull("hf://owner/net")
    second = hub.repos["owner/net"].commit({"model.safetensors": weights + b" "})
    assert checkpoints.resolve("net").path.read_bytes() == weights
    assert pull_push.pull(f"hf://owner/net@{first}").hub_revision == first  # the same again
    with pytest.raises(WeightsError, match="called 'net' already exist"):
        pull_push.pull(f"hf://owner/net@{second}")


def test_a_commit_or_tag_can_be_asked_for(hub: Hub, tiny: type[Network], tiny_file: Path, weights: bytes) -> None:
    old = hub.repo("owner/net", {"model.safetensors": weights})
    checkpoints.save(tiny_file, tiny(extra=True), "tiny", {"task": "denoise"})
    hub.repos["owner/net"].commit({"model.safetensors": tiny_file.read_bytes()})
    hub.repos["owner/net"].refs["v1"] = old
    for name, revision in (("a", old), ("b", "v1")):
        assert pull_push.pull(f"hf://owner/net@{revision}", name=name).parameters == 3
    assert pull_push.pull("hf://owner/net", name="c").parameters == 5


def test_of_several_files_model_is_preferred_and_others_must_be_named(hub: Hub, weights: bytes) -> None:
    hub.repo("owner/net", {"a.safetensors": weights, "model.safetensors": weights})
    assert pull_push.pull("hf://owner/net").hub_file == "model.safetensors"
    assert pull_push.pull("hf://owner/net/a.safetensors", name="a").hub_file == "a.safetensors"
    hub.repo("owner/two", {"a.safetensors": weights, "sub/b.safetensors": weights})
    with pytest.raises(WeightsError, match="has 2 weights files") as raised:
        pull_push.pull("hf://owner/two")
    assert raised.value.hint == "choose one: hf://owner/two/a.safetensors, hf://owner/two/sub/b.safetensors"
    restore.load("hf://owner/two/sub/b.safetensors", device="cpu")
    with pytest.raises(WeightsError, match="has 2 weights files"):  # although the cache has only one
        restore.load("hf://owner/two", device="cpu")


def test_pickles_are_refused_before_they_are_fetched(hub: Hub) -> None:
    hub.repo("owner/net", {"net.pth": b"\x80\x04", "README.md": card("mit")})
    error = fails("hf://owner/net", "only Python pickles.*net.pth")
    assert error.hint and "restore weights import" in error.hint
    fails("hf://owner/net/net.pth", "is a Python pickle")
    assert hub.downloads() == []


def test_a_name_that_is_taken_is_an_error(hub: Hub, tiny_catalogue: Path, weights: bytes) -> None:
    hub.repo("owner/tiny-denoise", {"model.safetensors": weights})
    error = fails("hf://owner/tiny-denoise", "called 'tiny-denoise' already exist")
    assert error.hint == "choose another with --name"
    assert hub.downloads() == []
    assert pull_push.pull("hf://owner/tiny-denoise", name="mine").name == "mine"


def test_an_address_without_a_file_works_as_weights(hub: Hub, weights: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo("owner/net", {"net.safetensors": weights})
    commit = hub.repo("owner/usual", {"model.safetensors": weights})
    assert restore.load("hf://owner/net", device="cpu").network.channels == 3
    restore.Restorer.from_pretrained("owner/usual", revision=commit, device="cpu")
    offline(monkeypatch)
    restore.load("hf://owner/net", device="cpu")
    restore.Restorer.from_pretrained("owner/usual", commit, "model.safetensors", "cpu")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        restore.Restorer.from_pretrained("owner/usual", "v2", device="cpu")


def test_a_catalogue_entry_may_be_on_the_hub_only(
    hub: Hub, tiny_catalogue: Path, tiny_file: Path, weights: bytes
) -> None:
    commit = hub.repo("owner/net", {"model.safetensors": weights})
    place = {"hub_repo": "owner/net", "hub_revision": commit, "hub_file": "model.safetensors"}
    tiny_catalogue.write_text(to_toml("tiny-denoise", table_of(tiny_file, **place)))
    tiny_file.unlink()
    assert checkpoints.load("tiny-denoise")[1].weights.path.read_bytes() == weights


def test_weights_of_another_program_are_not_registered(hub: Hub) -> None:
    hub.repo("owner/net", {"model.safetensors": b"\x02\0\0\0\0\0\0\0{}"})
    with pytest.raises(WeightsError, match="is not a checkpoint of restore"):
        pull_push.pull("hf://owner/net")
    assert not (catalogue.own_folder() / "catalogue.toml").exists()


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"summary": "\x1b[2J"}, "summary has characters that cannot be printed"),
        ({"scores": 5}, "scores must be tables"),
        ({"hours": "many"}, "hours is 'many'"),
    ],
)
def test_a_config_that_a_catalogue_cannot_hold_is_an_error(
    hub: Hub, weights: bytes, config: dict[str, object], error: str
) -> None:
    config = {"sha256": hashlib.sha256(weights).hexdigest()} | config
    hub.repo("owner/net", {"model.safetensors": weights, "config.json": json.dumps(config).encode()})
    with pytest.raises(WeightsError, match=error):
        pull_push.pull("hf://owner/net")
    assert not (catalogue.own_folder() / "catalogue.toml").exists()


def test_a_config_of_something_else_is_ignored(hub: Hub, weights: bytes) -> None:
    hub.repo("owner/net", {"model.safetensors": weights, "config.json": b'{"summary": 5}'})
    assert pull_push.pull("hf://owner/net").summary == "pulled from hf://owner/net"


# Faults


def test_a_private_repository_needs_a_token_which_stays_on_the_hub(
    hub: Hub, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo("owner/net", {"model.safetensors": weights}, private=True)
    error = fails("hf://owner/net", "has no repository owner/net, or it is private")
    assert error.hint and "hf auth login" in error.hint and "HF_TOKEN" in error.hint
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    fails("hf://owner/net", "rejects your token")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pull_push.pull("hf://owner/net").name == "net"
    assert [one.token for one in hub.downloads()] == [None]


def test_what_does_not_exist_is_named(hub: Hub, weights: bytes, logged_in: None) -> None:
    hub.repo("owner/net", {"model.safetensors": weights})
    fails("hf://owner/nett", "has no repository owner/nett")
    fails("hf://owner/net@v9", "owner/net has no revision 'v9'")
    error = fails("hf://owner/net/b.safetensors", "owner/net has no file 'b.safetensors'")
    assert error.hint == "it has model.safetensors"
    for source, match in (
        ("hf://owner/nett/a.safetensors", "has no repository"),
        ("hf://owner/net@v9/a.safetensors", "has no revision 'v9'"),
        ("hf://owner/net/a.safetensors", "has no file 'a.safetensors'"),
        ("hf://own..er/net/a.safetensors", "'own..er/net' is not a valid repository name"),
    ):
        with pytest.raises(WeightsError, match=match):
            checkpoints.resolve(source)


@pytest.mark.parametrize(
    ("status", "code", "match"),
    [
        (429, None, "too many requests"),
        (500, None, "answers with error 500"),
        (403, None, "lacks permission"),
        (403, "GatedRepo", "needs the permission of its owners"),
    ],
)
def test_a_hub_that_refuses_is_one_error(hub: Hub, weights: bytes, status: int, code: str | None, match: str) -> None:
    hub.repo("owner/net", {"model.safetensors": weights})
    hub.status["/api/models"], hub.code = status, code
    error = fails("hf://owner/net", match)
    assert status != 429 or (error.hint and "in 30 seconds" in error.hint)


def test_a_file_that_is_not_given_out_is_one_error(hub: Hub, weights: bytes) -> None:
    hub.repo("owner/net", {"model.safetensors": weights})
    hub.status["/large/"] = 500
    fails("hf://owner/net", r"cannot download hf://owner/net@\w+/model.safetensors: the Hub answers with error 500")


def test_a_download_that_is_cut_goes_on_where_it_was(hub: Hub, tiny: type[Network], tmp_path: Path) -> None:
    path, chunk = tmp_path / "a.safetensors", constants.DOWNLOAD_CHUNK_SIZE
    checkpoints.save(path, tiny(), "tiny", {"task": "denoise", "padding": "x" * (chunk + 9999)})
    hub.repo("owner/net", {"model.safetensors": path.read_bytes()})
    hub.cut_at = chunk + 999
    pull_push.pull("hf://owner/net")
    assert [one.range for one in hub.downloads()] == [None, f"bytes={chunk}-"]
    assert checkpoints.resolve("net").path.read_bytes() == path.read_bytes()


def test_a_file_with_another_hash_than_the_hub_states_is_refused(hub: Hub, weights: bytes) -> None:
    commit = hub.repo("owner/net", {"model.safetensors": weights})
    hub.stated_sha256 = "0" * 64
    error = fails("hf://owner/net", f"damaged: its SHA-256 is .* and the Hub says {'0' * 64}")
    with pytest.raises(WeightsError, match="damaged"):
        restore.load("hf://owner/net")
    assert error.hint
    Path(error.hint.split()[1]).unlink()  # as the hint says
    hub.stated_sha256 = None
    assert pull_push.pull("hf://owner/net").hub_revision == commit


def test_a_truncated_file_is_refused(hub: Hub, weights: bytes) -> None:
    hub.repo("owner/net", {"model.safetensors": weights})
    hub.stated_size = len(weights) + 5
    fails("hf://owner/net", f"the Hub announces {len(weights) + 5} bytes and sends {len(weights)}")


def test_a_byte_that_changes_in_the_cache_is_noticed_at_the_next_load(hub: Hub, weights: bytes) -> None:
    hub.repo("owner/net", {"model.safetensors": weights})
    pull_push.pull("hf://owner/net")
    path = checkpoints.resolve("net").path
    path.write_bytes(weights[:-1] + b"!")
    for source in ("net", "hf://owner/net"):
        with pytest.raises(WeightsError, match="SHA-256") as raised:
            checkpoints.load(source)
    assert raised.value.hint == f"delete {path.resolve()} and try again"
    path.resolve().unlink()
    assert checkpoints.resolve("net").path.read_bytes() == weights


def test_without_the_hub_what_is_not_in_the_cache_is_one_error(
    hub: Hub, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo("owner/net", {"model.safetensors": weights})
    offline(monkeypatch)
    fails("hf://owner/net", "HF_HUB_OFFLINE is set")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    fails("hf://owner/net", "cannot download hf://owner/net: .*refused")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url + "/no-hub")
    fails("hf://owner/net", "the Hub answers with error 404")


# The cache


def test_the_cache_is_listed_and_weights_are_removed(hub: Hub, run: Run, tiny_catalogue: Path, weights: bytes) -> None:
    assert len(run("weights", "list", "--cached").out.splitlines()) == 1
    commit = hub.repo("owner/net", {"a.safetensors": weights, "b.safetensors": b"\x02\0\0\0\0\0\0\0{}"})
    for name in ("one", "two"):
        pull_push.pull("hf://owner/net/a.safetensors", name=name)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        restore.load("hf://owner/net/b.safetensors")
    _, row = run("weights", "list", "--cached").out.splitlines()  # b is of another program
    assert row.split() == ["two", "0.0", "MB", f"hf://owner/net@{commit}/a.safetensors"]
    assert run("weights", "remove", "one").code == 0
    assert checkpoints.resolve("two", download=False).path.is_file()
    path = checkpoints.resolve("two").path
    assert run("weights", "remove", "two").code == 0
    assert not path.exists() and not path.is_symlink()
    assert len(run("weights", "list", "--cached").out.splitlines()) == 1
    ran = run("weights", "remove", "two")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: unknown weights 'two'")
    ran = run("weights", "remove", "tiny-denoise")
    assert ran.code == 1 and "cannot remove tiny-denoise: it comes with restore" in ran.err
    assert checkpoints.resolve("tiny-denoise")


# Pushing

SCORES = "".join(
    f"[[tiny-denoise.scores]]\nset = '{name}'\nprotocol = 'rgb'\npsnr = {psnr}\ninput_psnr = {given}\n{more}"
    for name, psnr, given, more in (("PolyU", 38.5, 36.0, "ssim = 0.97\n"), ("Kodak24 clean", 51.0, "inf", ""))
)


def test_pushed_weights_come_back_the_same(
    hub: Hub, run: Run, tiny_catalogue: Path, weights: bytes, logged_in: None
) -> None:
    tiny_catalogue.write_text(tiny_catalogue.read_text() + SCORES)
    ran = run(
        "weights", "push", "tiny-denoise", "--repo", "owner/net", "--dataset", "owner/photos", "--message", "First"
    )
    assert ran.code == 0, ran.err
    commit = hub.repos["owner/net"].refs["main"]
    assert ran.out == f"hf://owner/net@{commit}\n"
    assert f"{hub.url}/owner/net/commit/{commit}" in ran.err
    files = hub.repos["owner/net"].commits[commit]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert files["model.safetensors"] == weights
    assert len(hub.repos["owner/net"].commits) == 2  # an empty one that creates it, and one with all files

    text = files["README.md"].decode()
    data = ModelCard(text).data
    assert isinstance(data, ModelCardData)
    assert (data.library_name, data.pipeline_tag, data.license) == ("restore", "image-to-image", "apache-2.0")
    assert data.tags == ["image-restoration", "denoise", "tiny"]
    assert (data.datasets, data.metrics) == (["owner/photos"], ["psnr", "ssim"])
    measured = {(r.dataset_name, r.metric_type): r.metric_value for r in data.eval_results or ()}
    assert measured == {("PolyU", "psnr"): 38.5, ("PolyU", "ssim"): 0.97, ("Kodak24 clean", "psnr"): 51.0}
    assert "restore weights pull hf://owner/net --name net" in text
    assert tuple(re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)) == HEADINGS
    assert "| PolyU | rgb | 36.00 | 38.50 | 0.9700 |\n| Kodak24 clean | rgb | - | 51.00 | - |\n" in text
    assert "Infinity" not in files["config.json"].decode()  # not valid JSON

    entry, bundled = pull_push.pull("hf://owner/net"), catalogue.find("tiny-denoise")
    for key in ("network", "config", "task", "sha256", "trained_on", "summary", "recipe", "hours", "machine", "scores"):
        assert getattr(entry, key) == getattr(bundled, key), key
    theirs, ours = (load_file(checkpoints.resolve(name).path) for name in ("net", "tiny-denoise"))
    assert all(torch.equal(theirs[key], value) for key, value in ours.items())


def test_texts_of_a_card_cannot_add_markup_or_metadata(
    hub: Hub, run: Run, tiny_catalogue: Path, tiny_file: Path, logged_in: None
) -> None:
    evil = "a <script>alert(1)</script> [click](javascript:alert(1)) `code` ![x](y) | --- | <!-- & "
    about = {"summary": evil, "trained_on": "# title", "machine": evil, "hours": 1.0, "recipe": "a`b <i>"}
    score = {"set": "--- <b>", "protocol": "license: mit |", "psnr": 30.0, "input_psnr": 20.0}
    own = table_of(tiny_file, licence="MIT", **about)
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in score.items())
    tiny_catalogue.write_text(to_toml("tiny-denoise", own) + "[[tiny-denoise.scores]]\n" + lines)
    assert run("weights", "push", "tiny-denoise", "--repo", "owner/net").code == 0
    text = hub.repos["owner/net"].commits[hub.repos["owner/net"].refs["main"]]["README.md"].decode()
    data, body = ModelCard(text).data, ModelCard(text).text
    assert isinstance(data, ModelCardData)
    assert (data.license, [one.dataset_name for one in data.eval_results or ()]) == ("mit", ["--- <b>"])
    assert "\n---" not in body.replace("\n| ---", "")
    shown = re.sub(r"`[^`\n]*`", "", body.replace("\\`", ""))  # code shows tags as they are
    assert "<" not in shown and "&lt;script&gt;" in shown and "[click](" not in shown.replace("\\[click\\](", "")
    assert "| --- &lt;b&gt; | license: mit \\| |".replace("| ---", "| \\---", 1) in body
    assert len([line for line in body.splitlines() if line.startswith("# ")]) == 1


def test_nothing_is_pushed_without_a_token_or_a_licence(
    hub: Hub, run: Run, tiny_catalogue: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("weights", "push", "tiny-denoise", "--repo", "owner/net")
    assert ran.code == 1 and "you are not logged in to the Hub" in ran.err and "hf auth login" in ran.err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    ran = run("weights", "push", str(tiny_file), "--repo", "owner/net")
    assert ran.code == 1 and "its licence is unknown" in ran.err and "--licence SPDX" in ran.err
    tiny_catalogue.write_text(to_toml("tiny-denoise", table_of(tiny_file, licence="its authors")))
    ran = run("weights", "push", "tiny-denoise", "--repo", "owner/net")
    assert ran.code == 1 and "its licence is its authors" in ran.err
    assert hub.asked == []
    assert run("weights", "push", str(tiny_file), "--repo", "owner/net", "--licence", "MIT").code == 0
    assert pull_push.pull("hf://owner/net").licence == "mit"


def test_a_run_is_pushed_from_its_file(hub: Hub, tiny: type[Network], tmp_path: Path, logged_in: None) -> None:
    checkpoints.save(tmp_path / "last.safetensors", tiny(extra=True), "tiny", {"task": "derain", "step": "7"})
    pull_push.push(str(tmp_path / "last.safetensors"), "owner/rain", licence="CC-BY-4.0")
    entry = pull_push.pull("hf://owner/rain")
    assert (entry.task, entry.config, entry.steps, entry.licence) == ("derain", "own", 7, "cc-by-4.0")


def test_private_weights_do_not_get_into_a_public_repository(
    hub: Hub, tiny_file: Path, weights: bytes, logged_in: None
) -> None:
    pull_push.push(str(tiny_file), "owner/mine", private=True, licence="MIT")
    assert hub.repos["owner/mine"].private
    hub.repo("owner/net", {"README.md": card("mit")})
    with pytest.raises(WeightsError, match="owner/net already exists and is public"):
        pull_push.push(str(tiny_file), "owner/net", private=True, licence="MIT")
    assert len(hub.repos["owner/net"].commits) == 1


def test_a_push_that_the_hub_refuses_is_one_error(
    hub: Hub, tiny_file: Path, logged_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="upload to hf://other/net: your token lacks permission"):
        pull_push.push(str(tiny_file), "other/net", licence="MIT")
    hub.status["/upload/"] = 400
    with pytest.raises(WeightsError, match="upload to hf://owner/net: the Hub answers with error 400"):
        pull_push.push(str(tiny_file), "owner/net", licence="MIT")
    for repo, licence in (("net", "MIT"), ("owner/net", "all mine")):
        with pytest.raises(UsageError):
            pull_push.push(str(tiny_file), repo, licence=licence)


# The page about the authors' files


DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "hub.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", re.findall(r"`restore (weights import .*?)`", DOCUMENTATION))
def test_the_documented_imports_are_commands(run: Run, line: str) -> None:
    ran = run(*line.split())
    assert ran.code == 1 and ran.err.startswith(f"error: cannot read {line.split()[2]}: No such file")  # 2: wrong usage


# The environment


def test_the_commands_honour_the_clients_environment(tmp_path: Path) -> None:
    weights = catalogue.load_catalogue()["cs-kit-s-denoise"].path.read_bytes()
    with serve() as server:
        server.repo("owner/net", {"model.safetensors": weights}, private=True)
        environment = os.environ | {
            "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*",
        }  # fmt: skip

        def command(*args: str, **changes: str) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, "-m", "restore", "weights", *args]
            return subprocess.run(line, env=environment | changes, capture_output=True, text=True, check=False)

        ran = command("pull", "hf://owner/net", HF_HUB_OFFLINE="1")
        assert ran.returncode == 1 and "error: cannot download hf://owner/net: HF_HUB_OFFLINE is set" in ran.stderr
        assert server.asked == []
        ran = command("pull", "hf://owner/net")
        assert (ran.returncode, ran.stdout) == (0, "net\n"), ran.stderr
        asked = len(server.asked)
        ran = command("verify", "net", HF_HUB_OFFLINE="1")
        assert (ran.returncode, len(server.asked)) == (0, asked), ran.stderr
        assert (tmp_path / "home" / "hub" / "models--owner--net").is_dir()
