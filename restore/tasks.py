"""What a user can ask for: one record per task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """The strength of a degradation, for tasks with weights made for one strength.

    Attributes:
        name: The name in papers; with two dashes the option, such as `--sigma`.
        unit: Unit of the numbers.
        low, high: Smallest and largest value that makes sense.
        help: Help of the option.
    """

    name: str
    unit: str
    low: float
    high: float
    help: str


@dataclass(frozen=True)
class Task:
    """One thing that `restore` does to a picture; its name is also the command.

    Attributes:
        name: Verb, and key of `TASKS`.
        summary: One line: what it does to a picture.
        help: What else a user of the command should know.
        level: None for a task without a strength. Weights without a level (blind) work at any strength.
        takes_mosaic: Whether the picture is a Bayer mosaic (`restore.images.bayer`).
        is_upright: Whether the picture has an up and a down: rain falls.
        recipe: The bundled recipe that `restore train` uses if you name none.
        other_names: Words that people type for it. The command line suggests the task for them.
    """

    name: str
    summary: str
    help: str
    level: Level | None = None
    takes_mosaic: bool = False
    is_upright: bool = False
    recipe: str | None = None
    other_names: tuple[str, ...] = ()


TASKS: dict[str, Task] = {
    "denoise": Task(
        name="denoise",
        summary="Remove noise.",
        help="You don't have to set a noise level. The default weights remove camera noise and Gaussian noise of any "
        "strength. They leave a clean picture nearly unchanged.",
        level=Level(
            "sigma",
            "8-bit grey levels",
            0,
            255,
            "Standard deviation of Gaussian noise. Uses weights made for it, else blind weights.",
        ),
        recipe="cs-kit-s-denoise",
        other_names=("clean", "enhance", "noise", "remove-noise", "degrain"),
    ),
    "deblur": Task(
        name="deblur",
        summary="Sharpen blurred photographs.",
        help="You don't have to describe the blur. The default weights handle camera shake, moving objects and "
        "defocus.",
        recipe="cs-kit-s-deblur",
        other_names=("blur", "deconvolve", "enhance", "remove-blur", "sharpen", "unblur"),
    ),
    "derain": Task(
        name="derain",
        summary="Remove rain streaks.",
        help="The default weights handle light and heavy rain of any direction.",
        is_upright=True,
        recipe="cs-kit-s-derain",
        other_names=("rain", "remove-rain", "unrain"),
    ),
    "dejpeg": Task(
        name="dejpeg",
        summary="Remove JPEG artifacts: blocking and ringing.",
        help="You don't have to set a JPEG quality. The default weights handle any.",
        level=Level(
            "jpeg-quality",
            "JPEG quality",
            1,
            100,
            "Quality that the picture was saved with. Uses weights made for it, else blind weights.",
        ),
        recipe="cs-kit-s-dejpeg",
        other_names=("compress", "deartifact", "deblock", "decompress", "jpeg", "jpg", "remove-artifacts"),
    ),
    "demosaic": Task(
        name="demosaic",
        summary="Turn a Bayer mosaic into a colour picture.",
        help="The picture is a grey mosaic, or RGB where two of the three values of every pixel are zero.",
        takes_mosaic=True,
        recipe="panet-s-demosaic",
        other_names=("bayer", "debayer", "develop", "raw"),
    ),
    "upscale": Task(
        name="upscale",
        summary="Upscale 2, 3 or 4 times.",
        help="Set the factor with --scale. Each factor has its own weights. Noise and JPEG artifacts are enlarged too: "
        "`restore auto --scale 2` removes them first.",
        level=Level("scale", "times", 2, 4, "Upscale N times. Required unless you name --weights."),
        other_names=("enhance", "enlarge", "resize", "sr", "super-resolution", "superres", "upres", "upsample"),
    ),
}
