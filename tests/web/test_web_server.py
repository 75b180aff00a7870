"""The local page's server as a browser uses it, by HTTP."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from web_client import Client

from restore.images import Picture, read_picture
from restore.inference.region import Place
from restore.inspection.inspect import inspect
from restore.web.networks import Networks
from restore.web.server import Server

pytest_plugins = ["web_fixtures"]


@pytest.fixture
def tab(server: Server) -> Client:
    return Client(server).open()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG with EXIF, a profile-free picture of 96 x 64 pixels."""
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(30, 220, (64, 96, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90, exif=exif, dpi=(300, 300))
    return path


def test_a_picture_is_inspected_as_soon_as_it_is_there(
    tab: Client, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restore.web.picture_work.inspect", inspect)
    facts = tab.upload(photo)["facts"]
    assert {"words", "advised", "noise", "tasks"} <= facts.keys()
    assert (facts["width"], facts["height"], facts["format"], facts["bits"]) == (64, 96, "JPEG", 8)
    (work,) = tab.seen().works.values()
    small = Image.open(io.BytesIO(tab.ask("GET", f"{tab.session}/jobs/{work['id']}/thumb").body))
    assert small.size == (64, 96)


@pytest.mark.parametrize("steps", ["denoise", "denoise:strength=0.5"])
def test_a_download_has_the_bytes_that_the_command_writes(tab: Client, photo: Path, run: Run, steps: str) -> None:
    done = tab.restore(tab.upload(photo)["id"], steps)
    assert (done["state"], done["result"]) == ("done", "photo_restored.jpg")
    download = tab.ask("GET", f"{tab.session}/jobs/{done['id']}/result")
    strength = steps.partition("strength=")[2] or "1"
    assert run("denoise", str(photo), "-o", "out.jpg", "--strength", strength).code == 0
    assert download.body == Path("out.jpg").read_bytes()
    assert b"a camera" in download.body and b"tiny-denoise" in download.body  # EXIF and history
    disposition = "attachment; filename=\"photo_restored.jpg\"; filename*=UTF-8''photo_restored.jpg"
    assert download.headers["content-disposition"] == disposition


def test_a_crop_shows_its_part_before_and_after(tab: Client, tmp_path: Path) -> None:
    pixels = np.full((80, 100, 3), 50, np.uint8)
    pixels[20:50, 10:60] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    done = tab.restore(tab.upload(tmp_path / "a.png")["id"], region=[10, 20, 50, 30])
    assert (done["state"], done["width"], done["height"], done["scale"]) == ("done", 50, 30, 1)
    means = [
        np.asarray(Image.open(io.BytesIO(tab.ask("GET", f"{tab.session}/jobs/{done['id']}/{name}").body))).mean()
        for name in ("before", "after")
    ]
    assert means == pytest.approx([200, 55], abs=0.5)  # the network inverts


def test_several_steps_run_in_one_job(tab: Client, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(30, 220, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = tab.upload(tmp_path / "a.png")["id"]
    done = tab.restore(picture, "denoise,denoise")
    (tmp_path / "out.png").write_bytes(tab.ask("GET", f"{tab.session}/jobs/{done['id']}/result").body)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.png").pixels, pixels)  # inverted twice
    assert tab.restore(picture, "denoise,denoise", region=[4, 8, 20, 10])["state"] == "done"


def test_progress_counts_up_to_the_total(tab: Client, photo: Path) -> None:
    done = tab.restore(tab.upload(photo)["id"])
    assert done["done"] == done["total"] > 0


def test_tabs_do_not_see_each_other(server: Server, photo: Path) -> None:
    one, two = Client(server).open(), Client(server).open()
    picture = one.upload(photo)["id"]
    done = one.restore(picture)
    assert two.ask("GET", f"{two.session}/jobs/{done['id']}/result").status == 404
    assert two.ask("POST", f"{two.session}/pictures/{picture}/remove", "{}").status == 404
    one.ask("POST", f"{one.session}/close", "{}")
    assert two.restore(two.upload(photo)["id"])["state"] == "done"


def test_closing_a_tab_removes_its_files_and_gives_back_its_room(server: Server, photo: Path) -> None:
    tab = Client(server).open()
    tab.restore(tab.upload(photo)["id"])
    assert server.storage.used > photo.stat().st_size
    assert tab.ask("POST", f"{tab.session}/close", "{}").status == 200
    assert server.storage.used == 0
    assert [path.name for path in server.storage.folder.iterdir()] == ["lock"]
    assert tab.ask("GET", f"{tab.session}/events").status == 404


def test_cancelling_stops_between_tiles_and_the_next_job_runs(
    tab: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((300, 900, 3), np.uint8)).save(tmp_path / "a.png")
    picture = tab.upload(tmp_path / "a.png")["id"]
    tiles, go = threading.Event(), threading.Event()
    from tiny_networks import Tiny

    forward = Tiny.forward

    def slow(self, degraded):  # type: ignore[no-untyped-def]
        tiles.set()
        assert go.wait(10)
        return forward(self, degraded)

    monkeypatch.setattr(Tiny, "forward", slow)
    monkeypatch.setattr("restore.inference.restorer.automatic_side", lambda *args: 256)
    running_one, waiting = tab.start(picture)["id"], tab.start(picture)["id"]
    assert tiles.wait(10)
    for work in (running_one, waiting):
        assert tab.ask("POST", f"{tab.session}/jobs/{work}/cancel", "{}").status == 200
    go.set()
    first, second = tab.end_of(running_one), tab.end_of(waiting)
    assert (first["state"], first["done"], second["state"], second["done"]) == ("cancelled", 1, "cancelled", 0)
    assert tab.restore(picture)["state"] == "done"


def test_a_file_that_is_no_picture_fails_with_the_name_that_the_user_gave(tab: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    picture = tab.upload(tmp_path / "notes.txt")
    (work,) = tab.seen().works.values()
    assert (work["state"], picture["facts"]) == ("failed", None)
    assert work["reason"] == "cannot read notes.txt: it is text"


def test_a_restoration_that_fails_says_why_without_our_paths(server: Server, tab: Client, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20, 4), np.uint8)).save(tmp_path / "a.png")
    failed = tab.restore(tab.upload(tmp_path / "a.png")["id"], format="jpg")
    assert failed["state"] == "failed"
    assert "JPEG cannot hold the picture's transparency" in failed["reason"]
    assert str(server.storage.folder) not in failed["reason"]


@pytest.mark.parametrize("steps", ["denoise:weights=panet-s-denoise-gaussian", "upscale:2"])
def test_a_crop_has_the_bytes_of_that_part_of_the_whole(steps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.inference.restorer.automatic_side", lambda *args: 176)  # several tiles
    networks, region = Networks(device="cpu"), (101, 63, 57, 41)
    picture = Picture(np.random.default_rng(0).integers(0, 100, (110, 203, 3)).astype(np.uint8))
    whole = networks.restore(picture, steps, lambda done, total: None).picture
    before, after = networks.restore_region(picture, steps, region, lambda done, total: None)
    scale = whole.pixels.shape[0] // 110
    np.testing.assert_array_equal(before.pixels, Place(*region).cut(picture).pixels)
    np.testing.assert_array_equal(after.picture.pixels, Place(*region).scaled(scale).cut(whole).pixels)
