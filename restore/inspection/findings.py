"""`Findings`: what is wrong with a picture, in numbers and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Findings:
    """What `restore.inspection.inspect.inspect` finds in a picture.

    Attributes:
        width, height: Size in pixels, as shown.
        bits: Bits a sample: 8, 16 or 32 (floats).
        is_grey: The picture has no colour, even if it is stored as RGB.
        profile: Name of its colour profile; None without one.
        format: Format of the file, such as `JPEG`.
        noise: Standard deviation of the noise in luma, in 8-bit grey levels.
        noise_chroma: The same for the two colour differences.
        noise_is_coarse: Grains are larger than a pixel.
        jpeg_quality: Quality of the file's own tables, 1 to 100; None if it is no JPEG.
        jpeg_quality_seen: The earlier JPEG quality that the pixels show, 1 to 100; None for no trace.
        blur: `none`, `defocus` or `motion`.
        blur_pixels: Radius of the defocus, or length of the motion; 0 for none.
        rain: How certain it is that there is rain, 0 to 1.
        enlarged: By how much the picture was enlarged before; 1 for not.
        tasks: The tasks that mend what is visible, such as `("denoise",)`; empty for a good picture.
    """

    width: int
    height: int
    bits: int
    is_grey: bool
    profile: str | None
    format: str
    noise: float
    noise_chroma: float
    noise_is_coarse: bool
    jpeg_quality: int | None
    jpeg_quality_seen: int | None
    blur: str
    blur_pixels: float
    rain: float
    enlarged: float
    tasks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The attributes, ready for JSON."""
        return {**asdict(self), "tasks": list(self.tasks)}

    def words(self) -> list[str]:
        """What is wrong, one phrase each; empty for a good picture."""
        found = []
        if "derain" in self.tasks:
            found.append(f"rain (certainty {self.rain:.0%})")
        if "dejpeg" in self.tasks:
            seen = self.jpeg_quality_seen or self.jpeg_quality
            found.append("JPEG artifacts" + ("" if seen is None else f" (quality {seen})"))
        if "denoise" in self.tasks:
            grain = "coarse" if self.noise_is_coarse else "fine"
            found.append(f"{grain} noise (sigma {self.noise:.1f}, colour {self.noise_chroma:.1f})")
        if "deblur" in self.tasks:
            what = {"motion": "motion blur", "defocus": "defocus"}.get(self.blur, "blur")
            found.append(f"{what} (about {self.blur_pixels:.0f} pixels)")
        if self.enlarged > 1:
            found.append(f"enlarged before (about {self.enlarged:.1f} times)")
        return found
