"""Settings from the environment and the config file, and the command that changes the file."""

from __future__ import annotations

import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import typer.main
from conftest import Run
from picture_files import level_of, save_flat

from restore.cli import complete, config, settings
from restore.cli.app import app
from restore.errors import UsageError

pytestmark = pytest.mark.usefixtures("tiny_catalogue")

OPTIONS = settings.Options(typer.main.get_command(app))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config file, which does not exist yet."""
    path = tmp_path / "settings" / "config.toml"
    monkeypatch.setenv("RESTORE_CONFIG", str(path))
    return path


def written(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def result(run: Run, *options: str) -> int:
    """Grey level of a picture of 200, which full strength makes 55."""
    save_flat("a.png", 200)
    ran = run("denoise", "a.png", "-o", "b.png", "--overwrite", *options)
    assert ran.code == 0, ran.err
    return level_of("b.png")


def test_the_command_line_beats_the_environment_and_that_the_file(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file, "")
    assert result(run) == 55
    written(file, "[denoise]\nstrength = 0.8\n")
    assert result(run) == 84  # 200 + 0.8 * (55 - 200)
    monkeypatch.setenv("RESTORE_DENOISE_STRENGTH", "0.4")
    assert result(run) == 142
    assert result(run, "--strength", "0") == 200


def test_a_command_s_own_table_beats_the_table_of_all(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(file, "[all]\nstrength = 0\n[denoise]\nstrength = 0.8\n[derain]\nstrength = 0.1\n")
    assert result(run) == 84
    written(file, "[all]\nstrength = 0\n")
    assert result(run) == 200
    monkeypatch.setenv("RESTORE_ALL_STRENGTH", "0.8")
    assert result(run) == 84


def test_empty_variables_count_as_not_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_DENOISE_STRENGTH", "")
    monkeypatch.setenv("RESTORE_ALL_DEVICE", "")
    assert result(run) == 55


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RESTORE_DENOISE_STRENGTH", "2", "--strength is a number from 0 to 1, not '2'"),
        ("RESTORE_ALL_STRENGTH", "much", "--strength is a number from 0 to 1, not 'much'"),
        ("RESTORE_DENOISE_TILE", "ab", "--tile is auto or a number of pixels, not 'ab'"),
        ("RESTORE_DENOISE_DEVICE", "gpu", "unknown device 'gpu'"),
        ("RESTORE_DENOISE_WEIGHTS", "nobody", "nobody"),
        ("RESTORE_DENOISE_RECURSIVE", "maybe", "is true or false, not 'maybe'"),
        ("RESTORE_DENOISE_ON_ERROR", "stopp", "--on-error is continue or stop, not 'stopp'"),
    ],
)
def test_an_error_about_a_variable_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    save_flat("a.png", 200)
    monkeypatch.setenv(variable, value)
    ran = run("denoise", "a.png", "-o", "b.png")
    assert ran.code > 0 and message in ran.err and variable in ran.err
    assert "b.png" not in ran.out


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[denose]\nstrength = 1\n", ("there is no command 'denose'", "did you mean 'denoise'?")),
        ("[denoise]\nstrenght = 1\n", ("[denoise] has no option 'strenght'", "did you mean 'strength'?")),
        ("[train]\nstrength = 1\n", ("[train] has no option 'strength'", "--help")),
        ("[all]\nthread = 1\n", ("no command has an option 'thread'", "did you mean 'threads'?")),
        ("[denoise]\noverwrite = true\n", ("overwrite of [denoise] belongs to one run", "--overwrite")),
        ("[denoise]\noutput = 'x'\n", ("output of [denoise] belongs to one run", "--output")),
        ("[denoise]\ninputs = 'x'\n", ("[denoise] has no option 'inputs'",)),
        ("[denoise]\nstrength = true\n", ("strength of [denoise]", "is one value, not True")),
        ("[denoise]\nstrength = 3\n", ("--strength is a number from 0 to 1, not '3'", "strength of [denoise]")),
        ("[denoise]\nrecursive = 'maybe'\n", ("recursive of [denoise]", "is true or false")),
        ("strength = 1\n", ("strength is not in a table", "[denoise]")),
        ("[denoise\n", ("not valid TOML", "correct the file")),
        ("[denoise]\nstrength = 1\nstrength = 0\n", ("not valid TOML",)),
        ("a = " + "[" * 5000, ("not valid TOML",)),
    ],
)
def test_what_is_wrong_in_the_file_is_one_error_with_file_key_and_hint(
    run: Run, file: Path, text: str, parts: tuple[str, ...]
) -> None:
    save_flat("a.png", 200)
    written(file, text)
    ran = run("denoise", "a.png", "-o", "b.png")
    assert ran.code == 2 and ran.err.count("error:") == 1
    assert all(part in ran.err for part in (str(file), *parts)), ran.err


def test_a_file_that_is_not_utf_8_or_that_is_a_folder_is_an_error(run: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"[denoise]\n# \xff\n")
    assert "it is not UTF-8" in run("denoise", "a.png", "-o", "b.png").err
    file.unlink()
    file.mkdir()
    assert f"cannot read {file}" in run("denoise", "a.png", "-o", "b.png").err


def test_a_missing_file_is_an_error_only_if_a_variable_names_it(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"cannot read {file}, which RESTORE_CONFIG names" in run("denoise", "a.png", "-o", "b.png").err
    monkeypatch.delenv("RESTORE_CONFIG")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *names, **facts: file.parent)
    assert settings.path() == file and result(run) == 55


def test_help_and_completion_work_with_a_broken_file(run: Run, file: Path) -> None:
    written(file, "[[[")
    assert run("denoise", "--help").code == 0


def test_an_option_given_twice_is_still_refused(run: Run, file: Path) -> None:
    written(file, "[denoise]\nstrength = 0.5\n")
    assert "--strength is given more than once" in run("denoise", "a", "-o", "b", "--strength=1", "--strength=1").err


def test_a_typed_option_drops_the_setting_that_contradicts_it(run: Run, file: Path) -> None:
    written(file, "[denoise]\nskip-existing = true\n")
    save_flat("a.png", 200)
    save_flat("b.png", 7)
    assert run("denoise", "a.png", "-o", "b.png").code == 0 and level_of("b.png") == 7
    assert run("denoise", "a.png", "-o", "b.png", "--overwrite").code == 0 and level_of("b.png") == 55


def test_a_size_for_all_commands_does_not_reach_a_flag_of_that_name(run: Run, file: Path) -> None:
    written(file, '[all]\nmemory = "2G"\n')
    assert "memory" not in settings.settings_of("bench", OPTIONS)
    assert settings.settings_of("denoise", OPTIONS)["memory"].value == "2G"


def test_a_variable_turns_off_a_flag_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(file, "[denoise]\nself-ensemble = true\n")
    assert settings.settings_of("denoise", OPTIONS)["self-ensemble"].value is True
    monkeypatch.setenv("RESTORE_DENOISE_SELF_ENSEMBLE", "0")
    assert settings.settings_of("denoise", OPTIONS)["self-ensemble"].value is False


def test_no_variable_of_an_option_is_that_of_a_folder_or_of_another_option() -> None:
    variables = [settings.variable(table, key) for table, keys in OPTIONS.items() for key in keys]
    assert len(variables) == len(set(variables)) > 100
    assert not {"RESTORE_WEIGHTS", "RESTORE_CACHE", "RESTORE_CONFIG"} & set(variables)


def test_every_path_and_every_required_option_stays_out_of_the_file() -> None:
    allowed = {key for keys in OPTIONS.values() for key, param in keys.items() if settings.may_be_in_file(param)}
    assert {"strength", "tile", "weights", "threads", "device", "recursive", "skip-existing", "suffix"} <= allowed
    refused = {"output", "overwrite", "dry-run", "json", "csv", "out", "clean", "degraded", "data", "root", "repo"}
    assert not refused & allowed


# restore config


def test_config_shows_the_path_and_what_applies(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("config") == (0, f"{file} (does not exist)\n", "")
    assert run("config", "path") == (0, f"{file}\n", "")
    written(file, "[all]\nthreads = 1\n[denoise]\nstrength = 0.8\n")
    monkeypatch.setenv("RESTORE_DENOISE_TILE", "256")
    monkeypatch.setenv("RESTORE_DENOISE_TIEL", "256")
    ran = run("config")
    rows = [line.split(None, 2) for line in ran.out.splitlines()]
    assert ran.code == 0 and rows[0] == [str(file)]
    assert ["denoise.strength", '"0.8"', "the file"] in rows and ["all.threads", '"1"', "the file"] in rows
    assert ["denoise.tile", '"256"', "RESTORE_DENOISE_TILE"] in rows
    assert "no command reads RESTORE_DENOISE_TIEL" in ran.out


def test_config_tells_every_value_that_a_command_would_refuse(run: Run, file: Path) -> None:
    written(file, "[denoise]\nstrength = 3\n[derain]\ntile = 'ab'\n[bench]\nprecision = 'float8'\n")
    ran = run("config")
    assert ran.code == 2 and all(word in ran.err for word in ("not '3'", "not 'ab'", "float8", "[bench]"))


def test_set_and_unset_change_one_value(run: Run, file: Path) -> None:
    for key, value in (
        ("denoise.strength", "0.8"), ("all.threads", "2"), ("all.memory", "2G"), ("upscale.scale", "4"),
        ("denoise.self-ensemble", "yes"), ("weights.list.cached", "true"), ("denoise.tile", "256"),
    ):  # fmt: skip
        known = key != "upscale.scale" or "scale" in OPTIONS["upscale"]
        ran = run("config", "set", key, value)
        assert ran == (0, "", "") or not known, ran
    stored = tomllib.loads(file.read_text())
    assert stored["denoise"] == {"strength": 0.8, "self-ensemble": True, "tile": "256"}
    assert stored["all"] == {"threads": 2, "memory": "2G"} and stored["weights"] == {"list": {"cached": True}}
    assert run("config", "set", "denoise.strength", "0.4").code == 0
    assert tomllib.loads(file.read_text())["denoise"]["strength"] == 0.4
    assert run("config", "unset", "denoise.strength").code == 0
    assert "strength" not in tomllib.loads(file.read_text())["denoise"]
    assert "does not set denoise.strength" in run("config", "unset", "denoise.strength").err
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("denoise.strength", "3"), "--strength is a number from 0 to 1, not '3'"),
        (("denoise.tile", "ab"), "--tile is auto or a number of pixels"),
        (("all.device", "gpu"), "unknown device 'gpu'"),
        (("denoise.recursive", "maybe"), "true or false"),
        (("denoise.output", "x"), "belongs to one run"),
        (("denoise.strenght", "1"), "did you mean 'strength'?"),
        (("strength", "1"), "not COMMAND.OPTION"),
        (("denoise.strength", "1", "2"), "takes one value"),
    ],
)
def test_set_refuses_what_a_command_would_refuse(run: Run, file: Path, words: tuple[str, ...], message: str) -> None:
    ran = run("config", "set", *words)
    assert ran.code == 2 and message in ran.err and not file.exists()


def test_set_keeps_comments_and_order() -> None:
    text = "# mine\n[derain]  # rain\ntile = '128'\n\n[denoise]\n# grain\nstrength = 1  # much\n\n[all]\nthreads = 2\n"
    assert config.with_value(text, "denoise", "strength", 0.5) == text.replace("1  # much", "0.5")
    assert config.with_value(text, "derain", "memory", "2G") == text.replace("'128'\n", "'128'\nmemory = \"2G\"\n")
    assert config.with_value("", "denoise", "suffix", "_ä\\") == '[denoise]\nsuffix = "_ä\\\\"\n'


def test_a_file_that_cannot_be_changed_line_by_line_stays_as_it_is() -> None:
    with pytest.raises(UsageError, match="cannot change"):
        config.with_value("denoise = {strength = 1}\n", "denoise", "strength", 0.5)


def test_settings_that_are_set_at_once_are_all_kept(run: Run, file: Path) -> None:
    file.parent.mkdir()

    def add(key: str) -> None:
        config._change(lambda text: config.with_value(text, "all", key, 1))

    threads = [threading.Thread(target=add, args=(f"k{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tomllib.loads(file.read_text())["all"] == {f"k{number}": 1 for number in range(8)}


def test_settings_are_completed_and_need_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['restore', 'config']\nfrom restore.cli.app import main\n"
        "try: main()\nfinally: assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    command = typer.main.get_command(app)
    names = complete.settings(typer.Context(command))
    assert {"denoise.strength", "all.threads", "weights.list.cached"} <= set(names)
    assert "denoise.output" not in names
