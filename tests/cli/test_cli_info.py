from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy
import pytest
import torch
from conftest import Run

import restore
from restore.checkpoints import catalogue
from restore.inference.devices import has_native_bfloat16


def test_info_tells_what_a_report_of_a_bug_needs(
    run: Run, tiny_catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    code, out, err = run("info", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    versions = facts["versions"]
    assert versions["restore"] == restore.__version__
    assert versions["torch"] == torch.__version__
    assert versions["numpy"] == numpy.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert f"{os.cpu_count()} cores" in facts["devices"]["cpu"]
    has_it = has_native_bfloat16(torch.device("cpu"))
    assert facts["devices"]["cpu"].endswith(", native bfloat16" if has_it else ", no native bfloat16")
    assert " GB free of " in facts["devices"]["memory"]
    (line,) = facts["weights"].values()
    assert line.startswith("denoise (default), bundled, ")
    assert facts["folders"]["own weights"] == f"{catalogue.own_folder()} (does not exist)"
    assert facts["environment"]["OMP_NUM_THREADS"] == "3"
    assert "secret" not in out
    out = " ".join(run("info").out.split())  # long values are wrapped
    assert all(value in out for name, group in facts.items() if name != "devices" for value in group.values())


def test_a_report_does_not_name_its_author(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("RESTORE_WEIGHTS", str(tmp_path / "mine"))
    assert json.loads(run("info", "--json").out)["folders"]["own weights"] == f"~{os.sep}mine (does not exist)"
