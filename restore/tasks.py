"""What a user can ask for: one record a task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """How strong a degradation is, for tasks whose weights can be made for one strength.

    Attributes:
        name: What papers call it, and with two dashes the option, such as `sigma`.
        unit: Unit of the numbers.
        low, high: Smallest and largest value that makes sense.
        help: One phrase.
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
        level: None for a task that has no strength. Weights without a level (blind) work at any strength.
        takes_mosaic: Whether the picture is a mosaic of colour filters (`restore.images.bayer`).
        is_upright: Whether it matters which way is down: rain falls.
        recipe: The shipped recipe that `restore train` follows where none is named.
    """

    name: str
    summary: str
    help: str
    level: Level | None = None
    takes_mosaic: bool = False
    is_upright: bool = False
    recipe: str | None = None


TASKS: dict[str, Task] = {
    "denoise": Task(
        name="denoise",
        summary="Remove the noise of photographs.",
        help="The default weights are blind: they take any strength of noise, of a camera or Gaussian, and "
        "leave a clean picture nearly as it is.",
        level=Level("sigma", "8-bit grey levels", 0, 255, "standard deviation of Gaussian noise"),
        recipe="cs-kit-s-denoise",
    ),
    "deblur": Task(
        name="deblur",
        summary="Sharpen photographs that camera shake or motion blurred.",
        help="The default weights are blind: they take camera shake, moving objects and defocus.",
        recipe="cs-kit-s-deblur",
    ),
    "derain": Task(
        name="derain",
        summary="Remove rain streaks.",
        help="One set of default weights is for light and heavy rain of any direction.",
        is_upright=True,
        recipe="cs-kit-s-derain",
    ),
    "dejpeg": Task(
        name="dejpeg",
        summary="Remove the artifacts of JPEG compression.",
        help="The default weights are blind: they find out by themselves how strongly a picture was compressed.",
        level=Level("jpeg-quality", "JPEG quality", 1, 100, "quality the picture was saved with"),
        recipe="cs-kit-s-dejpeg",
    ),
    "demosaic": Task(
        name="demosaic",
        summary="Fill in the two colours that each pixel of a sensor lacks.",
        help="The picture is a grey mosaic, or one held as RGB where two of the three values of every pixel are zero.",
        takes_mosaic=True,
        recipe="panet-s-demosaic",
    ),
    "upscale": Task(
        name="upscale",
        summary="Enlarge pictures.",
        help="Say how much with --scale: weights come for 2, 3 and 4 times.",
        level=Level("scale", "times", 2, 4, "output size over input size"),
    ),
}
