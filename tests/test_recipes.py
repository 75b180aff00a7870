from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import restore.recipes
from restore.errors import DataError, UsageError
from restore.recipes import Recipe, check_run_folder, load_recipe
from restore.tasks import TASKS

SHIPPED = sorted(p.stem for p in Path(restore.recipes.__file__).parent.glob("*.toml"))


def write(path: Path, **changes: object) -> str:
    """A recipe file of valid fields and of changes, of which None removes a field."""
    values = dataclasses.asdict(load_recipe("cs-kit-s-denoise")) | changes
    path.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items() if v is not None))
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_valid(name: str) -> None:
    assert load_recipe(name).task in TASKS


def test_the_recipes_of_the_tasks_are_shipped_and_theirs() -> None:
    for task in TASKS.values():
        if task.recipe is not None:
            assert load_recipe(task.recipe).task == task.name


def test_overrides_are_read_as_the_type_of_their_field() -> None:
    recipe = load_recipe("cs-kit-s-denoise", {"steps": "12", "learning_rate": "2e-4", "config": "paper"})
    assert (recipe.steps, recipe.learning_rate, recipe.config) == (12, 2e-4, "paper")


def test_the_recipe_a_run_has_saved_can_be_used_again(tmp_path: Path) -> None:
    recipe = load_recipe("cs-kit-s-denoise", {"steps": "12"})
    (tmp_path / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
    assert load_recipe(str(tmp_path / "recipe.json")) == recipe


def test_precision_may_be_left_out_and_a_whole_number_is_a_number(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path / "a.toml", precision=None, clip_norm=1))
    assert (recipe.precision, recipe.clip_norm) == ("auto", 1)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"step": 3}, "no field 'step'", "did you mean 'steps'?"),
        ({"steps": None, "seed": None}, "lacks steps, seed", "every field"),
        ({"steps": 1.5}, "steps of the recipe .* is a whole number, not 1.5", None),
        ({"steps": True}, "is a whole number, not True", None),
        ({"steps": "8"}, "is a whole number, not '8'", None),
        ({"network": 3}, "network of the recipe .* is text, not 3", None),
        ({"steps": 0}, "steps is at least 1, not 0", None),
        ({"learning_rate": -1e-3}, "learning_rate is at least 0", None),
        ({"task": "denose"}, "no task called 'denose'", "did you mean 'denoise'?"),
        ({"degradation": "rain"}, "no degradation called 'rain'", "choose one of blind-noise"),
        ({"network": "cskit"}, "no network called 'cskit'", "did you mean 'cs-kit'?"),
        ({"config": "xl"}, "no config of cs-kit called 'xl'", "choose one of"),
        ({"precision": "float16"}, "no precision called 'float16'", "did you mean"),
    ],
)
def test_a_wrong_recipe_is_an_error_that_says_why(
    tmp_path: Path, changes: dict[str, object], message: str, hint: str | None
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(write(tmp_path / "a.toml", **changes))
    assert (hint or "") in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepps": "3"}, "no field 'stepps'"),
        ({"steps": "many"}, "steps is a whole number, not 'many'"),
        ({"ema": "nan"}, "ema is at least 0, not nan"),
    ],
)
def test_a_wrong_override_is_an_error_that_says_why(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe("cs-kit-s-denoise", overrides)


def test_an_unknown_recipe_is_answered_by_the_nearest() -> None:
    with pytest.raises(UsageError, match="no recipe 'cs-kit-denoise'") as caught:
        load_recipe("cs-kit-denoise")
    assert caught.value.hint == "did you mean 'cs-kit-s-denoise'?"
    with pytest.raises(UsageError, match=r"no recipe 'gone\.toml'"):
        load_recipe("gone.toml")


def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("steps = = 3")
    with pytest.raises(UsageError, match="cannot read the recipe"):
        load_recipe(str(tmp_path / "a.toml"))


def test_a_run_goes_into_a_new_or_empty_folder(tmp_path: Path) -> None:
    check_run_folder(tmp_path / "new", resume=False)
    check_run_folder(tmp_path, resume=False)
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="is not empty"):
        check_run_folder(tmp_path, resume=False)
    with pytest.raises(DataError, match="is a file"):
        check_run_folder(tmp_path / "a", resume=False)
    with pytest.raises(UsageError, match=r"holds no state\.pt"):
        check_run_folder(tmp_path, resume=True)
    (tmp_path / "state.pt").touch()
    check_run_folder(tmp_path, resume=True)


def test_fields_are_described_in_the_docstring() -> None:
    assert Recipe.__doc__ is not None
    assert all(field.name in Recipe.__doc__ for field in dataclasses.fields(Recipe))
