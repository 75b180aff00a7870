"""Hostile and broken Hubs: nothing outside the cache is written, and one error of ours says why."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_hub import ANSWERS, CONFIGS, QUICK, attack, tree
from hub_fixtures import client_of_a_hub
from hub_server import TOKEN, Answer, Hub, serve
from huggingface_hub import constants

from restore import checkpoints
from restore.checkpoints import catalogue, hub_client, pull_push
from restore.checkpoints.hub import Address
from restore.errors import WeightsError

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that is slow after a second, and a logged-in client with an empty cache and Xet."""
    monkeypatch.setattr(hub_client, "PATIENCE", 1)
    with client_of_a_hub(tmp_path, monkeypatch, takes_xet=True) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def quick_or_slow() -> list[object]:
    return [pytest.param(name, id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in ANSWERS]


@pytest.mark.parametrize("name", quick_or_slow())
def test_a_hostile_answer_writes_nothing_outside_the_cache_and_is_one_error(
    hub: Hub, tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    hostile = ANSWERS[name]
    hub.repo("owner/net", {"model.safetensors": tiny_file.read_bytes(), "config.json": b"{}"})
    before, started = tree(tmp_path), time.monotonic()
    with serve() as other:
        attack(hub, hostile, outside=tmp_path / "outside", other=other.url)
        if hostile.says is None:
            pull_push.pull("hf://owner/net")
        else:
            with pytest.raises(WeightsError) as raised:
                pull_push.pull("hf://owner/net")
            assert hostile.says in raised.value.message
            assert_in_our_words(raised.value)
            assert not (catalogue.own_folder() / "catalogue.toml").exists()
        assert other.asked == []
    own = catalogue.own_folder().relative_to(tmp_path).as_posix() if hostile.says is None else "hub"
    odd = [one for one in tree(tmp_path) - before if not one.startswith(("hub/models--owner--net", own))]
    assert set(odd) <= {"hub", "hub/.locks", "hub/.locks/models--owner--net", "hub/CACHEDIR.TAG"} | {
        one for one in odd if re.fullmatch(r"hub/\.locks/models--owner--net/[0-9a-f]{40,64}\.lock", one)
    }
    assert not list((tmp_path / "hub").rglob("*.incomplete"))
    assert {one.token for one in hub.asked if one.path.startswith("/large/")} <= {None}
    assert "EVIL" not in "".join(capfd.readouterr())
    assert time.monotonic() - started < 10


def assert_in_our_words(error: WeightsError) -> None:
    """No text of a library is in the message, nothing in it controls a terminal, and there is a hint."""
    foreign = ("httpx", "Errno", "Exception", "Error", "force_download", "expecting", "Expecting", "line 1", "codec")
    assert not [word for word in foreign if word in error.message]
    assert error.message.isprintable() and len(error.message) < 400
    assert error.hint and error.hint.isprintable()


def test_every_quick_answer_exists() -> None:
    assert set(QUICK) <= ANSWERS.keys()


@pytest.mark.parametrize("address", [
    "hf://owner/net@..%2F..%2Foutside/model.safetensors", "hf://owner/net@%2Fetc%2Fx", "hf://owner/net@a%00b",
    "hf://owner/net/../../x.safetensors", "hf://owner/net//x.safetensors", "hf://owner/net/a\\..\\b.safetensors",
    "hf://owner/net/C:x.safetensors", "hf://owner/net/a\0.safetensors", "hf://owner/net@a%0Ab",
    "hf://owner/net/" + "a" * 300, "hf://owner/net/a/./b.safetensors",
])  # fmt: skip
def test_an_address_that_leads_out_of_the_cache_is_refused(hub: Hub, tmp_path: Path, address: str) -> None:
    before = tree(tmp_path)
    with pytest.raises(WeightsError, match=r"is not a (revision|file) on the Hub"):
        checkpoints.resolve(address)
    assert (hub.asked, tree(tmp_path)) == ([], before)
    with pytest.raises(WeightsError, match="on the Hub"):
        Address("owner/net", file="../x").check()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_is_refused_in_words(hub: Hub, tiny_file: Path, name: str) -> None:
    content, says = CONFIGS[name]
    hub.repo("owner/net", {"model.safetensors": tiny_file.read_bytes(), "config.json": content})
    with pytest.raises(WeightsError) as raised:
        pull_push.pull("hf://owner/net")
    assert says in raised.value.message and "config.json" in raised.value.message
    assert_in_our_words(raised.value)


@pytest.mark.parametrize(("content", "says"), [
    (b"<!doctype html><html></html>", "is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "is a Git LFS pointer"),
    (b"", "is empty"),
    (b"PK\x05\x06" + bytes(18), "is a zip archive without tensors"),
])  # fmt: skip
def test_pulled_files_of_another_kind_are_called_what_they_are(hub: Hub, content: bytes, says: str) -> None:
    hub.repo("owner/net", {"model.safetensors": content})
    with pytest.raises(WeightsError, match=says) as raised:
        pull_push.pull("hf://owner/net")
    assert raised.value.hint


def test_a_server_that_cuts_every_answer_and_ignores_ranges_is_left(
    hub: Hub, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "_MOST_REQUESTS", 4)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16)
    hub.repo("owner/net", {"model.safetensors": tiny_file.read_bytes()})

    def cut(method: str, path: str, answer: Answer) -> None:
        if path.startswith("/large/"):
            answer.status, answer.headers = 200, {"Content-Length": "9999"}

    hub.twist = cut
    hub.stated_size = 9999
    with pytest.raises(WeightsError, match="it takes more than 4 requests"):
        pull_push.pull("hf://owner/net")


@pytest.mark.parametrize("licence", ["\x1b[2J", "a" * 5000, ["mit"], {"a": 1}, 5, "a\nb"])
def test_a_licence_that_is_no_short_text_is_unknown(hub: Hub, tiny_file: Path, licence: object) -> None:
    def change(method: str, path: str, answer: Answer) -> None:
        if path.startswith("/api/models/"):
            assert isinstance(answer.body, bytes)
            answer.body = json.dumps(json.loads(answer.body) | {"cardData": {"license": licence}}).encode()

    hub.repo("owner/net", {"model.safetensors": tiny_file.read_bytes()})
    hub.twist = change
    assert pull_push.pull("hf://owner/net").licence == "unknown"


@pytest.mark.parametrize(("body", "pause", "says"), [
    (b'{"commitOid": "../x", "commitUrl": "{hub}/owner/net/commit/x"}', 0, "no valid commit"),
    (b"[]", 0, "makes no sense"),
    (b"{}", 0.05, "bytes per second"), (b"{}", 2, "in time|bytes per second"),
])  # fmt: skip
def test_an_upload_trusts_the_hub_no_more(
    hub: Hub, tiny_file: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, pause: float, says: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the Hub of the tests has none

    def change(method: str, path: str, answer: Answer) -> None:
        if path == "/api/models/owner/net/commit/main":
            answer.body, answer.pause = body.replace(b"{hub}", hub.url.encode()), pause

    hub.twist = change
    with pytest.raises(WeightsError, match=f"cannot upload to hf://owner/net: .*({says})") as raised:
        pull_push.push(str(tiny_file), "owner/net", licence="MIT")
    assert_in_our_words(raised.value)


def test_an_upload_may_use_xet() -> None:
    import httpx2

    headers = {"X-Xet-Hash": "0" * 64, "X-Xet-Cas-Url": "https://cas.example", "X-Xet-Access-Token": "a"}
    request = httpx2.Request("GET", "https://hub.example/api/models/owner/net/xet-write-token/main")
    response = httpx2.Response(200, headers=headers, request=request, content=b"{}")
    hub_client.Exchange(largest=9).after(response)
    assert {name for name in response.headers if name.startswith("x-xet")} == {"x-xet-cas-url", "x-xet-access-token"}


@pytest.mark.parametrize(("place", "gets_it"), [
    ("http://localhost:{port}/x", False), ("http://127.0.0.1:{other}/x", False), ("https://127.0.0.1:{port}/x", False),
    ("http://127.0.0.1.evil.example:{port}/x", False), ("http://127.0.0.1:{port}/x", True),
    ("http://hub@evil/x", False),
])  # fmt: skip
def test_only_the_hub_itself_gets_the_token(hub: Hub, place: str, gets_it: bool) -> None:
    import httpx2

    port = int(hub.url.rpartition(":")[2])
    request = httpx2.Request("GET", place.format(port=port, other=port + 1), headers={"Authorization": "Bearer a"})
    hub_client.Exchange(largest=1).before(request)
    assert ("Authorization" in request.headers) == gets_it


@pytest.mark.parametrize(("endpoint", "place", "gets_it"), [
    ("http://hub.example", "https://hub.example/x", True), ("https://hub.example", "http://hub.example/x", False),
    ("https://hub.example", "https://hub.example:443/x", True),
    ("https://hub.example", "https://HUB.example/x", True),
    ("https://hub.example", "https://a.hub.example/x", False),
    ("https://hub.example", "https://hub.example.com", False),
    ("http://hub.example:8080", "https://hub.example/x", False),
    ("https://hub.example", "https://hub.example:8/", False),
])  # fmt: skip
def test_the_token_follows_from_http_to_https_only(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, place: str, gets_it: bool
) -> None:
    import httpx2

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    request = httpx2.Request("HEAD", place, headers={"Authorization": "Bearer a"})
    hub_client.Exchange(largest=1).before(request)
    assert ("Authorization" in request.headers) == gets_it


def test_old_leftovers_of_killed_downloads_are_removed(hub: Hub, tiny_file: Path, tmp_path: Path) -> None:
    hub.repo("owner/net", {"model.safetensors": tiny_file.read_bytes()})
    blobs = tmp_path / "hub/models--owner--net/blobs"
    blobs.mkdir(parents=True)
    old, new = blobs / f"{'0' * 64}.12345678.incomplete", blobs / f"{'1' * 64}.12345678.incomplete"
    for path, age in ((old, 90_000), (new, 3_000)):
        path.write_bytes(b"part")
        os.utime(path, (time.time() - age,) * 2)
    pull_push.pull("hf://owner/net")
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(("number", "says"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "cannot be used")])
def test_a_cache_that_cannot_be_written_is_one_error(
    hub: Hub, tiny_file: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    hub.repo("owner/net", {"model.safetensors": tiny_file.read_bytes()})
    make = os.makedirs

    def fail(name: str, *args: object, **options: bool) -> None:
        if "models--" in os.fspath(name):
            raise OSError(number, os.strerror(number), name)
        make(name, **options)

    monkeypatch.setattr(os, "makedirs", fail)
    with pytest.raises(WeightsError, match=says) as raised:
        pull_push.pull("hf://owner/net")
    assert_in_our_words(raised.value)
    assert raised.value.hint and "HF_HOME" in raised.value.hint


@pytest.mark.parametrize(("endpoint", "says"), [
    ("http://127.0.0.1:9", "the connection is refused"), ("https://{here}", "no encrypted connection"),
    ("ftp://a", "is not one of HTTP"), ("http://[::bad", "is not one of HTTP"),
    ("http://no-such-host.invalid", "the name of the host is unknown"),
])  # fmt: skip
def test_each_fault_of_the_network_has_its_words(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, endpoint: str, says: str
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint.replace("{here}", hub.url.partition("//")[2]))
    with pytest.raises(WeightsError, match=says) as raised:
        pull_push.pull("hf://owner/net")
    assert_in_our_words(raised.value)


def test_a_proxy_that_is_not_there_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="refuse"):
        pull_push.pull("hf://owner/net")
