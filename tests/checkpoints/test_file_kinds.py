"""What is said of a file that holds no weights."""

from __future__ import annotations

import io
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import Run
from picture_files import save_flat

from restore import checkpoints
from restore.checkpoints import author_files
from restore.errors import WeightsError


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def saved(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


EITHER = {
    "is empty": b"",
    "is a web page": b"\n<!DOCTYPE html><html><body>Sign in</body></html>",
    "is a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "is JSON text": b'{"error": "Repository not found"}',
    "is a gzip archive": b"\x1f\x8b\x08\x00" + bytes(100),
    "is a zip archive without tensors": zipped(readme=b"hello"),
    "is a TorchScript program, which can run code": zipped(**{"a/data.pkl": b"", "a/constants.pkl": b""}),
    "is damaged: its end is missing": saved(torch.zeros(3))[:200],
}
SAFETENSORS = EITHER | {
    "holds no state dict": saved(torch.zeros(3)),
    "it holds textwrap.dedent, which can run code": saved(textwrap.dedent),
    "it is damaged, or it holds more than tensors": b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.",
    "it has no whole header": (1 << 60).to_bytes(8, "little") + b"{}",
    "is damaged or not a safetensors file": b"short",
}
PUBLISHED = EITHER | {
    "it holds textwrap.dedent, which can run code": saved(textwrap.dedent),
    "it is damaged, or it holds more than tensors": b"this is no checkpoint",
}


@pytest.mark.usefixtures("tiny_catalogue")
@pytest.mark.parametrize(("said", "content"), SAFETENSORS.items(), ids=SAFETENSORS)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, said: str, content: bytes) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as raised:
        checkpoints.load(path)
    assert said in raised.value.message
    assert_in_our_words(raised.value)


@pytest.mark.usefixtures("tiny_catalogue")
@pytest.mark.parametrize(("said", "content"), PUBLISHED.items(), ids=PUBLISHED)
def test_so_is_a_file_to_import(tmp_path: Path, said: str, content: bytes) -> None:
    path = tmp_path / "theirs.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as raised:
        author_files.import_published(path, network="panet", task="dejpeg")
    assert said in raised.value.message
    assert_in_our_words(raised.value)


@pytest.mark.usefixtures("tiny_catalogue")
def test_the_command_says_it_too(run: Run) -> None:
    save_flat("a.png", 10)
    Path("page.safetensors").write_bytes(EITHER["is a web page"])
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "page.safetensors")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: page.safetensors is a web page, not weights")


def assert_in_our_words(error: WeightsError) -> None:
    """No text of torch, safetensors or Python is in the message, and there is a hint."""
    for foreign in ("weights_only", "Weights only", "header too", "HeaderToo", "Error", "pickle.", "PytorchStream"):
        assert foreign not in error.message
    assert error.hint
