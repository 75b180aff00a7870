"""Buckets of a real S3 server on this machine (moto), by the real client (s3fs)."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, save

pytest.importorskip("s3fs", reason="needs s3fs: pip install 's3fs'")
pytest.importorskip("moto.server", reason="needs moto: pip install 'moto[server]'")

# A client's threads and sockets live as long as the process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An empty bucket named `bucket`, seen by this process and its children as AWS's own would be."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(use_listings_cache=False)
    system.call_s3("create_bucket", Bucket="bucket")
    yield system
    system.rm("bucket", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def denoise(run: Run, tiny_file: Path) -> Any:
    """Runs `restore denoise` with the network that inverts."""
    return lambda *args: run("denoise", *args, "--weights", str(tiny_file))


def upload(bucket: Any, *names: str) -> None:
    for seed, name in enumerate(names):
        save(name, seed=seed, side=32)
        bucket.pipe_file(f"bucket/{name}", Path(name).read_bytes())


def contents(bucket: Any, folder: str) -> list[str]:
    return sorted(bucket.find(f"bucket/{folder}"))


def test_a_folder_of_a_bucket_goes_to_a_bucket_with_the_same_bytes_as_here(denoise: Any, bucket: Any) -> None:
    upload(bucket, "in/a.png", "in/b #1?.png", "in/deep/c.jpg")
    assert denoise("in", "-r", "-o", "here").code == 0
    ran = denoise("s3://bucket/in", "-r", "-o", "s3://bucket/out")
    assert ran.code == 0 and "3 restored" in ran.err, ran.err
    assert ran.out.splitlines()[0] == "s3://bucket/out/a.png"
    assert contents(bucket, "out") == ["bucket/out/a.png", "bucket/out/b #1?.png", "bucket/out/deep/c.jpg"]
    for name in ("a.png", "b #1?.png", "deep/c.jpg"):
        assert bucket.cat_file(f"bucket/out/{name}") == Path("here", name).read_bytes()
    ran = denoise("s3://bucket/in", "-r", "-o", "s3://bucket/out", "--skip-existing")
    assert ran.code == 0 and "3 skipped" in ran.err
    ran = denoise("s3://bucket/in", "-o", "s3://bucket/out")
    assert ran.code == 1 and "s3://bucket/out/a.png already exists (and 1 more)" in ran.err


@pytest.mark.slow
def test_a_picture_goes_from_a_bucket_to_a_file_with_its_time(denoise: Any, bucket: Any) -> None:
    upload(bucket, "in/a.png")
    time.sleep(1.1)
    ran = denoise("s3://bucket/in/a.png", "-o", "b.png", "--keep-times")
    assert (ran.code, ran.out) == (0, "b.png\n"), ran.err
    assert os.stat("b.png").st_mtime == bucket.info("bucket/in/a.png")["LastModified"].timestamp()
    assert denoise("b.png", "-o", "s3://bucket/new/c.png").code == 0
    assert contents(bucket, "new") == ["bucket/new/c.png"]


def test_a_missing_bucket_is_one_error_before_any_work(denoise: Any, bucket: Any) -> None:
    upload(bucket, "in/a.png")
    ran = denoise("s3://none/in", "-o", "out")
    assert ran.code == 1 and ran.err.startswith("error: cannot read s3://none/in: it does not exist"), ran.err
    ran = denoise("in/a.png", "-o", "s3://none/out/")
    assert ran.code == 1 and ran.err == (
        "error: cannot write s3://none/out/: there is no bucket none\nhint:  use another -o\n"
    )


@pytest.mark.slow
def test_a_missing_picture_is_one_error(denoise: Any, bucket: Any) -> None:
    ran = denoise("s3://bucket/in/a.png", "-o", "b.png")
    assert (ran.code, ran.err) == (1, "error: cannot read s3://bucket/in/a.png: it does not exist\n")


@pytest.mark.slow
def test_without_credentials_the_error_says_so(denoise: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    upload(bucket, "in/a.png")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    for args, what in (
        (("s3://bucket/in", "-o", "out"), "read s3://bucket/in"),
        (("in/a.png", "-o", "s3://bucket/out/"), "write s3://bucket/out/"),
    ):
        ran = denoise(*args)
        assert ran.code == 1 and ran.err == (
            f"error: cannot {what}: no access (Unable to locate credentials)\n"
            "hint:  check the credentials for s3://, and the name\n"
        )


@pytest.mark.slow
def test_wrong_credentials_are_told_of_each_picture(denoise: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    upload(bucket, "in/a.png", "in/b.png")

    async def denied(self: Any, method: str, *args: Any, **more: Any) -> Any:
        if method == "get_object":
            from botocore.exceptions import ClientError
            from s3fs.errors import translate_boto_error

            raise translate_boto_error(
                ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, method)
            )
        return await call(self, method, *args, **more)

    call = s3fs.S3FileSystem._call_s3
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", denied)
    ran = denoise("s3://bucket/in", "-o", "s3://bucket/out")
    assert ran.code == 1 and "2 failed" in ran.err and contents(bucket, "out") == []
    for name in "ab":
        assert f"error: cannot read s3://bucket/in/{name}.png: no access (Access Denied)" in ran.err


@pytest.mark.slow
def test_a_server_that_is_gone_is_one_error(denoise: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    upload(bucket, "in/a.png")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    ran = denoise("s3://bucket/in", "-o", "out")
    assert ran.code == 1 and ran.err.startswith("error: cannot read s3://bucket/in: the connection failed"), ran.err
    assert len(ran.err.splitlines()) == 2


PROGRAM = """
import sys, time
sys.path[:0] = sys.argv[1:2]
from restore.networks import NETWORKS
from restore.inference.restorer import Restorer
from tiny_networks import Tiny
NETWORKS["tiny"] = Tiny
calm = Restorer.restore_picture
def slow(self, *args, **more):
    print("at work", flush=True)
    time.sleep(0.5)
    return calm(self, *args, **more)
Restorer.restore_picture = slow
sys.argv[:2] = ["restore"]
from restore.cli.start import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_no_temporary_file_and_no_half_object(
    bucket: Any, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"in/{i}.png" for i in range(8)]
    upload(bucket, *names)
    args = ["denoise", "s3://bucket/in", "-o", "s3://bucket/out", "--weights", str(tiny_file)]
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1]), *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while sum("at work" in line for line in (process.stdout.readline(),)) == 0:
        assert process.poll() is None
    assert process.stdout.readline()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert list((tmp_path / "temporary").iterdir()) == []
    done = contents(bucket, "out")
    assert len(done) < len(names) and all(name.endswith(".png") for name in done)
    again = subprocess.run([*command, "--skip-existing"], capture_output=True, text=True, check=True)
    assert f"{len(names) - len(done)} restored" in again.stderr
    assert len(contents(bucket, "out")) == len(names)


@pytest.mark.slow
def test_actors_of_ray_read_and_write_buckets(run: Run, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'ray'")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # sockets must have short names
    upload(bucket, *(f"in/{i}.png" for i in range(4)))
    args = ["s3://bucket/in", "-o", "s3://bucket/out", "--engine", "ray"]
    ran = subprocess.run([sys.executable, "-m", "restore", "denoise", *args], capture_output=True, text=True)
    assert ran.returncode == 0 and "4 restored" in ran.stderr, ran.stderr
    assert sorted(ran.stdout.split()) == [f"s3://bucket/out/{i}.png" for i in range(4)]
    assert contents(bucket, "out") == [f"bucket/out/{i}.png" for i in range(4)]
