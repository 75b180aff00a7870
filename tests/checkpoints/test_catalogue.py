from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import table_of, to_toml

from restore.checkpoints import catalogue
from restore.errors import WeightsError
from restore.files import locked

HUB = {"hub_repo": "owner/name", "hub_revision": "0123456789" * 4, "hub_file": "model.safetensors"}
SCORE = "[[tiny-denoise.scores]]\nset = 'PolyU'\nprotocol = 'rgb'\npsnr = 38\ninput_psnr = 36.04\n"


def test_every_bundled_file_is_the_one_that_the_catalogue_describes() -> None:
    folder = catalogue.weights_folder()
    for entry in catalogue.load_catalogue().values():
        path = folder / entry.file
        if entry.hub_repo is None or path.exists():
            assert path.stat().st_size == entry.size_bytes, entry.name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256, entry.name


def test_every_weights_file_in_the_folder_is_in_the_catalogue() -> None:
    known = {entry.file for entry in catalogue.load_catalogue().values()}
    assert {path.name for path in catalogue.weights_folder().glob("*.safetensors")} <= known


def test_an_installed_package_holds_the_weights_folder() -> None:
    try:
        files = importlib.metadata.files("restore-photos") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("restore is not installed, only checked out")
    names = [file.as_posix() for file in files]
    if "restore/catalogue.py" not in names:
        pytest.skip("restore is installed from a checkout (-e)")
    assert "restore/weights/catalogue.toml" in names
    bundled = {path.name for path in catalogue.weights_folder().glob("*.safetensors")}
    assert bundled <= {Path(name).name for name in names if name.startswith("restore/weights/")}


def test_an_entry_has_its_tables_values(tiny_catalogue: Path, tiny_file: Path) -> None:
    tiny_catalogue.write_text(tiny_catalogue.read_text() + SCORE)
    entry = catalogue.find("tiny-denoise")
    assert (entry.name, entry.file, entry.hours, entry.default) == ("tiny-denoise", tiny_file.name, 0.5, True)
    assert (entry.level, entry.hub_repo, entry.bfloat16_loss) == (None, None, None)
    assert entry.scores == (catalogue.Score("PolyU", "rgb", psnr=38, input_psnr=36.04),)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"licence": None}, "'licence' is missing", None),
        ({"licens": "MIT"}, "unknown key 'licens'", "did you mean 'licence'?"),
        ({"name": "other"}, "unknown key 'name'", None),
        ({"steps": "many"}, "steps is 'many', not of type int", None),
        ({"steps": True}, "steps is True, not of type int", None),
        ({"hours": "5"}, "hours is '5', not of type float", None),
        ({"default": 1}, "default is 1, not of type bool", None),
        ({"task": "denoize"}, "unknown task 'denoize'", "did you mean 'denoise'?"),
        ({"sha256": "abc"}, "sha256 is not 64", None),
        ({"file": "../tiny.safetensors"}, "plain name of a .safetensors file", None),
        ({"file": "tiny.pth"}, "plain name of a .safetensors file", None),
        ({"hub_repo": "owner/name"}, "or none", None),
        (HUB | {"hub_revision": "main"}, "hub_revision is not a commit", "give the 40 digits: branches and tags move"),
        ({"scores": 5}, "scores must be tables", "write them as [[tiny-denoise.scores]]"),
    ],
)
def test_a_faulty_entry_is_an_error_that_names_the_fault(
    tiny_catalogue: Path, tiny_file: Path, changes: dict[str, object], message: str, hint: str | None
) -> None:
    tiny_catalogue.write_text(to_toml("tiny-denoise", table_of(tiny_file, **changes)))
    with pytest.raises(WeightsError) as raised:
        catalogue.load_catalogue(tiny_catalogue)
    assert message in raised.value.message and "[tiny-denoise]" in raised.value.message
    assert raised.value.hint == hint


@pytest.mark.parametrize("score", [SCORE.replace("psnr = 38\n", ""), SCORE + "sim = 0.9\n"])
def test_a_faulty_score_is_an_error(tiny_catalogue: Path, score: str) -> None:
    tiny_catalogue.write_text(tiny_catalogue.read_text() + score)
    with pytest.raises(WeightsError, match="scores"):
        catalogue.load_catalogue()


@pytest.mark.parametrize("text", ["stray = 1", "[open", "\xff"])
def test_a_file_that_is_no_catalogue_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=str(path)):
        catalogue.load_catalogue(path)


def test_two_defaults_of_one_task_are_an_error_unless_their_levels_differ(
    tiny_catalogue: Path, tiny_file: Path
) -> None:
    first = tiny_catalogue.read_text()
    tiny_catalogue.write_text(first + to_toml("tiny-25", table_of(tiny_file, level=25.0)))
    assert catalogue.default_for("denoise").name == "tiny-denoise"
    assert catalogue.default_for("denoise", 25).name == "tiny-25"
    with pytest.raises(WeightsError, match="no default weights for denoise at level 50"):
        catalogue.default_for("denoise", 50)
    assert [catalogue.weights_for("denoise", level).name for level in (None, 25, 50)] == [
        "tiny-denoise", "tiny-25", "tiny-denoise",
    ]  # fmt: skip
    tiny_catalogue.write_text(first + to_toml("tiny-too", table_of(tiny_file)))
    with pytest.raises(WeightsError, match="tiny-denoise and tiny-too are both the default"):
        catalogue.load_catalogue()


def test_a_misspelt_name_gets_a_suggestion(tiny_catalogue: Path) -> None:
    with pytest.raises(WeightsError, match="unknown weights 'tiny-denose'") as raised:
        catalogue.find("tiny-denose")
    assert raised.value.hint == "did you mean 'tiny-denoise'?"


def test_what_must_start_quickly_does_not_import_torch() -> None:
    modules = "restore, restore.tasks, restore.checkpoints.loading, restore.batch.planning, restore.cli.app"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ADD = """
import json, sys
from restore.checkpoints import catalogue
for i in range(10):
    catalogue.add_own(f"{sys.argv[1]}-{i}", json.loads(sys.argv[2]))
"""


def test_two_processes_that_add_at_once_lose_nothing(tiny_file: Path, own_folder: Path) -> None:
    table = json.dumps(table_of(tiny_file, default=False))
    adding = [subprocess.Popen([sys.executable, "-c", ADD, name, table]) for name in ("a", "b", "c")]
    assert [process.wait() for process in adding] == [0, 0, 0]
    names = {f"{name}-{i}" for name in "abc" for i in range(10)}
    assert catalogue.load_catalogue(own_folder / "catalogue.toml").keys() == names
    assert [path.name for path in own_folder.iterdir()] == ["catalogue.toml"]


def test_a_lock_that_another_holds_is_an_error_after_a_while(
    tiny_file: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_LOCK_WAIT", 0.05)
    catalogue.add_own("first", table_of(tiny_file, default=False))
    with locked(own_folder / ".catalogue.lock"), pytest.raises(WeightsError, match="another process holds"):
        catalogue.add_own("second", table_of(tiny_file, default=False))
    catalogue.add_own("second", table_of(tiny_file, default=False))
