"""URLs and Windows paths are called what they are, and the hint can be typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restore.batch import planning
from restore.batch.foreign_paths import at_home, foreign
from restore.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "https://example.org/a b.jpg?x=[2]",
            "download it first: curl -LO 'https://example.org/a b.jpg?x=[2]'",
        ),
        ("HTTP://example.org/*.jpg", "download it first: curl -LO 'http://example.org/*.jpg'"),
        ("ftp://example.org/it's.jpg", """download it first: curl -LO 'ftp://example.org/it'"'"'s.jpg'"""),
        ("s3://bucket/a.jpg", "copy it to this machine first"),
    ],
)
def test_where_no_url_can_be_read_the_hint_says_what_to_type(text: str, hint: str) -> None:
    assert foreign(text) == ("it is a URL, not a path", hint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("file:///tmp/my%20photo.jpg", "type its path: '/tmp/my photo.jpg'"),
        ("file://localhost/tmp/a.jpg", "type its path: /tmp/a.jpg"),
        ("file:/tmp/a.jpg", "type its path: /tmp/a.jpg"),
        ("data:image/png;base64,AAAA", "copy it to this machine first"),
    ],
)
def test_a_url_of_a_file_here_is_not_read(text: str, hint: str) -> None:
    for inputs in ([text], [text, "b.jpg"]):
        with pytest.raises(UsageError, match=r"cannot read .*: it is a URL, not a path") as raised:
            planning.plan(inputs, "out/")
        assert raised.value.hint == hint


def test_a_url_of_a_file_here_is_no_output() -> None:
    Path("a.png").touch()
    with pytest.raises(UsageError, match=r"cannot write .*: it is a URL") as raised:
        planning.plan(["a.png"], "file:///tmp/a.png")
    assert raised.value.hint == "type its path: /tmp/a.png"


@pytest.mark.skipif(os.name != "posix", reason="is a path there")
def test_a_windows_path_is_told_and_the_path_here_suggested() -> None:
    Path("my photos").mkdir()
    Path("my photos/a.png").touch()
    with pytest.raises(UsageError, match="it is a Windows path") as raised:
        planning.plan([r"my photos\a.png"], "b.png")
    assert raised.value.hint == "did you mean 'my photos/a.png'?"
    for text in (r"C:\Users\me\a.png", "d:/a.png", r"\\server\share\a.png"):
        assert foreign(text) == ("it is a Windows path, and this is another system", "a path looks like photos/a.jpg")


@pytest.mark.skipif(os.name != "posix", reason="no file can have these names")
def test_a_file_that_exists_is_never_foreign() -> None:
    for name in ("C:\\a.png", "~b.png", "https:a.png"):
        Path(name).touch()
        assert foreign(name) is None and at_home(name) == name
    assert foreign("photo.jpg") is foreign("2024:01:02.jpg") is foreign("-") is None


def test_a_user_who_does_not_exist_is_told() -> None:
    with pytest.raises(UsageError, match=r"cannot read ~nobody-here/a\.png: there is no user nobody-here"):
        planning.plan(["~nobody-here/a.png"], "b.png")
