from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest

import restore.training
from restore.checkpoints.catalogue import load_catalogue
from restore.datasets.registry import datasets
from restore.errors import UsageError
from restore.tasks import TASKS
from restore.training.recipe import Recipe, load_recipe, recipe_for, shipped

RECIPES = Path(restore.training.__file__).parent / "recipes"
SHIPPED = sorted(shipped())


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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # CS-KiT Section IV-E
        (
            ("cs-kit-sidd", "cs-kit-gopro", "cs-kit-rain13k", "kit-sidd", "kit-gopro", "kit-rain13k",
             "kit-reds"),
            {"optimizer": "adamw", "batch": 64, "crop": 128, "steps": 800_000, "learning_rate": 2e-4,
             "final_learning_rate": 1e-6, "loss": "charbonnier-edge", "config": "paper", "degradation": "pairs"},
        ),
        # DRSformer Section 4.1: 92K + 208K iterations
        (
            ("drsformer-rain200h", "drsformer-did", "drsformer-ddn"),
            {"optimizer": "adamw", "batch": 8, "crop": 128, "steps": 300_000, "hold": 92_000, "learning_rate": 1e-4,
             "final_learning_rate": 1e-6, "loss": "l1", "config": "paper", "degradation": "pairs"},
        ),
        # The same: without MEFC
        (("drsformer-rain200l", "drsformer-spa"), {"config": "paper-lite", "steps": 300_000, "batch": 8}),
        # PANet Section 4.2
        (
            (*(f"panet-denoise-sigma{sigma}" for sigma in (10, 30, 50, 70)), "panet-demosaic",
             *(f"panet-dejpeg-q{quality}" for quality in (10, 20, 30, 40)), *(f"pa-edsr-x{n}" for n in (2, 3, 4))),
            {"optimizer": "adam", "beta1": 0.9, "beta2": 0.999, "batch": 16, "crop": 48, "learning_rate": 1e-4,
             "schedule": "halving", "loss": "l1", "weight_decay": 0.0, "dataset": "DIV2K"},
        ),
    ],
)  # fmt: skip
def test_published_runs_have_the_papers_numbers(names: tuple[str, ...], expected: dict[str, object]) -> None:
    for name in names:
        recipe = dataclasses.asdict(load_recipe(name))
        assert {key: recipe[key] for key in expected} == expected, name


def test_a_published_run_trains_on_a_set_of_its_task_that_has_a_part_for_training() -> None:
    named = {name: recipe for name in SHIPPED if (recipe := load_recipe(name)).dataset}
    assert named["kit-reds"].dataset == "REDS" and named["kit-reds"].task == "deblur"
    for name, recipe in named.items():
        dataset = datasets()[recipe.dataset]
        assert "train" in dataset.splits, name
        assert dataset.name == "DIV2K" or dataset.task == recipe.task, name  # whose clean pictures are degraded


def test_the_level_in_a_name_is_that_of_the_recipe() -> None:
    for name in SHIPPED:
        if match := re.search(r"-(?:sigma|q|x)(\d+)$", name):
            assert load_recipe(name).levels == (int(match[1]), int(match[1])), name


def test_every_recipe_says_in_its_first_line_what_it_is() -> None:
    for name in SHIPPED:
        text = (RECIPES / f"{name}.toml").read_text()
        assert text.startswith("# ") and (base_of(text) in (None, *SHIPPED)), name


def base_of(text: str) -> str | None:
    return tomllib.loads(text).get("base")


def test_a_recipe_adds_to_its_base_and_that_to_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "cs-kit-s-denoise"\nsteps = 7\n')
    (tmp_path / "b.toml").write_text('base = "a.toml"\nbatch = 2\nwarm_up = 1\n')  # beside it
    expected = dataclasses.replace(load_recipe("cs-kit-s-denoise"), steps=7, batch=2, warm_up=1)
    assert load_recipe(str(tmp_path / "b.toml")) == expected


def test_a_recipe_that_is_its_own_base_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    (tmp_path / "b.toml").write_text('base = "a.toml"\n')
    with pytest.raises(UsageError, match="must name another recipe, not "):
        load_recipe(str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("denoise",), "cs-kit-s-denoise"),
        (("derain", "drsformer"), "drsformer-s-derain"),
        (("derain", "cs-kit"), "cs-kit-s-derain"),
        (("derain", "drsformer", "paper"), "drsformer-s-derain"),  # whose size is to be changed then
        (("denoise", "panet"), "panet-s-denoise-gaussian"),
        (("upscale", "pa-edsr", "s-x3"), "pa-edsr-s-x3"),
        (("denoise", "drsformer"), "cs-kit-s-denoise"),  # whose network is to be changed then
    ],
)
def test_task_network_and_size_choose_a_recipe(asked: tuple[str, ...], name: str) -> None:
    assert recipe_for(*asked) == name


def test_for_pairs_of_pictures_a_published_run_is_chosen_by_its_size() -> None:
    assert recipe_for("derain", "drsformer", "paper", has_pairs=True) == "drsformer"
    assert recipe_for("derain", "drsformer", has_pairs=True) == "drsformer-s-derain"


def test_the_recipe_of_a_task_trains_the_network_of_its_default_weights() -> None:
    defaults = [entry for entry in load_catalogue().values() if entry.default]
    assert {entry.task for entry in defaults} == set(TASKS)
    for entry in defaults:
        # Weights that enlarge are the default of their scale, which the config says.
        config = None if entry.level is None else entry.config
        recipe = load_recipe(recipe_for(entry.task, config=config))
        assert (recipe.network, recipe.config) == (entry.network, entry.config)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("jpeg:ten", "'jpeg:ten' is not a degradation with a level"),
        ("jpeg:1-2-3", "'jpeg:1-2-3' is not a degradation with a level"),
        ("jpeg:400", "400 to 400 is not a range of jpeg-quality"),
        ("jpg", "unknown degradation 'jpg'"),
        ("rain:3", "rain has no level"),
    ],
)
def test_a_kind_to_validate_that_cannot_be_is_an_error(kind: str, message: str) -> None:
    load_recipe("cs-kit-s-dejpeg", {"validate": '["jpeg:10", "jpeg:10-40", "rain"]'})
    with pytest.raises(UsageError, match=message):
        load_recipe("cs-kit-s-dejpeg", {"validate": json.dumps([kind])})


@pytest.mark.parametrize("name", ["cs-kit-s-denoise", "panet-s-demosaic"])  # whose mosaics are of changed colours
def test_labels_are_for_degradations_that_are_the_same_every_time(name: str) -> None:
    assert load_recipe("pa-edsr-s-x2", {"labels": "labels"}).labels == "labels"
    with pytest.raises(UsageError, match=r"labels do not fit .*, which is random"):
        load_recipe(name, {"labels": "labels"})


def test_every_task_has_a_recipe_or_several_to_choose_from() -> None:
    for task in TASKS:
        try:
            assert load_recipe(recipe_for(task)).task == task
        except UsageError as error:
            assert f"several recipes are for {task}: " in error.message


def test_overrides_are_read_as_the_type_of_their_field() -> None:
    changes = {"steps": "12", "learning_rate": "2e-4", "config": "paper", "stages": "[[9, 8, 64]]", "level_low": "1"}
    recipe = load_recipe("cs-kit-s-denoise", changes | {"level_high": "2.5"})
    assert (recipe.steps, recipe.learning_rate, recipe.config) == (12, 2e-4, "paper")
    assert (recipe.stages, recipe.levels, recipe.largest_crop) == (((9, 8, 64),), (1, 2.5), 128)


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
        ({"steps": None, "seed": None}, "lacks steps, seed", "name a base"),
        ({"steps": 1.5}, "steps of the recipe .* must be a whole number, not 1.5", None),
        ({"steps": True}, "must be a whole number, not True", None),
        ({"steps": "8"}, "must be a whole number, not '8'", None),
        ({"network": 3}, "network of the recipe .* must be text, not 3", None),
        ({"steps": 0}, "steps must be at least 1, not 0", None),
        ({"learning_rate": -1e-3}, "learning_rate must be at least 0", None),
        ({"task": "denose"}, "unknown task 'denose'", "did you mean 'denoise'?"),
        ({"degradation": "rian"}, "unknown degradation 'rian'", "did you mean 'rain'?"),
        ({"network": "cskit"}, "unknown network 'cskit'", "did you mean 'cs-kit'?"),
        ({"config": "xl"}, "unknown cs-kit config 'xl'", "choose one of"),
        ({"precision": "float61"}, "unknown precision 'float61'", "did you mean"),
        ({"loss": "l3"}, "unknown loss 'l3'", "choose one of l1, l2"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd'", "choose one of adamw, adam, muon"),
        ({"schedule": "step"}, "unknown schedule 'step'", "choose one of cosine, halving"),
        ({"accumulate": 0}, "accumulate must be at least 1, not 0", None),
        ({"level_low": 3}, "only one is given", None),
        ({"degradation": "gaussian-noise", "level_low": 9, "level_high": 3}, "9 to 3 is not a range of sigma", "first"),
        ({"degradation": "bicubic"}, "bicubic needs a level", "scale"),
        ({"stages": 3}, "stages of the recipe .* must be a list", None),
        ({"stages": [3]}, "stages must be a list such as", "ascending"),
        ({"stages": [[10, 2]]}, "stages must be a list such as", "ascending"),
        ({"stages": [[10, 2, 64], [10, 2, 64]]}, "stages must be a list such as", "ascending"),
        ({"stages": [[10, 2, 6.5]]}, "stages must be a list such as", "ascending"),
        ({"base": 3}, "base of the recipe .* must name another recipe, not 3", None),
        ({"base": "cs-kit-denoise"}, "unknown recipe 'cs-kit-denoise'", "did you mean"),
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
        ({"steps": "many"}, "steps must be a whole number, not 'many'"),
        ({"ema": "nan"}, "ema must be at least 0 and below 1, not nan"),
        ({"ema": "1"}, "ema must be at least 0 and below 1, not 1.0"),
        ({"ema": "2"}, "ema must be at least 0 and below 1, not 2.0"),
        ({"beta1": "1"}, "beta1 must be at least 0 and below 1, not 1.0"),
        ({"beta2": "1.5"}, "beta2 must be at least 0 and below 1, not 1.5"),
        ({"beta2": "-0.1"}, "beta2 must be at least 0 and below 1, not -0.1"),
        ({"seed": "99999999999999999999999"}, "seed must be at most 9.22337e.18, not 99999999999999999999999"),
        ({"seed": "-1"}, "seed must be at least 0, not -1"),
        ({"seed": "9" * 5000}, "seed must be a whole number, not '999.*\\.\\.\\.$"),
        ({"pairs_share": "7"}, "pairs_share must be at most 1, not 7.0"),
        ({"teacher_share": "1.01"}, "teacher_share must be at most 1, not 1.01"),
        ({"learning_rate": "inf"}, "learning_rate must be at least 0, not inf"),
        ({"steps": "1" + "0" * 12}, "steps must be at most 2.14748e.09, not 1000000000000"),
        ({"crop": "100000"}, "crop must be at most 8192, not 100000"),
        ({"options": "[" * 100_000}, "options must be a table"),
        ({"options": '{"a": ' + "[" * 300 + '"' + "x" * 10_000 + '"' + "]" * 300 + "}"}, "at most 10000 characters"),
        ({"options": '{"a": NaN}'}, "options must be JSON"),
        ({"dataset": "x" * 1001}, "dataset must be at most 1000 printable characters, not 'xxx"),
        ({"dataset": "a\x1b[2Jb"}, "dataset must be at most 1000 printable characters"),
        ({"stages": "9"}, "stages of the recipe .* must be a list"),
        ({"stages": "[9"}, "stages must be a list such as"),
    ],
)
def test_a_wrong_override_is_an_error_that_says_why(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe("cs-kit-s-denoise", overrides)
    assert len(caught.value.message) < 300 and caught.value.exit_code == 2


def test_an_unknown_recipe_is_answered_by_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown recipe 'cs-kit-denoise'") as caught:
        load_recipe("cs-kit-denoise")
    assert caught.value.hint == "did you mean 'cs-kit-s-denoise'?"
    with pytest.raises(UsageError, match=r"unknown recipe 'gone\.toml'"):
        load_recipe("gone.toml")


def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("steps = = 3")
    with pytest.raises(UsageError, match="cannot read the recipe"):
        load_recipe(str(tmp_path / "a.toml"))


def test_nested_brackets_and_long_names_are_errors(tmp_path: Path) -> None:
    for suffix, text in ((".json", "[" * 100_000), (".toml", "stages = " + "[" * 100_000)):
        (tmp_path / f"a{suffix}").write_text(text)
        with pytest.raises(UsageError, match="cannot read the recipe"):
            load_recipe(str(tmp_path / f"a{suffix}"))
    for name in ("a" * 300, "a" * 300 + ".toml"):
        with pytest.raises(UsageError, match="unknown recipe 'aaa"):
            load_recipe(name)


def test_fields_are_described_in_the_docstring() -> None:
    assert Recipe.__doc__ is not None
    assert all(field.name in Recipe.__doc__ for field in dataclasses.fields(Recipe))
