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

from restore.batch import pipeline
from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.planning import Job
from restore.errors import RestoreError, UsageError
from restore.images import Picture, read_pages, read_picture, write_picture
from restore.inference.blending import Seam
from restore.inference.restorer import Restored

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

    def read(self, source: Path, **options: Any) -> Iterator[Picture]:
        self.log.append(f"read {source.stem}")
        for picture in read_pages(source):
            self._alive.add(picture)
            self.most = max(self.most, len(self._alive))
            yield picture

    def write(self, picture: Picture, target: Path, **options: Any) -> None:
        write_picture(picture, target, **options)
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
