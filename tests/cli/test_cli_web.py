"""`restore web` as a process."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Run


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_it_prints_its_address_serves_without_torch_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    program = (
        "import sys, signal, restore.cli.start, atexit; "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # nohup and & ignore signals
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.argv = ['restore', 'web', '--no-open']; atexit.register(lambda: print('torch' in sys.modules)); "
        "restore.cli.start.main()"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        address = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[\w-]{43}/)\n", child.stdout.readline())
        assert address is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=10)
        connection.request("GET", address[2])
        assert b"<title>restore</title>" in connection.getresponse().read()
        connection.close()
        assert len(list(tmp_path.iterdir())) == 1
        uploading = half_an_upload(int(address[1]), address[2])
        assert [path.name for path in tmp_path.rglob("source*")] == ["source.png"]
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        assert (out, "Traceback" in err) == ("False\n", False)
    uploading.close()
    assert child.returncode == code
    assert list(tmp_path.iterdir()) == []


def half_an_upload(port: int, path: str) -> http.client.HTTPConnection:
    """A connection that has sent 5 bytes of 10, and the server has begun to write them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", f"{path}sessions", "{}")
    session = json.loads(connection.getresponse().read())["session"]
    connection.close()
    connection.putrequest("POST", f"{path}{session}/pictures?name=a.png")
    connection.putheader("Content-Length", "10")
    connection.endheaders(b"12345")
    time.sleep(0.3)
    return connection


def test_a_taken_port_is_an_error_with_a_hint(run: Run) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = run("web", "--no-open", "--port", port)
    assert (ran.code, ran.out) == (1, "")
    assert f"error: cannot listen on port {port}" in ran.err
    assert "--port" in ran.err.split("hint:")[1]


def test_an_unknown_device_is_refused_before_the_server_starts(run: Run) -> None:
    ran = run("web", "--device", "tpu")
    assert ran.code == 2 and ran.out == ""
