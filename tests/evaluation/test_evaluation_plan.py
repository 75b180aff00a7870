from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore.degradations import DEGRADATIONS, jpeg
from restore.errors import DataError, RestoreError, UsageError
from restore.evaluation.plan import make_plan
from restore.images import Picture, write_picture
from restore.tasks import TASKS


def touch(folder: Path, *names: str) -> Path:
    """Files that no plan opens."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("a.png", "b.png"):
        (folder / name).touch()
    return folder


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return touch(tmp_path / "photos")


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return touch(tmp_path / "noisy")


@pytest.mark.parametrize(
    ("asked", "name", "task", "level", "protocol"),
    [
        ({"sigma": 15}, "photos sigma 15", "denoise", 15, "rgb"),
        ({"sigma": 15, "rounded": True}, "photos sigma 15 rounded", "denoise", 15, "rgb"),
        ({"sigma": 2.5, "protocol": "y-float"}, "photos sigma 2.5", "denoise", 2.5, "y-float"),
        ({"jpeg_quality": 10}, "photos jpeg 10", "dejpeg", 10, "rgb"),
        ({"jpeg_quality": 10, "degradation": "jpeg-luma"}, "photos jpeg-luma 10", "dejpeg", 10, "luma"),
        ({"scale": 3}, "photos bicubic 3", "upscale", 3, "y-border"),
        ({"task": "demosaic"}, "photos mosaic", "demosaic", None, "rgb"),
        ({"task": "derain"}, "photos rain", "derain", None, "y"),
        ({"task": "deblur"}, "photos motion-blur", "deblur", None, "rgb"),
        ({"task": "deblur", "degradation": "defocus"}, "photos defocus", "deblur", None, "rgb"),
        ({"degradation": "blind-noise"}, "photos blind-noise", "denoise", None, "rgb"),
    ],
)
def test_clean_pictures_are_degraded_as_the_level_or_the_task_asks(
    clean: Path, asked: dict[str, Any], name: str, task: str, level: float | None, protocol: str
) -> None:
    plan = make_plan(clean=clean, **asked)
    assert (plan.name, plan.task, plan.level, plan.protocol) == (name, task, level, protocol)
    assert plan.draw is not None and not plan.is_untouched
    assert plan.published == () and plan.note is None


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_usual_degradation(clean: Path, task: str) -> None:
    level = TASKS[task].level
    asked: dict[str, Any] = {} if level is None else {level.name.replace("-", "_"): level.high}
    assert make_plan(clean=clean, task=task, **asked).degradation in DEGRADATIONS


@pytest.mark.parametrize("asked", [{}, {"sigma": 0}, {"degradation": "gaussian-noise"}])
def test_clean_pictures_without_a_level_are_scored_as_they_are(clean: Path, asked: dict[str, Any]) -> None:
    plan = make_plan(clean=clean, **asked)
    assert (plan.name, plan.degradation, plan.draw, plan.is_untouched) == ("photos", None, None, True)


def test_pairs_are_scored_as_they_are(clean: Path, noisy: Path) -> None:
    plan = make_plan(clean=clean, degraded=noisy, task="derain")
    assert (plan.name, plan.degradation, plan.draw, plan.protocol) == ("photos", None, None, "y")
    assert not plan.is_untouched
    assert [item.degraded for item in plan.found.items] == [noisy / "a.png", noisy / "b.png"]


def test_the_current_folder_is_called_by_its_name(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clean)
    assert make_plan(clean=Path(".")).name == "photos"


@pytest.fixture
def picture(clean: Path) -> np.ndarray:
    """The pixels of the only clean picture, in [0, 1]."""
    (clean / "b.png").unlink()
    pixels = np.random.default_rng(9).integers(20, 236, (16, 16, 3), dtype=np.uint8)
    write_picture(Picture(pixels), clean / "a.png")
    return pixels.astype(np.float32) / np.float32(255)


def test_noise_is_that_of_sigma_and_of_the_number_of_the_picture(clean: Path, picture: np.ndarray) -> None:
    (pair,) = make_plan(clean=clean, sigma=25).pairs()
    np.testing.assert_array_equal(pair.clean, picture)
    noise = np.random.default_rng(0).standard_normal(picture.shape) * 25 / 255
    np.testing.assert_allclose(pair.degraded, picture + noise, atol=1e-6)
    (again,) = make_plan(clean=clean, sigma=25).pairs()
    np.testing.assert_array_equal(again.degraded, pair.degraded)
    (rounded,) = make_plan(clean=clean, sigma=25, rounded=True).pairs()
    np.testing.assert_allclose(rounded.degraded, np.round(np.clip(picture + noise, 0, 1) * 255) / 255, atol=1e-6)


def test_jpeg_is_of_the_quality_that_is_asked_for(clean: Path, picture: np.ndarray) -> None:
    (pair,) = make_plan(clean=clean, jpeg_quality=10).pairs()
    np.testing.assert_array_equal(pair.degraded, jpeg(picture, 10))


# Sets by name


def test_a_set_is_found_by_name_and_a_wrong_count_is_noted(tmp_path: Path) -> None:
    for side in ("clean", "noisy"):
        touch(tmp_path / side)
    plan = make_plan(dataset="PolyU", root=tmp_path)
    assert (plan.name, plan.task, plan.protocol) == ("PolyU", "denoise", "rgb")
    assert plan.note == f"{tmp_path} holds 2 pictures, not 45: these are not the scores of PolyU"


def test_a_complete_set_has_no_note(tmp_path: Path) -> None:
    plan = make_plan(dataset="Set5", root=touch(tmp_path, *(f"{n}.png" for n in range(5))), scale=2)
    assert (plan.name, plan.note) == ("Set5 bicubic 2", None)


def test_a_part_that_is_not_the_usual_one_is_named(tmp_path: Path) -> None:
    root = touch(tmp_path / "DIV2K_train_HR").parent
    assert make_plan(dataset="DIV2K", root=root, split="train", scale=2).name == "DIV2K train bicubic 2"


def test_a_set_is_scored_and_degraded_as_its_papers_do(tmp_path: Path) -> None:
    for side in ("target", "input"):
        touch(tmp_path / side)
    for name, protocol in (("DID-Data", "y-float"), ("Rain100L", "y"), ("GoPro", "rgb-matlab")):
        plan = make_plan(dataset=name, root=tmp_path)
        assert (plan.name, plan.protocol, plan.degradation) == (name, protocol, None)
        assert plan.published
    plan = make_plan(dataset="LIVE1", root=tmp_path / "target", jpeg_quality=10)
    assert (plan.name, plan.protocol) == ("LIVE1 jpeg-luma 10", "luma")


def test_for_another_task_the_ways_of_a_set_do_not_count(tmp_path: Path) -> None:
    for side in ("target", "input"):
        touch(tmp_path / side)
    assert make_plan(dataset="DID-Data", root=tmp_path, task="denoise").protocol == "rgb"
    plan = make_plan(dataset="LIVE1", root=tmp_path / "target", sigma=30)
    assert (plan.degradation, plan.protocol) == ("gaussian-noise", "rgb")


def test_the_papers_figures_are_given_only_where_the_score_is_made_as_theirs(clean: Path) -> None:
    asked: dict[str, Any] = {"dataset": "LIVE1", "root": clean, "jpeg_quality": 10}
    figures = {row.method: str(row.psnr) for row in make_plan(**asked).published}
    assert figures == {"input": "27.77", "panet": "29.69"}  # PANet, table 3
    for other in ({"degradation": "jpeg"}, {"protocol": "y"}, {"jpeg_quality": 15}):
        assert make_plan(**asked | other).published == ()
    asked = {"dataset": "Kodak24", "root": clean, "sigma": 30}
    assert make_plan(**asked).published and not make_plan(**asked, rounded=True).published
    assert make_plan(clean=clean, jpeg_quality=10).published == ()


# Other tools, and submissions


def test_another_tools_pictures_are_matched_by_name_and_need_no_degradation(clean: Path, tmp_path: Path) -> None:
    theirs = touch(tmp_path / "theirs", "a.bmp", "b.jpg")
    plan = make_plan(clean=clean, restored=theirs, task="dejpeg")
    assert plan.restored == {"a": theirs / "a.bmp", "b": theirs / "b.jpg"}
    assert plan.is_untouched and plan.degradation is None
    assert make_plan(clean=clean, restored=theirs, sigma=5).degradation == "gaussian-noise"


def test_a_submission_is_for_sets_whose_authors_keep_the_clean_pictures(clean: Path, tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    noisy = np.zeros((1, 2, 4, 4, 3), np.uint8)
    io.savemat(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", {"BenchmarkNoisyBlocksSrgb": noisy})
    asked: dict[str, Any] = {"dataset": "SIDD", "root": tmp_path, "split": "benchmark"}
    assert make_plan(**asked, submission=True).submission == "SIDD"
    with pytest.raises(UsageError, match="SIDD benchmark cannot be scored here: its authors keep the clean pictures"):
        make_plan(**asked)
    with pytest.raises(UsageError, match="--submission is for --dataset SIDD"):
        make_plan(clean=clean, submission=True)


# What is refused


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ({}, "name the pictures to score", "--clean DIR"),
        ({"dataset": "PolyU"}, "name the pictures to score", "--root DIR"),
        ({"clean": "photos", "root": "photos"}, "name the pictures to score", ""),
        ({"clean": "photos", "dataset": "PolyU", "root": "x"}, "name the pictures to score", ""),
        ({"dataset": "Polyu", "root": "x"}, "unknown dataset 'Polyu'", "did you mean 'PolyU'?"),
        ({"dataset": "x", "root": "x"}, "unknown dataset 'x'", "`restore data list`"),
        ({"degraded": "noisy"}, "--degraded needs --clean", ""),
        ({"clean": "photos", "degraded": "noisy", "sigma": 5}, "--sigma degrades clean pictures, but", ""),
        ({"clean": "photos", "degraded": "noisy", "degradation": "jpeg"}, "--degradation degrades clean", ""),
        ({"clean": "photos", "rounded": True}, "--rounded needs --sigma", ""),
        ({"clean": "photos", "protocol": "Y"}, "unknown protocol 'Y'", "did you mean 'y'?"),
        ({"clean": "photos", "sigma": 5, "scale": 2}, "--sigma, --jpeg-quality and --scale cannot be combined", ""),
        ({"clean": "photos", "sigma": 5, "task": "upscale"}, "--sigma is for --task denoise, not upscale", ""),
        ({"clean": "photos", "task": "denose"}, "unknown task 'denose'", "did you mean 'denoise'?"),
        ({"clean": "photos", "task": "dejpeg"}, "jpeg needs a level", "add --jpeg-quality"),
        ({"clean": "photos", "task": "derain", "degradation": "jpeg"}, "jpeg needs a level", "leave out --task"),
        ({"clean": "photos", "degradation": "mosiac"}, "unknown degradation 'mosiac'", "'mosaic'?"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_reason(
    clean: Path, noisy: Path, asked: dict[str, Any], message: str, hint: str
) -> None:
    folders = {key: clean.parent / asked[key] for key in ("clean", "degraded", "root") if key in asked}
    with pytest.raises(UsageError) as refused:
        make_plan(**asked | folders)
    assert refused.value.message.startswith(message)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("name", "sides", "protocol", "published"),
    [
        ("GoPro", ("test/x/blur", "test/x/sharp"), "rgb-matlab", {"kit": 32.70, "cs-kit": 32.87}),
        ("HIDE", ("test/HIDE/input", "test/HIDE/target"), "rgb-matlab", {"kit": 30.98, "cs-kit": 31.02}),
        ("REDS", ("val/val_blur_jpeg/000", "val/val_sharp/000"), "rgb", {}),  # the supplement gives no scores
    ],
)
def test_blurred_sets_are_scored_as_the_papers_score_them(
    tmp_path: Path, name: str, sides: tuple[str, str], protocol: str, published: dict[str, float]
) -> None:
    for side in sides:
        touch(tmp_path / side, "1.png", "2.png")
    plan = make_plan(dataset=name, root=tmp_path)
    assert (plan.task, plan.protocol, len(plan.found.items)) == ("deblur", protocol, 2)
    assert {row.method: float(row.psnr) for row in plan.published} == published


def test_pictures_that_cannot_be_paired_are_refused_with_the_command_that_lists_them(clean: Path, noisy: Path) -> None:
    (noisy / "b.png").unlink()
    with pytest.raises(DataError) as refused:
        make_plan(clean=clean, degraded=noisy)
    lonely = f"1 picture cannot be paired, first: {clean / 'b.png'} has no degraded partner"
    assert refused.value.message == lonely
    assert refused.value.hint == f"`restore data check --clean {clean} --degraded {noisy}` lists them"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"clean": "gone"}, "gone is not a folder"),
        ({"dataset": "PolyU", "root": "photos"}, "holds no test pictures of PolyU in a known layout"),
        ({"clean": "photos", "restored": "gone"}, "gone is not a folder"),
        ({"clean": "photos", "restored": "half"}, "holds no restored 'b'"),
    ],
)
def test_pictures_that_do_not_exist_are_named(clean: Path, asked: dict[str, Any], message: str) -> None:
    touch(clean.parent / "half", "a.png")
    folders = {key: clean.parent / asked[key] for key in ("clean", "root", "restored") if key in asked}
    with pytest.raises(RestoreError, match=message):
        make_plan(**asked | folders)


def test_a_plan_cannot_be_changed(clean: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_plan(clean=clean).task = "derain"  # type: ignore[misc]
