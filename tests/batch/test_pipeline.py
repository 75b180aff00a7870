from __future__ import annotations

import io
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restore.batch import pipeline
from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.planning import Job
from restore.errors import RestoreError, UsageError
from restore.images import Picture, read_pages, read_picture, write_pages, write_picture
from restore.inference.blending import Seam
from restore.inference.restored import Restored

AfterTile = Callable[[int, int], None]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(name: str, value: int = 1, **options: Any) -> Job:
    """A picture of one grey level, to be written to the folder `out`."""
    write_picture(Picture(np.full((4, 5, 3), value, np.uint8), **options), Path(name))
    return Job(Path(name), Path("out") / name)


def jobs_of(count: int) -> list[Job]:
    return [job(f"{i}.png", i) for i in range(count)]


def invert(picture: Picture, after_tile: AfterTile) -> Restored:
    """Stands in for a network that takes two tiles."""
    after_tile(1, 2)
    picture.pixels = np.iinfo(picture.pixels.dtype).max - picture.pixels
    after_tile(2, 2)
    return Restored(picture, (4, 3), 2, Seam(0.25, 1.5))


def run(jobs: list[Job], restore: Callable[[Picture, AfterTile], Restored] = invert, **options: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    Pipeline(restore, outcomes.append, **options).run(jobs)
    return outcomes


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {str(outcome.job.source): outcome.status for outcome in outcomes}


def test_every_job_is_done_in_order_and_tells_what_it_took() -> None:
    jobs = jobs_of(5)
    outcomes = run(jobs)
    assert [outcome.job for outcome in outcomes] == jobs
    assert [read_picture(Path(f"out/{i}.png")).pixels.flat[0] for i in range(5)] == [255, 254, 253, 252, 251]
    for outcome in outcomes:
        assert (outcome.status, outcome.reason) == ("restored", None)
        assert (outcome.tile, outcome.tiles, outcome.seam) == ((4, 3), 2, Seam(0.25, 1.5))
        assert 0 < outcome.network_seconds < outcome.seconds


def test_no_job_is_no_work() -> None:
    assert run([]) == []


def test_the_next_is_decoded_and_the_last_is_encoded_while_the_network_works(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, encoding, network_at_work = (threading.Event() for _ in range(3))

    def read(source: Path, **options: Any) -> Iterator[Picture]:
        picture = read_picture(source)
        if source.name == "2.png":
            decoded.set()
        yield picture

    def write(picture: Picture, target: Path, **options: Any) -> None:
        if target.name == "0.png":
            encoding.set()
            assert network_at_work.wait(20)
        write_picture(picture, target, **options)

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        if picture.pixels.flat[0] == 1:  # each side waits for the other: one after the other would never end
            assert decoded.wait(20) and encoding.wait(20)
            network_at_work.set()
        assert threading.current_thread() is threading.main_thread()
        return invert(picture, after_tile)

    monkeypatch.setattr(pipeline, "read_pages", read)
    monkeypatch.setattr(pipeline, "write_picture", write)
    assert set(statuses(run(jobs_of(3), restore)).values()) == {"restored"}


def test_a_picture_is_reported_during_the_next_one() -> None:
    reported: list[Outcome] = []
    first_is_reported = threading.Event()

    def report(outcome: Outcome) -> None:
        reported.append(outcome)
        first_is_reported.set()

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        if picture.pixels.flat[0] == 1:
            for done in range(1, 10_000):
                after_tile(done, 10_000)
                if first_is_reported.wait(0.01):
                    break
            assert [outcome.job.source for outcome in reported] == [Path("0.png")]
        return invert(picture, after_tile)

    Pipeline(restore, report).run(jobs_of(2))
    assert len(reported) == 2


class Watched:
    """Counts the pictures in memory, and which stages are at work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.most = 0
        self._alive: weakref.WeakSet[Picture] = weakref.WeakSet()
        monkeypatch.setattr(Picture, "__hash__", object.__hash__)
        monkeypatch.setattr(pipeline, "read_pages", self.read)
        monkeypatch.setattr(pipeline, "write_picture", self.write)
        monkeypatch.setattr(pipeline, "write_pages", self.write_pages)

    def read(self, source: Path, **options: Any) -> Iterator[Picture]:
        self.log.append(f"read {source.stem}")
        for picture in read_pages(source):
            self._alive.add(picture)
            self.most = max(self.most, len(self._alive))
            yield picture

    def write(self, picture: Picture, target: Path, **options: Any) -> None:
        write_picture(picture, target, **options)
        self.log.append(f"wrote {target.stem}")

    def write_pages(self, pages: Iterator[Picture], target: Path, **options: Any) -> None:
        write_pages(pages, target, **options)
        self.log.append(f"wrote {target.stem}")


def test_large_pictures_are_alone_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LARGE", 19)  # of 20 pixels
    watched = Watched(monkeypatch)
    run(jobs_of(3))
    assert watched.log == ["read 0", "wrote 0", "read 1", "wrote 1", "read 2", "wrote 2"]
    assert watched.most == 1


def test_at_most_three_pictures_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.setattr(pipeline, "LARGE", 20)
    run(jobs_of(20))
    assert watched.most <= 3


def test_a_result_that_is_large_is_written_before_the_network_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LARGE", 20)
    watched = Watched(monkeypatch)

    def enlarge(picture: Picture, after_tile: AfterTile) -> Restored:
        watched.log.append("network")
        return Restored(Picture(np.repeat(picture.pixels, 2, 0)), (4, 5), 1, None)

    run(jobs_of(3), enlarge)
    order = [line for line in watched.log if not line.startswith("read")]
    assert order == ["network", "wrote 0", "network", "wrote 1", "network", "wrote 2"]


# Failures


def test_a_broken_picture_does_not_stop_the_others() -> None:
    jobs = jobs_of(3)
    Path("1.png").write_text("this is no picture")
    outcomes = run(jobs)
    assert statuses(outcomes) == {"0.png": "restored", "1.png": "failed", "2.png": "restored"}
    assert outcomes[1].reason is not None and outcomes[1].reason.startswith("cannot read 1.png: ")
    assert sorted(os.listdir("out")) == ["0.png", "2.png"]


def fail_in(stage: str, name: str, error: Exception, patch: pytest.MonkeyPatch, outcomes: list[Outcome]) -> Pipeline:
    """A pipeline in which one stage of the picture called `name` fails."""

    def failing(name_of: Callable[..., str], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if name_of(*args) == name:
                raise error
            return real(*args, **options)

        return call

    restore: Callable[[Picture, AfterTile], Restored] = invert
    if stage == "read":
        patch.setattr(pipeline, "read_pages", failing(lambda source: source.name, read_pages))
    elif stage == "write":
        patch.setattr(pipeline, "write_picture", failing(lambda _, target: target.name, write_picture))
    else:
        restore = failing(lambda picture, _: f"{picture.pixels.flat[0]}.png", invert)
    return Pipeline(restore, outcomes.append)


@pytest.mark.parametrize("stage", ["read", "restore", "write"])
@pytest.mark.parametrize("name", ["0.png", "1.png", "2.png"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RestoreError("the result is not finite", hint="check"), "{}: the result is not finite"),
        (MemoryError(), "{}: not enough memory"),
        (OSError(36, "File name too long"), "{}: File name too long"),
    ],
)
def test_an_error_in_any_stage_is_that_pictures_own(
    stage: str, name: str, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Outcome] = []
    fail_in(stage, name, error, monkeypatch, outcomes).run(jobs_of(3))
    assert [str(outcome.job.source) for outcome in outcomes] == ["0.png", "1.png", "2.png"]
    assert [outcome.reason for outcome in outcomes if outcome.status == "failed"] == [reason.format(name)]
    assert sorted(os.listdir("out")) == sorted({"0.png", "1.png", "2.png"} - {name})


@pytest.mark.parametrize("stage", ["read", "restore", "write"])
def test_a_bug_in_any_stage_is_raised_after_what_was_begun_is_whole(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Outcome] = []
    failing = fail_in(stage, "1.png", ZeroDivisionError("a bug"), monkeypatch, outcomes)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        failing.run(jobs_of(3))
    assert [outcome.status for outcome in outcomes[:2]] == ["restored", "failed"]
    assert outcomes[1].reason == "1.png: ZeroDivisionError: a bug"
    assert "0.png" in os.listdir("out") and {"0.png", "2.png"}.issuperset(os.listdir("out"))


def test_wrong_usage_stops_all() -> None:
    def refuse(picture: Picture, after_tile: AfterTile) -> Restored:
        raise UsageError("tiles too small")

    with pytest.raises(UsageError):
        run(jobs_of(2), refuse)
    assert os.listdir("out") == []


def test_a_result_that_its_format_cannot_hold_is_refused_before_the_work() -> None:
    clear = job("a.png", alpha=np.zeros((4, 5), np.uint8))
    (outcome,) = run([Job(clear.source, Path("a.jpg"))], lambda *_: pytest.fail("the work was done"))
    assert outcome.reason is not None and "transparency" in outcome.reason


def test_a_folder_that_vanishes_is_an_error_of_its_picture() -> None:
    Path("file").write_bytes(b"")
    (outcome,) = run([Job(job("a.png").source, Path("file/out/a.png"))])
    assert outcome.reason == "a.png: cannot make the folder file/out: Not a directory"


@pytest.mark.parametrize("may_vanish", [True, False])
def test_a_picture_that_vanishes_before_it_is_read_is_skipped_only_if_it_may(may_vanish: bool) -> None:
    jobs = jobs_of(3)
    Path("1.png").unlink()
    outcomes = run(jobs, may_vanish=may_vanish, stop_on_error=True)
    assert list(statuses(outcomes).values()) == (
        ["restored", "skipped", "restored"] if may_vanish else ["restored", "failed"]
    )


def test_on_error_stop_leaves_the_rest_undone() -> None:
    jobs = jobs_of(4)
    Path("1.png").write_text("this is no picture")
    assert statuses(run(jobs, stop_on_error=True)) == {"0.png": "restored", "1.png": "failed"}


def test_an_error_does_not_keep_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)

    def fail(picture: Picture, after_tile: AfterTile) -> Restored:
        raise RestoreError("no")

    assert len(run(jobs_of(9), fail)) == 9
    assert watched.most <= 2  # this one and the next


# Interruption


def test_a_stop_is_after_the_current_tile_and_what_is_being_written_is_finished() -> None:
    stop = threading.Event()
    tiles: list[int] = []

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        if picture.pixels.flat[0] == 1:
            stop.set()
            for done in range(1, 4):
                tiles.append(done)
                after_tile(done, 4)
        return invert(picture, after_tile)

    assert statuses(run(jobs_of(4), restore, stop=stop)) == {"0.png": "restored"}
    assert tiles == [1]
    assert os.listdir("out") == ["0.png"]


def test_a_picture_whose_last_tile_is_done_is_written() -> None:
    stop = threading.Event()

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        stop.set()
        after_tile(1, 1)
        return Restored(picture, (4, 5), 1, None)

    assert statuses(run(jobs_of(2), restore, stop=stop)) == {"0.png": "restored"}


# Pipes


def test_a_pipe_gets_the_format_of_its_source_or_the_one_that_is_asked_for() -> None:
    for format, head in ((None, b"RIFF"), ("png", b"\x89PNG")):
        pipe = io.BytesIO()
        source = io.BytesIO(job("a.webp").source.read_bytes())  # type: ignore[union-attr]
        (outcome,) = run([Job(source, pipe)], format=format)
        assert outcome.status == "restored" and pipe.getvalue().startswith(head)


def test_a_pipe_gets_tiff_where_its_sources_format_is_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Picture(np.zeros((4, 5, 3), np.uint16), source_format="RAW")
    monkeypatch.setattr(pipeline, "read_pages", lambda source, **options: (raw for _ in range(1)))
    pipe = io.BytesIO()
    (outcome,) = run([Job(Path("a.nef"), pipe)])
    assert outcome.status == "restored" and pipe.getvalue().startswith(b"II*\0")


def test_a_pipe_that_nobody_reads_is_an_error_of_its_picture() -> None:
    class Closed(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    (outcome,) = run([Job(job("a.png").source, Closed())])
    assert outcome.reason == "a.png: cannot write to the stream: Broken pipe"


@pytest.mark.parametrize("taken", ["before the network", "while the network works"])
@pytest.mark.parametrize("skip_existing", [True, False])
def test_a_file_that_appears_at_the_outputs_name_stays(taken: str, skip_existing: bool) -> None:
    jobs = jobs_of(2)

    def appear() -> None:
        os.makedirs("out", exist_ok=True)
        Path("out/0.png").write_text("the user's own")

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        if not Path("out/0.png").exists():
            appear()
        return invert(picture, after_tile)

    if taken == "before the network":
        appear()
    first, second = run(jobs, restore, skip_existing=skip_existing)
    assert first.status == ("skipped" if skip_existing else "failed") and second.status == "restored"
    assert "already exists" in (first.reason or "")
    assert Path("out/0.png").read_text() == "the user's own"


def test_a_file_that_appears_is_replaced_if_the_user_says_so() -> None:
    jobs = jobs_of(1)
    os.mkdir("out")
    Path("out/0.png").write_text("old")
    (outcome,) = run(jobs, overwrite=True)
    assert outcome.status == "restored" and read_picture(Path("out/0.png")).pixels[0, 0, 0] == 255


def test_what_a_killed_run_left_in_the_folder_is_removed() -> None:
    jobs = jobs_of(1)
    os.mkdir("out")
    Path("out/.restore-0123abcd-1-89abcdef.tmp").write_bytes(b"half")
    os.utime("out/.restore-0123abcd-1-89abcdef.tmp", (0, 0))
    run(jobs)
    assert os.listdir("out") == ["0.png"]


@pytest.mark.skipif(os.name != "posix", reason="has no permission bits")
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_has_no_wider_rights_than_its_source(overwrite: bool) -> None:
    private, open_to_all = job("a.png"), job("b.tif")
    os.chmod("a.png", 0o600)
    os.chmod("b.tif", 0o777)
    run([private, open_to_all], overwrite=overwrite)
    umask = os.umask(0o022)
    os.umask(umask)
    assert [os.stat(f"out/{name}").st_mode & 0o777 for name in ("a.png", "b.tif")] == [0o600, 0o666 & ~umask]


def test_an_output_gets_the_times_of_its_source_only_if_asked() -> None:
    taken = 1_000_000_000 * 10**9 + 100  # nanoseconds; in 2001
    for name, keep_times in (("a.png", True), ("b.png", False), ("c.png", True)):
        one = job(name)
        os.utime(name, ns=(taken, taken))
        if name == "c.png":  # replaces its source
            one = Job(Path(name), Path(name))
        run([one], keep_times=keep_times, overwrite=True)
        assert (abs(os.stat(one.target).st_mtime_ns - taken) < 1000) is keep_times  # type: ignore[arg-type]


# Pages and frames


def tiff_job(*values: int, target: str = "out/a.tif") -> Job:
    """A TIFF with a page for each grey level; the sizes differ."""
    with tifffile.TiffWriter("a.tif") as writer:
        for value in values:
            writer.write(np.full((4 + value, 5, 3), value, np.uint8), photometric="rgb", metadata=None)
    return Job(Path("a.tif"), Path(target))


def levels(path: str) -> list[int]:
    with tifffile.TiffFile(path) as file:
        return [int(page.asarray().flat[0]) for page in file.pages]


def test_every_page_is_restored_into_one_file() -> None:
    progress: list[float] = []
    first, second = run([tiff_job(1, 2, 3), job("b.png")], progress=lambda done, total: progress.append(done / total))
    assert levels("out/a.tif") == [254, 253, 252]
    with tifffile.TiffFile("out/a.tif") as file:
        assert [page.shape for page in file.pages] == [(5, 5, 3), (6, 5, 3), (7, 5, 3)]
    assert (first.status, first.pages, first.tiles, first.tile) == ("restored", 3, 6, (4, 3))
    assert 0 < first.network_seconds < first.seconds
    assert (second.status, second.pages) == ("restored", 1)
    assert progress[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_each_page_is_written_before_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    run([tiff_job(*range(9))])
    assert levels("out/a.tif") == [255 - level for level in range(9)]
    assert watched.most <= 2


def test_no_other_picture_is_decoded_while_pages_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    run([tiff_job(1, 2, 3), *jobs_of(1)])
    assert watched.log == ["read a", "wrote a", "read 0", "wrote 0"]


def test_one_page_is_restored_alone_if_the_user_names_it() -> None:
    (outcome,) = run([tiff_job(1, 2, 3, target="out/a.png")], page=2)
    assert read_picture(Path("out/a.png")).pixels.flat[0] == 253
    assert (outcome.pages, outcome.notes) == (1, ())
    (outcome,) = run([tiff_job(1, 2, 3, target="out/b.png")], page=4)
    assert outcome.reason == "cannot read a.tif: it has 3 pictures, and no page 4"


@pytest.mark.parametrize(("target", "fits"), [("out/a.jpg", ".tif"), ("out/a.png", ".tif")])
def test_pages_that_the_output_cannot_hold_are_refused_before_the_work(target: str, fits: str) -> None:
    (outcome,) = run([tiff_job(1, 2, 3, target=target)], lambda *_: pytest.fail("the work was done"))
    assert (outcome.reason, outcome.hint) == (
        f"{target} holds one picture, and a.tif has 3",
        f"--page 1, or write {fits}",
    )
    assert os.listdir("out") == []


def gif_bytes(*levels: int) -> bytes:
    file = io.BytesIO()
    images = [Image.new("L", (6, 4), level) for level in levels]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=40)
    return file.getvalue()


def test_a_pipe_gets_an_animated_png_for_a_gif_and_says_what_holds_no_frames() -> None:
    pipe = io.BytesIO()
    (outcome,) = run([Job(io.BytesIO(gif_bytes(10, 20)), pipe)])
    assert outcome.pages == 2
    assert [page.pixels.flat[0] for page in read_pages(io.BytesIO(pipe.getvalue()))] == [245, 235]
    (outcome,) = run([Job(io.BytesIO(gif_bytes(10, 20)), pipe)], format="jpg")
    assert outcome.reason == "a pipe of JPEG holds one picture, and - has 2"
    assert outcome.hint == "--page 1, or write .png, .webp or .tif"


@pytest.mark.parametrize("stage", ["read", "restore", "write"])
def test_a_page_that_fails_fails_its_file_and_leaves_no_output(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        if stage == "restore" and picture.page == 2:
            raise RestoreError("the result is not finite", hint="check")
        if stage == "write" and picture.page == 2:
            picture.pixels = picture.pixels[:, :, 0]  # of a shape that no writer takes
            return Restored(picture, (4, 3), 1, None)
        return invert(picture, after_tile)

    jobs = [tiff_job(1, 2, 3), job("b.png")]
    if stage == "read":
        data = bytearray(Path("a.tif").read_bytes())
        with tifffile.TiffFile("a.tif") as file:
            at = file.pages[1].aspage().tags["StripOffsets"].valueoffset
        data[at : at + 4] = b"\xff\xff\xff\x7f"
        Path("a.tif").write_bytes(data)
    if stage == "write":
        with pytest.raises(ValueError, match="pixels must be"):
            run(jobs, restore)
    else:
        first, second = run(jobs, restore)
        assert (first.status, second.status) == ("failed", "restored")
        expected = "page 2: the result is not finite" if stage == "restore" else "page 2: cannot read a.tif: "
        assert expected in (first.reason or "")
    assert sorted(os.listdir("out")) == ([] if stage == "write" else ["b.png"])


def test_a_stop_between_two_pages_leaves_nothing() -> None:
    stop = threading.Event()

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        assert picture.page == 1
        stop.set()
        after_tile(1, 1)
        pytest.fail("the work went on")

    assert run([tiff_job(1, 2)], restore, stop=stop) == []
    assert os.listdir("out") == []


def test_a_file_whose_last_page_is_done_is_written() -> None:
    stop = threading.Event()

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        if picture.page == 2:
            stop.set()
        after_tile(1, 1)
        return Restored(picture, (4, 5), 1, None)

    assert statuses(run([tiff_job(1, 2), *jobs_of(1)], restore, stop=stop)) == {"a.tif": "restored"}
    assert levels("out/a.tif") == [1, 2]


# Damage


def damaged(patch: pytest.MonkeyPatch) -> None:
    def read(source: Path, **options: Any) -> Iterator[Picture]:
        for picture in read_pages(source, **options):
            picture.damage = "pixels are missing" if source.name == "1.png" else None
            yield picture

    patch.setattr(pipeline, "read_pages", read)


def test_damage_is_noted_and_what_could_be_read_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_of(2)
    damaged(monkeypatch)
    whole, broken = run(jobs)
    assert (whole.damage, whole.notes) == (None, ())
    assert (broken.status, broken.damage) == ("restored", "pixels are missing")
    assert broken.notes == ("damaged: pixels are missing; what could be read was restored",)


def test_a_damaged_file_fails_before_the_work_if_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_of(2)
    damaged(monkeypatch)

    def restore(picture: Picture, after_tile: AfterTile) -> Restored:
        assert picture.damage is None
        return invert(picture, after_tile)

    whole, broken = run(jobs, restore, on_damage="fail")
    assert (whole.status, broken.status) == ("restored", "failed")
    assert (broken.reason, broken.hint) == (
        "1.png: damaged: pixels are missing",
        "copy it again, or use --on-damage note",
    )


def test_pictures_above_the_limit_of_pixels_are_refused() -> None:
    assert statuses(run(jobs_of(1), max_pixels=20)) == {"0.png": "restored"}
    Path("out/0.png").unlink()
    assert statuses(run(jobs_of(1), max_pixels=19)) == {"0.png": "failed"}
