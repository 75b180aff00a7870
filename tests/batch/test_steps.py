"""Steps in words, and chains of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from times_networks import bundle_times

from restore.batch import step_recipes
from restore.batch.step_chain import StepLoader, load_chain
from restore.batch.step_recipes import load_steps
from restore.batch.steps import MOST_STEPS, Step, advised, parse_steps
from restore.errors import UsageError
from restore.images import Picture
from restore.inspection.advice import Advice, AdvisedStep


@pytest.fixture
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denoising multiplies by 4, dejpeg by 0.25, derain by 0.01, deblur by 100; upscaling repeats pixels."""
    bundle_times(tmp_path / "weights", monkeypatch)


def picture(dtype: type = np.uint8, *, channels: int = 3) -> Picture:
    """Random pixels that reach white."""
    white = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, white, (20, 30, channels), dtype=dtype, endpoint=True)
    pixels[:2] = white
    return Picture(pixels)


# ------------------------------------------------------------------------------------------------------------- in words


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("denoise", [Step("denoise")]),
        (
            "derain, denoise:strength=0.7 ,upscale:2",
            [Step("derain"), Step("denoise", strength=0.7), Step("upscale", 2)],
        ),
        ("denoise:sigma=25:self-ensemble", [Step("denoise", 25, self_ensemble=True)]),
        ("dejpeg:jpeg-quality=40", [Step("dejpeg", 40)]),
        ("upscale:scale=3", [Step("upscale", 3)]),
        ("denoise:weights=hf://a/b@c/d.safetensors:strength=0", [Step("denoise", None, 0, "hf://a/b@c/d.safetensors")]),
        ("denoise:weights=C:\\w\\a.safetensors", [Step("denoise", weights="C:\\w\\a.safetensors")]),
        ("demosaic:pattern=grbg,denoise", [Step("demosaic", pattern="GRBG"), Step("denoise")]),
    ],
)
def test_steps_are_read_as_people_type_them(text: str, steps: list[Step]) -> None:
    assert list(parse_steps(text)) == steps


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a step has no name"),
        ("denoise,,dejpeg", "a step has no name"),
        ("denois", "unknown step 'denois'"),
        ("denoise:sigmas=2", "unknown option of the step denoise 'sigmas'"),
        ("derain:sigma=2", "unknown option of the step derain 'sigma'"),
        ("denoise:0.7", "'0.7' is no option of a step"),
        ("denoise:strength=2", "strength of the step denoise is a number from 0 to 1, not '2'"),
        ("denoise:strength=nan", "is a number from 0 to 1"),
        ("denoise:sigma=1e999", "sigma of the step denoise is a number from 0 to 255"),
        ("denoise:strength=0.1:strength=0.2", "given more than once"),
        ("denoise:weights=", "weights of the step denoise is a name"),
        ("denoise:self-ensemble=yes", "self-ensemble of the step denoise is true or false"),
        ("upscale", "the step upscale has no scale"),
        ("upscale:5", "scale of the step upscale is a number from 2 to 4"),
        ("upscale:2:strength=0.5", "strength cannot mix"),
        ("denoise,demosaic", "demosaic must be the first step"),
        ("demosaic:pattern=RGB", "pattern of the step demosaic is one of RGGB"),
        (",".join(["denoise"] * (MOST_STEPS + 1)), "more than the limit"),
        ("upscale:4,denoise,upscale:4,upscale:2", "the steps upscale 32 times, more than the limit of 16"),
        ("x" * 100_000, "unknown step"),
    ],
)
def test_wrong_steps_are_one_short_error(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        parse_steps(text)
    assert len(raised.value.message) < 300 and "\n" not in raised.value.message


# -------------------------------------------------------------------------------------------------------------- recipes


def test_every_shipped_recipe_is_valid() -> None:
    assert step_recipes.shipped() == ["old-scans", "phone-night", "web-picture"]
    for name in step_recipes.shipped():
        assert load_steps(name)


def test_a_recipe_says_what_a_list_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'about = "mine"\n[[step]]\ntask = "denoise"\nstrength = 0.7\nself-ensemble = true\n'
        '[[step]]\ntask = "upscale"\nscale = 2\n'
    )
    assert load_steps(str(path)) == parse_steps("denoise:strength=0.7:self-ensemble,upscale:2")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no steps"),
        (b"step = 3", "has no steps"),
        (b"step = []", "has no steps"),
        (b"[[steps]]\ntask = 'denoise'", "unknown key 'steps'"),
        (b"[[step]]\nstrength = 1", "a step has no task"),
        (b"[[step]]\ntask = 3", "a step has no task"),
        (b"[[step]]\ntask = 'denoise'\nstrength = true", "strength of the step denoise is a number"),
        (b"[[step]]\ntask = 'denoise'\nstrength = [1]", "strength of the step denoise is a number"),
        (b"[[step]]\ntask = 'denoise'\nweights = 3", "weights of the step denoise is a name"),
        (b"[[step]]\ntask = 'denoise'\nself-ensemble = 1", "true or false"),
        (b"[[step]]\ntask = 'upscale'", "has no scale"),
        (b"[[step]\n", "line 1, column"),
        (b"\xff\xfe", "not valid TOML"),
        (b"a = " + b"[" * 20_000, "nested brackets|not valid TOML"),
        (b"#" * 200_000, "larger than a recipe"),
    ],
)
def test_a_bad_recipe_is_one_error(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why) as raised:
        load_steps(str(path))
    assert "recipe" in raised.value.message and raised.value.hint and "\n" not in raised.value.message


def test_a_recipe_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot find the recipe"):
        load_steps(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="unknown recipe 'old-scan'") as raised:
        load_steps("old-scan")
    assert raised.value.hint == "did you mean 'old-scans'?"


# --------------------------------------------------------------------------------------------------------------- chains


@pytest.mark.usefixtures("times")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("steps", ["derain,deblur", "denoise,dejpeg"])
def test_nothing_is_rounded_or_clipped_between_steps(steps: str, dtype: type) -> None:
    """A hundredth has no room in 8 bits, and four times white none below white."""
    source = picture(dtype)
    restored = load_chain(parse_steps(steps), device="cpu", precision="float32").restore_picture(source).picture
    np.testing.assert_array_equal(restored.pixels, source.pixels)
    assert restored.pixels.dtype == dtype


@pytest.mark.usefixtures("times")
def test_the_result_is_clipped_to_the_type_of_the_source() -> None:
    source = picture()
    restored = load_chain(parse_steps("denoise,denoise"), device="cpu", precision="float32").restore_picture(source)
    np.testing.assert_array_equal(restored.picture.pixels, np.minimum(255, source.pixels.astype(int) * 16))


@pytest.mark.usefixtures("times")
def test_floats_stay_floats_of_any_range() -> None:
    source = Picture(np.random.default_rng(0).random((20, 30, 3), dtype=np.float32) * 3)
    restored = load_chain(parse_steps("denoise,dejpeg"), device="cpu").restore_picture(source).picture
    assert restored.pixels.dtype == np.float32 and restored.pixels.max() > 2


@pytest.mark.usefixtures("times")
def test_alpha_and_further_channels_come_back_exactly() -> None:
    source = picture(np.uint16)
    generator = np.random.default_rng(1)
    source.alpha = generator.integers(0, 65536, (20, 30), dtype=np.uint16)
    source.extra = generator.integers(0, 65536, (20, 30, 2), dtype=np.uint16)
    source.alpha[5:9] = 0
    restored = load_chain(parse_steps("denoise,dejpeg"), device="cpu", precision="float32").restore_picture(source)
    np.testing.assert_array_equal(restored.picture.alpha, source.alpha)
    np.testing.assert_array_equal(restored.picture.extra, source.extra)
    np.testing.assert_array_equal(restored.picture.pixels, source.pixels)


@pytest.mark.usefixtures("times")
def test_black_and_white_with_the_rounding_of_jpeg_comes_out_neutral() -> None:
    grey = np.random.default_rng(0).integers(100, 250, (20, 30, 1))
    source = Picture((grey + np.array([0, 1, 2])).astype(np.uint8))
    restored = load_chain(parse_steps("denoise,dejpeg"), device="cpu").restore_picture(source).picture.pixels
    assert (restored == restored[..., :1]).all()


@pytest.mark.usefixtures("times")
def test_one_step_is_what_the_restorer_gives() -> None:
    source, chain = picture(), load_chain(parse_steps("dejpeg:strength=0.5"), device="cpu")
    alone = chain.steps[0].restorer.restore_picture(source, strength=0.5)
    np.testing.assert_array_equal(chain.restore_picture(source).picture.pixels, alone.picture.pixels)


@pytest.mark.usefixtures("times")
def test_history_and_records_have_one_entry_a_step() -> None:
    steps = parse_steps("denoise:strength=0.5,dejpeg,upscale:2")
    restored = load_chain(steps, device="cpu").restore_picture(picture())
    assert restored.picture.pixels.shape == (40, 60, 3)
    assert [entry.split(": ")[1].split(",")[0] for entry in restored.picture.history] == [
        "denoise",
        "dejpeg",
        "upscale",
    ]
    assert "strength 0.5" in restored.picture.history[0]
    assert [record["weights"] for record in restored.steps] == ["times-denoise", "times-dejpeg", "x2"]
    assert all(len(record["sha256"]) == 64 and record["seconds"] >= 0 for record in restored.steps)
    assert restored.tiles == 3


@pytest.mark.usefixtures("times")
def test_progress_grows_over_all_steps_and_ends_once() -> None:
    seen: list[tuple[int, int]] = []
    chain = load_chain(parse_steps("denoise,upscale:2,dejpeg"), device="cpu")
    chain.restore_picture(picture(), tile=16, overlap=4, progress=lambda done, total: seen.append((done, total)))
    done = [part / total for part, total in seen]
    assert done == sorted(done) and done.count(1.0) == 1 and done[-1] == 1.0
    assert {total for _, total in seen} == {600 + 600 + 2400}  # twice the size: four times the pixels


@pytest.mark.usefixtures("times")
def test_networks_are_loaded_once() -> None:
    loader = StepLoader(device="cpu")
    first, again = loader.chain(parse_steps("denoise,denoise:sigma=25:strength=0.5")).steps
    assert first.restorer is again.restorer is loader.load(Step("denoise")).restorer


@pytest.mark.usefixtures("times")
def test_unsuitable_weights_are_refused_before_a_network_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.batch.step_chain.load_restorer", lambda *_: pytest.fail("a network was loaded"))
    with pytest.raises(UsageError, match="are for denoise, not for dejpeg"):
        load_chain(parse_steps("denoise,dejpeg:weights=times-denoise"))


def test_an_advice_becomes_steps_whose_strength_is_scaled() -> None:
    advice = Advice((AdvisedStep("denoise", "noise", strength=0.8), AdvisedStep("upscale", "asked for", 2)))
    denoise, upscale = advised(advice, strength=0.5, self_ensemble=True)
    assert denoise == Step("denoise", None, 0.4, self_ensemble=True, why="noise")
    assert (upscale.level, upscale.strength) == (2, 1.0)
