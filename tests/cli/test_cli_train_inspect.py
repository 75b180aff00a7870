from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run

from restore.training.inspection import fitting


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "`restore train inspect` needs --data"),
        (["--data", "photos", "--task", "denoise"], "`restore train inspect` has no recipe"),
        (["--data", "photos", "--resume"], "`restore train inspect` has no recipe"),
        (["--data", "photos", "--clean", "clean"], "--clean and --degraded go together"),
        (["--data", "photos"], "photos is not a folder"),
    ],
)
def test_wrong_options_are_refused_and_write_nothing(run: Run, tmp_path: Path, words: list[str], message: str) -> None:
    code, out, err = run("train", "inspect", "--out", str(tmp_path / "run"), *words)
    assert (code, out) == (1 if "photos" in message else 2, "")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_the_weights_are_named_and_what_they_tell_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def fit(photos: Path, out: Path, **options: object) -> fitting.Fit:
        asked.update(options, photos=photos, out=out)
        return fitting.Fit(out / fitting.NAME, {"denoise": 0.97})

    monkeypatch.setattr(fitting, "fit", fit)
    code, out, err = run("train", "inspect", "--data", "photos", "--out", str(tmp_path), "--max-time", "90s")
    assert (code, out) == (0, f"{tmp_path / 'inspect.npz'}\n")
    assert "denoise: 97.0% of held-out crops right" in err
    assert (asked["photos"], asked["seconds"], asked["pairs"]) == (Path("photos"), 90, None)
