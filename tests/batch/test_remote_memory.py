"""Inputs and outputs at URLs, in a store of this process: `memory://`."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tifffile
from conftest import Run, save
from PIL import Image

from restore.batch import planning, remote
from restore.batch.job import Job
from restore.batch.pipeline import Outcome, Pipeline
from restore.errors import PictureError, UsageError
from restore.images import Picture, read_picture
from restore.inference.restored import Restored


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which is empty after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def store(temporary: Path) -> Iterator[Any]:
    """An empty store; no test may leave a temporary file, here or there."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    assert list(temporary.iterdir()) == []
    assert not [name for name in system.store if name.endswith(".tmp")]
    system.store.clear()


@pytest.fixture
def denoise(run: Run, tiny_file: Path) -> Any:
    """Runs `restore denoise` with the network that inverts."""
    return lambda *args: run("denoise", *args, "--weights", str(tiny_file))


def upload(store: Any, *names: str) -> None:
    """Pictures of noise, each another one, in the store and in this folder under the same name."""
    for seed, name in enumerate(names):
        save(name, seed=seed)
        store.pipe_file(f"/{name}", Path(name).read_bytes())


def test_a_folder_in_a_store_gives_the_same_bytes_as_a_folder_here(denoise: Any, store: Any) -> None:
    upload(store, "in/a.png", "in/b.jpg", "in/deep/c.png", "in/.hidden/d.png")
    store.pipe_file("/in/notes.txt", b"x")
    assert denoise("in", "-r", "-o", "here").code == 0
    ran = denoise("memory://in", "-r", "-o", "memory://out")
    assert ran.code == 0, ran.err
    places = ["a.png", "b.jpg", "deep/c.png"]
    assert ran.out.split() == [f"memory://out/{place}" for place in places]
    assert "left out of memory://in: 1 .txt" in ran.err and "3 restored" in ran.err
    for place in places:
        assert store.cat_file(f"/out/{place}") == Path("here", place).read_bytes()


@pytest.mark.parametrize(
    ("source", "output", "target"),
    [
        ("memory://in/a.png", "b.png", "b.png"),
        ("memory://in/a.png", "new/", "new/a.png"),
        ("in/a.png", "memory://out/b.png", "memory://out/b.png"),
        ("in/a.png", "memory://out/", "memory://out/a.png"),
        ("memory://in/a.png", "memory://in", "memory://in/a_clean.png"),
        ("memory://in/*.png", "memory://out", "memory://out/a_clean.png"),
        ("memory://in", "out", "out/a_clean.png"),
        ("in", "memory://out", "memory://out/a_clean.png"),
        ("memory://in/a.png", None, "memory://in/a_clean.png"),
    ],
)
def test_ends_here_and_in_a_store_can_be_mixed(
    denoise: Any, store: Any, source: str, output: str | None, target: str
) -> None:
    upload(store, "in/a.png")
    args = ["--suffix", "_clean"] if "_clean" in target else []
    ran = denoise(source, *(["-o", output] if output else []), *args)
    assert (ran.code, ran.out) == (0, f"{target}\n"), ran.err
    written = store.cat_file(target[8:]) if "://" in target else Path(target).read_bytes()
    Path("written.png").write_bytes(written)
    difference = read_picture(Path("written.png")).pixels.astype(int) + read_picture(Path("in/a.png")).pixels
    assert abs(difference - 255).max() <= 1


def test_outputs_that_exist_are_skipped_or_refused_or_replaced(denoise: Any, store: Any) -> None:
    upload(store, *(f"in/{i:02}.png" for i in range(40)))  # so many that folders are listed
    store.pipe_file("/out/07.png", b"mine")
    ran = denoise("memory://in", "-o", "memory://out")
    assert ran.code == 1 and "error: memory://out/07.png already exists\n" in ran.err
    ran = denoise("memory://in", "-o", "memory://out", "--skip-existing", "--json", "report.json")
    assert ran.code == 0 and "39 restored, 1 skipped" in ran.err and store.cat_file("/out/07.png") == b"mine"
    records = json.loads(Path("report.json").read_text())["pictures"]
    assert records[0]["source"] == "memory://in/00.png" and records[0]["target"] == "memory://out/00.png"
    assert [record["status"] for record in records].count("restored") == 39
    assert denoise("memory://in/07.png", "-o", "memory://out/", "--overwrite").code == 0
    assert store.cat_file("/out/07.png") != b"mine"


def test_shares_and_a_dry_run_of_a_store(denoise: Any, store: Any) -> None:
    upload(store, *(f"in/{i}.png" for i in range(8)))
    shares = [
        denoise("memory://in", "-o", "memory://out", "--shard", f"{i}/2", "--dry-run").out.splitlines() for i in (1, 2)
    ]
    whole = [f"memory://in/{i}.png -> memory://out/{i}.png" for i in range(8)]
    assert sorted(shares[0] + shares[1]) == whole and all(shares)
    of_here = denoise("in", "-o", "out", "--shard", "1/2", "--dry-run").out.splitlines()
    assert [line.replace("memory://", "") for line in shares[0]] == of_here
    assert not store.exists("/out")


def test_a_broken_picture_stops_no_other_and_is_named_by_its_url(denoise: Any, store: Any) -> None:
    upload(store, "in/a.png", "in/c.png")
    store.pipe_file("/in/b.png", b"no picture")
    ran = denoise("memory://in", "-o", "memory://out", "--json", "report.json")
    assert ran.code == 1 and "2 restored, 1 failed" in ran.err
    record = json.loads(Path("report.json").read_text())["pictures"][1]
    assert record["status"] == "failed" and "memory://in/b.png" in record["reason"]
    assert ".tmp" not in ran.err + record["reason"]
    assert sorted(store.ls("/out", detail=False)) == ["/out/a.png", "/out/c.png"]


def test_pages_and_notes_go_through_a_store(denoise: Any, store: Any) -> None:
    upload(store, "in/a.png")
    frames = [Image.new("RGB", (20, 20), (value, 100, 100)) for value in (10, 20)]
    frames[0].save("two.tif", save_all=True, append_images=frames[1:])
    store.put_file("two.tif", "/in/two.tif")
    tifffile.imwrite("cut.tif", read_picture(Path("in/a.png")).pixels, photometric="rgb", rowsperstrip=8)
    store.pipe_file("/in/cut.tif", Path("cut.tif").read_bytes()[:-2000])
    ran = denoise("memory://in", "-o", "memory://out", "--json", "report.json")
    whole, cut, two = json.loads(Path("report.json").read_text())["pictures"]
    assert ran.code == 0 and (whole["pages"], whole["notes"], two["pages"]) == (1, [], 2)
    assert cut["damage"] and "memory://in/cut.tif: damaged" in ran.err


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["memory://none.png", "-o", "a.png"], "cannot read memory://none.png: it does not exist"),
        (["memory://none/", "-o", "out"], "cannot read memory://none/: it does not exist"),
        (["memory://none/", "-r", "-o", "out"], "cannot read memory://none/: it does not exist"),
        (
            ["memory://in", "-o", "memory://b.png"],
            "memory://b.png is the name of a file, but these inputs need a folder",
        ),
        (["memory://in/deep.txt/", "-o", "out"], "no pictures in memory://in/deep.txt/"),
        (["memory://in/a.png", "-o", "memory://in/a.png"], "memory://in/a.png would replace its own source"),
        (
            ["memory://in/a.png", "-o", "memory://b"],
            "cannot write memory://b: its name has no extension that tells the",
        ),
        (
            ["a.png", "-o", "https://example.org/a.png"],
            "cannot write https://example.org/a.png: https:// can only be read",
        ),
        (
            ["https://example.org/a.png", "--suffix", "_b"],
            "cannot write https://example.org/a.png: https:// can only be",
        ),
        (["nothing://in/a.png", "-o", "out/"], "cannot read nothing://in/a.png: nothing:// is not known"),
        (["memory://in", "-o", "out", "--sidecars", "copy"], "--sidecars copies files of this machine only"),
        (["in", "-o", "memory://out", "--keep-times"], "--keep-times cannot set the times of a file at a URL"),
        (["memory://in", "-o", "out", "--watch"], "--watch takes folders of this machine, and memory://in is a URL"),
    ],
)
def test_what_cannot_be_is_one_error(denoise: Any, store: Any, args: list[str], error: str) -> None:
    upload(store, "in/a.png", "in/deep.txt/b.txt.png")
    store.mv("/in/deep.txt/b.txt.png", "/in/deep.txt/b.txt")
    save("a.png")
    ran = denoise(*args)
    assert ran.code in (1, 2) and f"error: {error}" in ran.err, ran.err
    assert not store.exists("/out") and not os.path.exists("out")


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, module, line in (
        ("s3", "s3fs", "pip install 'restore-photos[remote]'"),
        ("gs", "gcsfs", "pip install gcsfs"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
        with pytest.raises(UsageError, match=f"{scheme}:// needs a package") as raised:
            planning.plan([f"{scheme}://bucket/a.png"], "b.png")
        assert raised.value.hint == line


def test_what_breaks_on_the_way_is_told_and_leaves_nothing(
    denoise: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(store, "in/a.png", "in/b.png", "in/c.png")
    get, put = type(store).get_file, type(store).put_file

    def half(self: Any, path: str, file: str, **more: Any) -> None:
        get(self, path, file, **more)
        if path.endswith("a.png"):
            with open(file, "rb+") as cut:
                cut.truncate(100)

    def broken(self: Any, file: str, path: str, **more: Any) -> None:
        put(self, file, path, **more)
        if os.path.getsize(file) == len(Path("here/b.png").read_bytes()) and self.cat_file(path) == expected:
            raise ConnectionResetError("connection reset by peer")

    assert denoise("in/b.png", "-o", "here/").code == 0
    expected = Path("here/b.png").read_bytes()
    monkeypatch.setattr(type(store), "get_file", half)
    monkeypatch.setattr(type(store), "put_file", broken)
    ran = denoise("memory://in", "-o", "memory://out")
    assert ran.code == 1 and "1 restored, 2 failed" in ran.err
    assert "cannot read memory://in/a.png: the connection failed (100 of" in ran.err
    assert "cannot write memory://out/b.png: the connection failed (connection reset by peer)" in ran.err
    assert "--skip-existing goes on" in ran.err
    assert store.ls("/out", detail=False) == ["/out/c.png"]


def test_an_output_that_another_run_wrote_meanwhile_is_skipped(
    denoise: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(store, "in/a.png", "in/b.png")
    fetch = remote.fetch

    def meanwhile(url: str, file: Path) -> None:
        fetch(url, file)
        store.pipe_file("/out/a.png", b"theirs")

    monkeypatch.setattr(remote, "fetch", meanwhile)
    ran = denoise("memory://in", "-o", "memory://out", "--skip-existing")
    assert ran.code == 0 and "1 restored, 1 skipped" in ran.err and store.cat_file("/out/a.png") == b"theirs"
    store.rm("/out", recursive=True)
    ran = denoise("memory://in", "-o", "memory://out")
    assert ran.code == 1 and "memory://out/a.png already exists" in ran.err


def test_the_folder_of_outputs_inside_the_inputs_is_left_out(store: Any) -> None:
    for name in ("/in/a.png", "/in/out/a.png"):
        store.pipe_file(name, b"x")
    plan = planning.plan(["memory://in"], "memory://in/out", recursive=True)
    assert [str(job) for job in plan.jobs] == ["memory://in/a.png -> memory://in/out/a.png"]


def test_names_that_lead_out_of_a_folder_are_left_out(monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    monkeypatch.setattr(type(store), "find", lambda self, path: ["/in/../../etc/a.png", "/in//b.png", "/other/c.png"])
    plan = planning.plan(["memory://in/"], "out", recursive=True)
    assert [str(job) for job in plan.jobs] == [f"memory://in/b.png -> {os.path.join('out', 'b.png')}"]


def test_auto_tells_what_it_would_do_with_a_picture_in_a_store(run: Run, store: Any) -> None:
    upload(store, "in/a.png")
    store.pipe_file("/in/b.png", b"x")
    ran = run("auto", "memory://in", "-o", "out", "--dry-run")
    assert ran.out.startswith(f"memory://in/a.png -> {os.path.join('out', 'a.png')}: ")
    assert "memory://in/b.png" in ran.err and ".tmp" not in ran.err


def test_what_may_exist_is_not_replaced_where_the_store_cannot_tell(
    denoise: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(store, "in/a.png", "in/b.png")
    store.pipe_file("/out/a.png", b"mine")
    info = type(store).info

    def unsure(self: Any, path: str, **more: Any) -> Any:
        if path.startswith("/out/"):
            raise TimeoutError("timed out")
        return info(self, path, **more)

    monkeypatch.setattr(type(store), "info", unsure)
    for flags in (["--skip-existing"], []):
        ran = denoise("memory://in", "-o", "memory://out", *flags)
        assert ran.code == 1 and ran.err.startswith(
            "error: cannot read memory://out: the connection failed (timed out)"
        )
        assert store.cat_file("/out/a.png") == b"mine"


def test_no_access_is_told(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, path: str, **more: Any) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(type(store), "info", refuse)
    with pytest.raises(PictureError, match=r"cannot read memory://in/a.png: no access \(Forbidden\)") as raised:
        planning.plan(["memory://in/a.png"], "b.png")
    assert raised.value.hint == "check the credentials for memory://, and the name"


def test_the_next_is_downloaded_and_the_last_uploaded_while_the_network_works(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    upload(store, "in/0.png", "in/1.png", "in/2.png")
    events = {name: threading.Event() for name in ("fetched 1", "fetched 2", "put 0", "put 1")}
    fetch, put, count = remote.fetch, remote.put, itertools.count()

    def told_fetch(url: str, file: Path) -> None:
        fetch(url, file)
        events.get(f"fetched {url[-5]}", threading.Event()).set()

    def told_put(file: Path, url: str, *, overwrite: bool) -> None:
        put(file, url, overwrite=overwrite)
        events.get(f"put {url[-5]}", threading.Event()).set()

    def restore(picture: Picture, after_tile: Any) -> Restored:
        number = next(count)
        for name in (f"fetched {number + 1}", f"put {number - 1}"):
            assert events.get(name, SET).wait(20), name
        return Restored(picture, (8, 8), 1, None)

    SET = threading.Event()
    SET.set()
    monkeypatch.setattr(remote, "fetch", told_fetch)
    monkeypatch.setattr(remote, "put", told_put)
    outcomes: list[Outcome] = []
    Pipeline(restore, outcomes.append).run([Job(f"memory://in/{i}.png", f"memory://out/{i}.png") for i in range(3)])
    assert [outcome.status for outcome in outcomes] == ["restored"] * 3, outcomes


def test_a_picture_and_a_page_of_links_are_read_from_the_web(denoise: Any, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="needs aiohttp: pip install aiohttp")
    save("web/my photo.png")
    save("web/b.png", seed=1)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory="web"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        web = f"http://127.0.0.1:{server.server_address[1]}"
        ran = denoise(f"{web}/my%20photo.png?size=large", "-o", "out/")
        assert (ran.code, ran.out) == (0, f"{os.path.join('out', 'my photo.png')}\n"), ran.err
        ran = denoise(f"{web}/", "-o", "all")
        assert ran.code == 0 and "2 restored" in ran.err, ran.err
        ran = denoise(f"{web}/none.png", "-o", "none.png")
        assert (ran.code, ran.err) == (1, f"error: cannot read {web}/none.png: it does not exist\n")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    ran = denoise(f"{web}/b.png", "-o", "none.png")
    assert ran.code == 1 and f"error: cannot read {web}/b.png: the connection failed (" in ran.err
