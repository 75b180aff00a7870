"""`restore weights`."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run

from restore.checkpoints import catalogue

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def test_weights_list_names_them_and_marks_the_default(run: Run) -> None:
    ran = run("weights", "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split()[:3] == ["tiny-denoise*", "denoise", "blind"]


def test_weights_show_prints_every_fact(run: Run, tiny_catalogue: Path) -> None:
    score = "[[tiny-denoise.scores]]\nset = 'PolyU'\nprotocol = 'rgb'\npsnr = 38\ninput_psnr = 36.04\n"
    tiny_catalogue.write_text(tiny_catalogue.read_text() + score)
    ran = run("weights", "show", "tiny-denoise")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].split() == ["PolyU", "rgb", "38.00", "36.04"]
    for fact in catalogue.find("tiny-denoise").licence, catalogue.find("tiny-denoise").sha256:
        assert fact in ran.out


def test_weights_verify_finds_the_damaged(run: Run, tiny_file: Path) -> None:
    assert run("weights", "verify").code == 0
    tiny_file.write_bytes(tiny_file.read_bytes()[:-1] + b"!")
    for args in ((), ("tiny-denoise",)):
        ran = run("weights", "verify", *args)
        assert ran.code == 1
        assert "SHA-256" in ran.out and "1 of 1 weights cannot be used: tiny-denoise" in ran.err
