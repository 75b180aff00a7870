"""The Python API: tasks by name, files and bytes as the command restores them, cancelling, threads, forks, types."""

from __future__ import annotations

import inspect
import io
import pickle  # noqa: TID251  # what users do to send a restorer to another process
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run, save
from PIL import Image

import restore
from restore.api.files import FileOptions
from restore.api.pictures import RunOptions
from restore.batch import step_recipes
from restore.images import Picture, write_picture

EXIF = Image.Exif()
EXIF[0x010F] = "Maker"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


def save_photo(path: Path, **more: Any) -> None:
    """A small JPEG with EXIF, XMP and a resolution."""
    pixels = np.random.default_rng(0).integers(20, 236, (40, 48, 3), np.uint8)
    Image.fromarray(pixels).save(path, **{"exif": EXIF.tobytes(), "xmp": XMP, "dpi": (300, 300)} | more)


def in_new_process(code: str, *, timeout: int = 60, **env: str) -> str:
    """The output of a program."""
    import os

    program = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=timeout, env=os.environ | env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ----------------------------------------------------------------------------------------------------------- loading


def test_a_task_is_its_default_weights(tiny_catalogue: Path) -> None:
    restorer = restore.load("denoise", device="cpu")
    assert restorer.entry is not None and restorer.entry.name == "tiny-denoise"
    assert restorer.task is not None and restorer.task.name == "denoise"
    assert restorer.scale == 1
    assert repr(restorer) == "<Restorer tiny-denoise: denoise, x1, cpu, auto>"


def test_upscaling_takes_the_weights_of_its_scale() -> None:
    for scale in (2, 3, 4):
        assert restore.load("upscale", scale=scale, device="cpu").scale == scale


@pytest.mark.parametrize(
    ("weights", "levels", "match"),
    [
        ("upscale", {}, "upscale needs scale"),
        ("upscale", {"scale": 5}, "scale is a number from 2 to 4, not 5"),
        ("upscale", {"scale": True}, "scale is a number"),
        ("upscale", {"scale": 2.5}, "scale=2.5"),
        ("denoise", {"scale": 2}, "denoise has no scale"),
        ("denoise", {"sigma": float("nan")}, "sigma is a number from 0 to 255"),
        ("denoise", {"sigma": "25"}, "sigma is a number from 0 to 255"),
        ("derain", {"jpeg_quality": 20}, "derain has no jpeg_quality"),
        ("pa-edsr-s-x2", {"scale": 3}, "these weights are for scale=2, not 3"),
        ("denose", {}, "unknown weights or task 'denose'"),
        ("denoise ", {}, "unknown weights or task 'denoise '"),
        ("", {}, "unknown weights or task ''"),
        (None, {}, "None is not weights"),
        (7, {}, "7 is not weights"),
        (b"denoise", {}, "b'denoise' is not weights"),
        ("denoise", {"precision": None}, "unknown precision None"),
        ("denoise", {"precision": "fp16"}, "unknown precision 'fp16'"),
    ],
)
def test_levels_that_do_not_fit_are_refused_in_words_of_python(
    weights: Any, levels: dict[str, Any], match: str
) -> None:
    with pytest.raises((restore.UsageError, restore.WeightsError), match=match) as caught:
        restore.load(weights, **{"device": "cpu"} | levels)
    assert "--" not in f"{caught.value.message} {caught.value.hint}"


def test_a_misspelt_task_is_suggested() -> None:
    with pytest.raises(restore.WeightsError) as caught:
        restore.load("denose")
    assert caught.value.hint == "did you mean 'denoise'?"


def test_another_name_of_a_task_is_suggested() -> None:
    with pytest.raises(restore.WeightsError) as caught:
        restore.load("degrain")
    assert caught.value.hint == "did you mean 'denoise'?"


@pytest.mark.parametrize("device", [None, 0, "gpu"])
def test_an_unknown_device_is_refused(device: Any) -> None:
    with pytest.raises(restore.DeviceError, match="unknown device"):
        restore.load("denoise", device=device)


def test_defaults_of_pytorch_change_no_weights_and_no_result() -> None:
    array, weights = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8), "cs-kit-s-denoise"
    expected = restore.load(weights, device="cpu")(array)
    for dtype, device in ((torch.float64, "cpu"), (torch.bfloat16, "cpu"), (torch.float32, "meta")):
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)
        try:
            with torch.autocast("cpu", torch.bfloat16):
                restored = restore.load(weights, device="cpu")(array)
            assert torch.get_default_dtype() == dtype
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
        np.testing.assert_array_equal(restored, expected)


def test_weights_are_listed_with_their_facts() -> None:
    listed = {weights.name: weights for weights in restore.list_weights()}
    assert listed["pa-edsr-s-x3"].level == 3 and listed["pa-edsr-s-x3"].is_default
    assert listed["cs-kit-s-denoise"].licence == "Apache-2.0"
    assert {weights.task for weights in restore.list_weights("derain")} == {"derain"}
    with pytest.raises(restore.UsageError, match="unknown task"):
        restore.list_weights("derian")


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_a_file_gets_the_bytes_that_the_command_writes(tiny_catalogue: Path, run: Run, ending: str) -> None:
    save_photo(Path("a.jpg"))
    assert run("denoise", "a.jpg", "-o", f"command.{ending}").code == 0
    restore.restore_file("a.jpg", f"python.{ending}", "denoise")
    assert Path(f"python.{ending}").read_bytes() == Path(f"command.{ending}").read_bytes()


def test_bytes_and_streams_give_the_bytes_of_the_file(tiny_catalogue: Path, run: Run) -> None:
    save_photo(Path("a.jpg"))
    restorer = restore.load("denoise", device="cpu")
    restore.restore_file(Path("a.jpg"), "out.jpg", restorer)
    data, expected, target = Path("a.jpg").read_bytes(), Path("out.jpg").read_bytes(), io.BytesIO()
    assert restore.restore_bytes(data, restorer) == expected
    assert restore.restore_bytes(memoryview(data), "denoise") == expected
    with open("a.jpg", "rb") as stream:
        restore.restore_file(stream, target, restorer)
    assert target.getvalue() == expected
    assert restore.restore_bytes(data, restorer, format="png")[1:4] == b"PNG"


def test_an_existing_file_stays_unless_it_may_be_replaced(tiny_catalogue: Path, run: Run) -> None:
    save("a.png")
    before = Path("a.png").read_bytes()
    with pytest.raises(restore.PictureError, match=r"a\.png already exists") as caught:
        restore.restore_file("a.png", "a.png", "denoise")
    assert caught.value.hint is not None and "overwrite=True" in caught.value.hint
    assert Path("a.png").read_bytes() == before
    restore.restore_file("a.png", "a.png", "denoise", overwrite=True)
    assert Path("a.png").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"quality": 0}, "quality is a whole number from 1 to 100"),
        ({"quality": "90"}, "quality is a whole number from 1 to 100, not '90'"),
        ({"format": 3}, "format is a text, not 3"),
        ({"background": 7}, "background is a text, not 7"),
        ({"on_damage": "stop"}, "unknown on_damage 'stop'"),
        ({"strength": 7}, "strength must be between 0 and 1"),
        ({"region": (0, 0, 4096, 4)}, "is not inside the picture"),
        ({"progress": 7}, "progress is a function"),
        ({"background": "pink"}, "background"),
        ({"pattern": "RGBG"}, "unknown pattern"),
        ({"format": "docx"}, "unknown format"),
        ({"tile": 1}, "tile"),
        ({"page": 2}, "no page 2"),
        ({"device": "cpu"}, "device has no effect"),
    ],
)
def test_wrong_options_write_nothing(tiny_catalogue: Path, run: Run, options: dict[str, Any], match: str) -> None:
    save("a.png")
    with pytest.raises(restore.RestoreError, match=match):
        restore.restore_file("a.png", "b.png", restore.load("denoise"), **options)
    assert not Path("b.png").exists()


def test_bytes_that_are_no_picture_are_called_bytes(tiny_catalogue: Path) -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(9)):
        with pytest.raises(restore.PictureError, match="cannot read the bytes"):
            restore.restore_bytes(data, "denoise")
    with pytest.raises(restore.UsageError, match="Chain is not weights") as caught:
        restore.restore_bytes(b"", restore.load_steps("denoise", device="cpu"))  # type: ignore[arg-type]
    assert caught.value.hint is not None and "restore.run" in caught.value.hint


def test_a_part_of_a_file_is_that_of_the_command(tiny_catalogue: Path, run: Run) -> None:
    save_photo(Path("a.jpg"))
    assert run("denoise", "a.jpg", "-o", "command.png", "--crop", "8,4,24,16").code == 0
    restore.restore_file("a.jpg", "python.png", "denoise", region=(8, 4, 24, 16))
    assert Path("python.png").read_bytes() == Path("command.png").read_bytes()
    whole = np.asarray(restore.load("denoise", device="cpu")("a.jpg"))
    np.testing.assert_array_equal(np.asarray(Image.open("python.png")), whole[4:20, 8:32])


def test_bytes_take_the_options_of_files() -> None:
    of_files = set(inspect.signature(restore.restore_file).parameters)
    only_for_files = {"source", "target", "weights", "overwrite", "keep_times", "copy_sidecars"}
    assert set(FileOptions.__annotations__) == of_files - only_for_files


def test_the_typed_options_of_run_are_its_options() -> None:
    assert set(RunOptions.__annotations__) == set(inspect.signature(restore.run).parameters) - {"steps", "image"}


# ---------------------------------------------------------------------------------------------------- several pictures


def test_steps_run_in_turn_and_keep_the_type(tiny_catalogue: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    twice = restore.run("denoise,denoise", array, device="cpu")  # the network inverts
    np.testing.assert_array_equal(twice, array)
    steps = restore.load_steps("denoise", device="cpu")
    assert isinstance(restore.run(steps, Image.fromarray(array)), Image.Image)


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        ("denoise,sharpen", "unknown step 'sharpen'"),
        ("", "a step has no name"),
        ("nope.toml", "cannot find the recipe nope.toml"),
        (Path("steps.txt"), "steps.txt is no recipe"),
        ([], "no steps given"),
        (("denoise",), "is not steps"),
        (b"denoise", "is not steps"),
        (None, "None is not steps"),
        (restore.Step("denoise"), "is not steps"),
    ],
)
def test_what_is_not_steps_is_refused(steps: Any, match: str) -> None:
    with pytest.raises(restore.UsageError, match=match) as caught:
        restore.run(steps, np.zeros((8, 8, 3), np.uint8), device="cpu")
    assert "--" not in f"{caught.value.message} {caught.value.hint}"


def test_a_recipe_is_steps(tiny_catalogue: Path, run: Run) -> None:
    array = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    Path("own.toml").write_text("[[step]]\ntask = 'denoise'\n[[step]]\ntask = 'denoise'\nstrength = 0.5\n")
    expected = restore.run("denoise,denoise:strength=0.5", array, device="cpu")
    for recipe in ("own.toml", Path("own.toml")):
        np.testing.assert_array_equal(restore.run(recipe, array, device="cpu"), expected)


def test_the_name_of_a_shipped_recipe_is_steps() -> None:
    shipped = [loaded.step for loaded in restore.load_steps("web-picture", device="cpu").steps]
    assert shipped == list(step_recipes.load_steps("web-picture"))


def test_steps_restore_a_region_alone(tiny_catalogue: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    whole = restore.run("denoise,denoise:strength=0.5", array, device="cpu")
    part = restore.run("denoise,denoise:strength=0.5", array, device="cpu", region=(10, 20, 24, 16))
    np.testing.assert_array_equal(part, whole[20:36, 10:34])


def test_a_picture_is_inspected_from_any_type() -> None:
    array = np.full((64, 80, 3), 128, np.uint8)
    for image in (array, Image.fromarray(array), Picture(array)):
        found = restore.inspect(image)
        assert (found.width, found.height) == (80, 64)


# --------------------------------------------------------------------------------------------- progress and cancelling


def test_progress_that_returns_false_cancels_and_writes_nothing(tiny_catalogue: Path, run: Run) -> None:
    save("a.png", side=100)
    calls: list[tuple[int, int]] = []

    def stop_after_two(done: int, total: int) -> bool:
        calls.append((done, total))
        return done < 2

    with pytest.raises(restore.Cancelled, match="after 2 of"):
        restore.restore_file("a.png", "b.png", "denoise", tile=50, overlap=4, progress=stop_after_two)
    assert [done for done, _ in calls] == [1, 2]
    assert not Path("b.png").exists()


def test_an_event_that_is_set_cancels_files_and_steps(tiny_catalogue: Path, run: Run) -> None:
    save("a.png")
    event = threading.Event()
    event.set()
    with pytest.raises(restore.Cancelled):
        restore.restore_file("a.png", "b.png", "denoise", cancel=event)
    with pytest.raises(restore.Cancelled):
        restore.run("denoise", "a.png", cancel=event)


# ---------------------------------------------------------------------------------------------- import, threads, forks


def test_importing_takes_milliseconds_and_no_numpy() -> None:
    assert in_new_process("import sys, restore; print({'torch', 'numpy', 'PIL'} & set(sys.modules))") == "set()"


def test_all_names_can_be_used_and_are_listed() -> None:
    assert set(restore.__all__) <= set(dir(restore))
    assert all(getattr(restore, name) is not None for name in restore.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        getattr(restore, "lode")  # noqa: B009


@pytest.mark.parametrize("weights", ["cs-kit-s-denoise", "drsformer-s-derain"])
def test_eight_threads_share_a_restorer_and_get_what_one_gets(weights: str) -> None:
    restorer = restore.load(weights, device="cpu")
    arrays = [np.random.default_rng(seed).integers(0, 256, (40 + seed, 48, 3), np.uint8) for seed in range(4)]
    alone = [restorer(array).tobytes() for array in arrays]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda array: restorer(array).tobytes(), arrays * 2))
    assert together == alone * 2


def test_threads_write_the_files_that_one_writes(tiny_catalogue: Path, run: Run) -> None:
    save_photo(Path("a.jpg"))
    restorer, data = restore.load("denoise", device="cpu"), Path("a.jpg").read_bytes()
    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(lambda _: restore.restore_bytes(data, restorer), range(16)))
    assert results == {restore.restore_bytes(data, "denoise", device="cpu")}


def test_a_pickled_restorer_restores_the_same_bytes() -> None:
    restorer = restore.load("cs-kit-s-denoise", device="cpu")
    array = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    again = pickle.loads(pickle.dumps(restorer))
    assert repr(again) == repr(restorer)
    np.testing.assert_array_equal(again(array), restorer(array))


def test_another_thread_cancels_and_nothing_half_written_stays(tiny_catalogue: Path, run: Run) -> None:
    save("a.png", side=100)
    Path("b.png").write_bytes(b"before")
    cancel, running = threading.Event(), threading.Event()

    def wait_for_the_other(done: int, total: int) -> None:
        running.set()
        assert cancel.wait(20)

    def stop() -> None:
        assert running.wait(20)
        cancel.set()

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(restore.Cancelled, match="after 1 of"):
        restore.restore_file(
            "a.png", "b.png", "denoise", tile=50, overlap=4, overwrite=True, progress=wait_for_the_other, cancel=cancel
        )
    other.join()
    assert Path("b.png").read_bytes() == b"before"
    assert {path.name for path in Path().glob("*.png")} == {"a.png", "b.png"} and len(list(Path().glob(".*"))) == 0


@pytest.mark.slow  # a process with threads on a busy machine
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")
def test_a_forked_process_restores_after_its_parent_did() -> None:
    code = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        import numpy as np, restore
        restorer = restore.load("denoise", device="cpu")
        picture = np.zeros((64, 64, 3), np.uint8)
        parents = restorer(picture)
        child = os.fork()
        if not child:
            os._exit(0 if (restorer(picture) == parents).all() else 1)
        print(os.waitpid(child, 0)[1])
    """
    assert in_new_process(code, OMP_NUM_THREADS="2") == "0"


@pytest.mark.slow  # mypy reads torch: half a minute
def test_a_type_checker_knows_what_comes_back(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import io
        import threading
        from pathlib import Path
        from typing import assert_type

        import numpy as np
        import numpy.typing as npt
        import torch
        from PIL import Image

        import restore

        restorer = restore.load("denoise", precision="float32")
        assert_type(restorer, restore.Restorer)
        assert_type(restorer.scale, int)
        array: npt.NDArray[np.uint8] = np.zeros((8, 8, 3), np.uint8)
        picture = restore.Picture(array)
        assert_type(restorer(Image.new("RGB", (8, 8))), Image.Image)
        assert_type(restorer("a.png"), Image.Image)
        assert_type(restorer(Path("a.png")), Image.Image)
        assert_type(restorer(b""), Image.Image)
        assert_type(restorer(io.BytesIO()), Image.Image)
        assert_type(restorer(array, strength=0.5), npt.NDArray[np.uint8])
        assert_type(restorer(torch.zeros(3, 8, 8)), torch.Tensor)
        assert_type(restorer(picture), restore.Picture)
        assert_type(restore.run("denoise,upscale:2", array), npt.NDArray[np.uint8])
        assert_type(restore.run("denoise", "a.png"), Image.Image)
        assert_type(restore.run(Path("recipe.toml"), array, region=(0, 0, 8, 8)), npt.NDArray[np.uint8])
        restorer.restore_picture(picture, progress=lambda done, total: done < 5, cancel=threading.Event())
        assert_type(restore.inspect(array), restore.Findings)
        assert_type(restore.restore_bytes(b"", "denoise", format="png"), bytes)
        assert_type(restore.restore_file("a.png", "b.png", "denoise"), restore.Outcome)
        assert_type(restore.list_weights(), list[restore.Weights])
        restorer(7)  # type: ignore[call-overload]
        restorer(array, strenght=0.5)  # type: ignore[call-overload]
        restore.lode  # type: ignore[attr-defined]
    """)
    )
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_picture_of_a_mosaic_takes_its_pattern(run: Run) -> None:
    mosaic = np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8)
    write_picture(Picture(mosaic), Path("mosaic.png"))
    assert run("demosaic", "mosaic.png", "-o", "command.png", "--pattern", "GRBG").code == 0
    restore.restore_file("mosaic.png", "python.png", "demosaic", pattern="GRBG")
    assert Path("python.png").read_bytes() == Path("command.png").read_bytes()
