"""Named datasets: what they are, how their files lie, and what the papers score on them; `dataset_files` finds them.

Nothing is downloaded. Where a fact is not known it is None or "not stated", never a guess.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """One way in which people have a set on disk.

    Attributes:
        origin: Whose way it is.
        clean, degraded: Patterns of paths below the set's folder, without the ending. What their `*` stand for, in
            order, is the name of a picture and pairs it with its partner; a degraded picture may have more of them than
            the clean one (several degraded versions). None: the set has no such pictures.
        within: Folders below the root in which these paths may begin.
        pictures: How many there are in this layout, where it is not the split's number.
    """

    origin: str
    clean: str | None
    degraded: str | None = None
    within: tuple[str, ...] = ("",)
    pictures: int | None = None

    @property
    def paths(self) -> str:
        """The patterns, degraded first."""
        return " + ".join(p for p in (self.degraded, self.clean) if p)

    def __str__(self) -> str:
        return _described(self)


@dataclass(frozen=True)
class Blocks:
    """256x256 blocks in MATLAB files: file and variable of the noisy and of the clean ones (None: kept by the authors).

    `boxes` names the file with the places of the blocks, where `degraded` are whole pictures (DND).
    """

    origin: str
    degraded: tuple[str, str]
    clean: tuple[str, str] | None = None
    boxes: tuple[str, str] | None = None
    within: tuple[str, ...] = ("",)
    pictures: int | None = None

    @property
    def paths(self) -> str:
        """The files, noisy ones first."""
        return " + ".join(f[0] for f in (self.degraded, self.clean, self.boxes) if f)

    def __str__(self) -> str:
        return _described(self)


def _described(layout: Layout | Blocks) -> str:
    """Its patterns, whose way it is, and where they may begin."""
    places = " or ".join(place for place in layout.within if place)
    return f"{layout.paths} ({layout.origin}{'; also below ' + places if places else ''})"


@dataclass(frozen=True)
class Split:
    """A part of a set; `pictures` counts the degraded ones, or the clean ones of a set that has no others."""

    pictures: int | None
    layouts: tuple[Layout | Blocks, ...]


@dataclass(frozen=True)
class Dataset:
    """One named set.

    Attributes:
        name: Key of `DATASETS`.
        summary: What it is.
        task: What it is mainly for.
        paper: Where it was introduced.
        source: Where its authors offer it, or who tells.
        licence: Terms as far as they are known.
        used_in: Papers of the networks here, and tables, that use it.
        splits: Parts by name.
        protocol: Key of `metrics.PROTOCOLS`, where the papers score this set in another way than its task.
        degradation: The same for the degradation that is applied to clean pictures.
        colour: Whether the pictures are colour, grey or both.
    """

    name: str
    summary: str
    task: str
    paper: str
    source: str
    licence: str
    used_in: tuple[str, ...]
    splits: dict[str, Split] = field(hash=False)
    protocol: str | None = None
    degradation: str | None = None
    colour: Literal["rgb", "grey", "mixed"] = "rgb"

    @property
    def scored_split(self) -> str:
        """The split that `restore eval` takes where none is named."""
        return next((name for name in ("test", "validation") if name in self.splits), next(iter(self.splits)))


def _places(name: str, *parents: str) -> tuple[str, ...]:
    return ("", name, *(f"{parent}/{name}" for parent in parents))


def _restormer(name: str, split: str = "test", pictures: int | None = None) -> Layout:
    within = _places(name, split, f"Datasets/{split}")
    return Layout("MPRNet, Restormer, DRSformer", "target/*", "input/*", within, pictures)


def _rain100(name: str) -> Layout:
    return Layout("PReNet", "norain-*", "rainy/rain-*", _places(name, "test", "datasets/test"))


def _rain200(name: str, split: str) -> Layout:
    return Layout("authors", "norain/*", "rain/X2/*x2", _places(split, name))


def _clean_set(name: str, *others: str) -> tuple[Layout, ...]:
    names = (name, *others)
    within = ("", *names, *(f"{parent}/{n}" for n in names for parent in ("test", "Datasets/test", "benchmark", "HR")))
    return (
        Layout("EDSR, PANet", "HR/*", within=within),
        Layout("BasicSR", "GTmod12/*", within=within),
        Layout("BasicSR", "original/*", within=within),
        Layout("plain folder", "*", within=within),
    )


_BSD_TERMS = "non-commercial research and education (Berkeley Segmentation Dataset)"
_UNKNOWN = "not stated"
_RAIN_SETS = "offered with MPRNet and Restormer (github.com/swz30/Restormer, Deraining)"
_DRS_SETS = "offered with DRSformer (github.com/cschenxiang/DRSformer)"
_SR_SETS = "collected in BasicSR's docs/DatasetPreparation.md (github.com/XPixelGroup/BasicSR)"

_YANG = "Yang et al., Deep Joint Rain Detection and Removal from a Single Image, CVPR 2017"

DATASETS: dict[str, Dataset] = {
    d.name: d
    for d in (
        Dataset(
            "SIDD",
            "real noise of five smartphones: 320 pairs, and blocks of 256x256 to validate on and to submit",
            "denoise",
            "Abdelhamed et al., A High-Quality Denoising Dataset for Smartphone Cameras, CVPR 2018",
            "https://www.eecs.yorku.ca/~kamel/sidd/",
            _UNKNOWN,
            ("CS-KiT tables 1 and 4 to 6", "KiT supplement table 1"),
            {
                "train": Split(
                    320,
                    (
                        Layout(
                            "authors (SIDD-Medium sRGB)",
                            "Data/*/*GT_SRGB_*",
                            "Data/*/*NOISY_SRGB_*",
                            _places("SIDD_Medium_Srgb", "SIDD"),
                        ),
                    ),
                ),
                "validation": Split(
                    1280,
                    (
                        Blocks(
                            "authors",
                            ("ValidationNoisyBlocksSrgb.mat", "ValidationNoisyBlocksSrgb"),
                            ("ValidationGtBlocksSrgb.mat", "ValidationGtBlocksSrgb"),
                            within=("", "SIDD", "test/SIDD", "Datasets/test/SIDD", "SIDD/test", "Datasets/SIDD/test"),
                        ),
                        Layout("NAFNet, as pictures", "gt_crops/*", "input_crops/*", ("", "val", "SIDD/val")),
                    ),
                ),
                "benchmark": Split(
                    1280,
                    (
                        Blocks(
                            "authors",
                            ("BenchmarkNoisyBlocksSrgb.mat", "BenchmarkNoisyBlocksSrgb"),
                            within=("", "SIDD", "test/SIDD", "Datasets/test/SIDD", "SIDD/test", "Datasets/SIDD/test"),
                        ),
                    ),
                ),
            },
            protocol="sidd",
        ),
        Dataset(
            "DND",
            "real noise of four cameras, 50 pictures with 20 boxes each; the clean ones are kept by the authors",
            "denoise",
            "Ploetz and Roth, Benchmarking Denoising Algorithms with Real Photographs, CVPR 2017",
            "https://noise.visinf.tu-darmstadt.de/",
            _UNKNOWN,
            ("CS-KiT table 1",),
            {
                "benchmark": Split(
                    1000,
                    (
                        Blocks(
                            "authors",
                            ("images_srgb/*.mat", "InoisySRGB"),
                            boxes=("info.mat", "info"),
                            within=_places("DND", "test", "Datasets/test", "Datasets"),
                        ),
                    ),
                )
            },
        ),
        Dataset(
            "PolyU",
            "real noise of five cameras, crops of 512x512; here the 45 of 15 scenes",
            "denoise",
            "Xu et al., Real-world Noisy Image Denoising: A New Benchmark, arXiv:1804.02603",
            "https://github.com/csjunxu/PolyUDataset",
            "non-commercial",
            (),
            {
                "test": Split(
                    45,
                    (
                        Layout("plain folders", "clean/*", "noisy/*", _places("PolyU")),
                        Layout(
                            "authors (all 100 crops)",
                            "CroppedImages/*_mean",
                            "CroppedImages/*_real",
                            _places("PolyUDataset", "PolyU"),
                            100,
                        ),
                    ),
                )
            },
        ),
        Dataset(
            "GoPro",
            "motion blur: frames of a 240 Hz camera, averaged; 1280x720",
            "deblur",
            "Nah et al., Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring, CVPR 2017",
            "https://seungjunnah.github.io/Datasets/gopro",
            "CC BY 4.0",
            ("CS-KiT table 2",),
            {
                split: Split(
                    pictures,
                    (
                        Layout(
                            "authors (GOPRO_Large)", f"{split}/*/sharp/*", f"{split}/*/blur/*", _places("GOPRO_Large")
                        ),
                        _restormer("GoPro", split),
                        Layout("NAFNet", f"{split}/target/*", f"{split}/input/*", _places("GoPro", "datasets")),
                    ),
                )
                for split, pictures in (("train", 2103), ("test", 1111))
            },
            protocol="rgb-matlab",
        ),
        Dataset(
            "HIDE",
            "motion blur of people, made as GoPro's",
            "deblur",
            "Shen et al., Human-Aware Motion Deblurring, ICCV 2019",
            "offered with MPRNet and Restormer (github.com/swz30/Restormer, Motion_Deblurring)",
            _UNKNOWN,
            ("CS-KiT table 2",),
            {"test": Split(2025, (_restormer("HIDE"),))},
            protocol="rgb-matlab",
        ),
        Dataset(
            "REDS",
            "motion blur and JPEG: 300 sequences of 100 frames, 1280x720",
            "deblur",
            "Nah et al., NTIRE 2019 Challenge on Video Deblurring and Super-Resolution: Dataset and Study, CVPRW 2019",
            "https://seungjunnah.github.io/Datasets/reds.html",
            "CC BY 4.0",
            ("KiT supplement section 5 (pictures only)",),
            {
                split: Split(
                    pictures,
                    (
                        Layout(
                            "authors",
                            f"{folder}/{folder}_sharp/*/*",
                            f"{folder}/{folder}_blur_jpeg/*/*",
                            _places("REDS", "datasets"),
                        ),
                        Layout(
                            "authors, unpacked side by side",
                            f"{folder}_sharp/*/*",
                            f"{folder}_blur_jpeg/*/*",
                            _places("REDS"),
                        ),
                    ),
                )
                for split, folder, pictures in (("train", "train", 24000), ("validation", "val", 3000))
            },
        ),
        Dataset(
            "Rain100L",
            "synthetic light rain of one direction",
            "derain",
            _YANG,
            _RAIN_SETS,
            _UNKNOWN,
            ("CS-KiT table 3",),
            {"test": Split(100, (_restormer("Rain100L"), _rain100("Rain100L")))},
        ),
        Dataset(
            "Rain100H",
            "synthetic heavy rain of five directions",
            "derain",
            _YANG,
            _RAIN_SETS,
            _UNKNOWN,
            ("CS-KiT table 3",),
            {"test": Split(100, (_restormer("Rain100H"), _rain100("Rain100H")))},
        ),
        Dataset(
            "Rain200L",
            "synthetic light rain, the authors' newer set",
            "derain",
            _YANG,
            _DRS_SETS,
            _UNKNOWN,
            ("DRSformer table 1",),
            {
                "train": Split(1800, (_restormer("Rain200L", "train"), _rain200("Rain200L", "train"))),
                "test": Split(200, (_restormer("Rain200L"), _rain200("Rain200L", "test"))),
            },
        ),
        Dataset(
            "Rain200H",
            "synthetic heavy rain, the authors' newer set",
            "derain",
            _YANG,
            _DRS_SETS,
            _UNKNOWN,
            ("DRSformer tables 1, 3 and 4",),
            {
                "train": Split(1800, (_restormer("Rain200H", "train"), _rain200("Rain200H", "train"))),
                "test": Split(200, (_restormer("Rain200H"), _rain200("Rain200H", "test"))),
            },
        ),
        Dataset(
            "Test100",
            "98 of Rain800's test pictures, as MPRNet and Restormer offer them",
            "derain",
            "Zhang et al., Image De-raining Using a Conditional Generative Adversarial Network, IEEE TCSVT 2020",
            _RAIN_SETS,
            _UNKNOWN,
            ("CS-KiT table 3",),
            {"test": Split(98, (_restormer("Test100"),))},
        ),
        Dataset(
            "Test1200",
            "the test pictures of DID-Data: rain of three densities",
            "derain",
            "Zhang and Patel, Density-aware Single Image De-raining using a Multi-stream Dense Network, CVPR 2018",
            _RAIN_SETS,
            _UNKNOWN,
            ("CS-KiT table 3",),
            {"test": Split(1200, (_restormer("Test1200"),))},
        ),
        Dataset(
            "Test2800",
            "2,800 of the pictures of Fu et al.",
            "derain",
            "Fu et al., Removing Rain from Single Images via a Deep Detail Network, CVPR 2017",
            _RAIN_SETS,
            _UNKNOWN,
            ("CS-KiT table 3",),
            {"test": Split(2800, (_restormer("Test2800"),))},
        ),
        Dataset(
            "Rain13K",
            "13,712 pairs of several sets, to train; scored on Test100, Rain100H, Rain100L, Test2800 and Test1200",
            "derain",
            "Jiang et al., Multi-scale Progressive Fusion Network for Single Image Deraining, CVPR 2020",
            _RAIN_SETS,
            _UNKNOWN,
            ("CS-KiT section IV-E, table 3",),
            {
                "train": Split(
                    13712,
                    (
                        _restormer("Rain13K", "train"),
                        Layout("MPRNet", "target/*", "input/*", ("train", "Datasets/train")),
                    ),
                )
            },
        ),
        Dataset(
            "Rain800",
            "synthetic rain; the authors' files hold both pictures side by side and must be cut first",
            "derain",
            "Zhang et al., Image De-raining Using a Conditional Generative Adversarial Network, IEEE TCSVT 2020",
            "the paper",
            _UNKNOWN,
            ("DRSformer section 4.4 (pictures only)",),
            {
                "train": Split(700, (_restormer("Rain800", "train"),)),
                "test": Split(100, (_restormer("Rain800"),)),
            },
        ),
        Dataset(
            "DID-Data",
            "synthetic rain of three densities",
            "derain",
            "Zhang and Patel, Density-aware Single Image De-raining using a Multi-stream Dense Network, CVPR 2018",
            _DRS_SETS,
            _UNKNOWN,
            ("DRSformer table 1",),
            {
                "train": Split(12000, (_restormer("DID-Data", "train"),)),
                "test": Split(1200, (_restormer("DID-Data"),)),
            },
            protocol="y-float",
        ),
        Dataset(
            "DDN-Data",
            "14 synthetic rains of each of 1,000 pictures",
            "derain",
            "Fu et al., Removing Rain from Single Images via a Deep Detail Network, CVPR 2017",
            _DRS_SETS,
            _UNKNOWN,
            ("DRSformer table 1",),
            {
                split: Split(
                    pictures,
                    (
                        _restormer("DDN-Data", split),
                        Layout(
                            "authors",
                            "ground_truth/*",
                            "rainy_image/*_*",
                            _places(f"{split}ing", "rainy_image_dataset"),
                        ),
                    ),
                )
                for split, pictures in (("train", 12600), ("test", 1400))
            },
            protocol="y-float",
        ),
        Dataset(
            "SPA-Data",
            "real rain, the clean picture made from many frames",
            "derain",
            "Wang et al., Spatial Attentive Single-Image Deraining with a High Quality Real Rain Dataset, CVPR 2019",
            f"{_DRS_SETS}; authors: github.com/stevewongv/SPANet",
            "License.txt of the authors' repository",
            ("DRSformer table 1",),
            {
                "train": Split(638492, (_restormer("SPA-Data", "train"),)),
                "test": Split(
                    1000,
                    (
                        _restormer("SPA-Data"),
                        Layout("authors", "gt/*gt", "rain/*", _places("real_test_1000")),
                    ),
                ),
            },
        ),
        Dataset(
            "DIV2K",
            "photographs of 2,000 pixels, to train on",
            "upscale",
            "Agustsson and Timofte, NTIRE 2017 Challenge on Single Image Super-Resolution, CVPRW 2017",
            "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
            "academic research only",
            ("PANet section 4.1: what PANet and PA-EDSR are trained on",),
            {
                "train": Split(800, (Layout("authors", "DIV2K_train_HR/*", within=_places("DIV2K", "datasets")),)),
                "validation": Split(100, (Layout("authors", "DIV2K_valid_HR/*", within=_places("DIV2K", "datasets")),)),
            },
        ),
        Dataset(
            "BSD400",
            "400 grey crops of 180x180 of the Berkeley segmentation set, to train on",
            "denoise",
            "Chen and Pock, Trainable Nonlinear Reaction Diffusion, TPAMI 2017; Zhang et al., DnCNN, TIP 2017",
            "offered with DnCNN (github.com/cszn/DnCNN)",
            _BSD_TERMS,
            (),
            {"train": Split(400, (Layout("DnCNN", "*", within=("", "Train400", "data/Train400", "BSD400")),))},
            colour="grey",
        ),
        Dataset(
            "CBSD68",
            "68 clean photographs of the Berkeley segmentation set",
            "denoise",
            "Martin et al., ICCV 2001; the choice of 68: Roth and Black, Fields of Experts, CVPR 2005",
            "offered with Restormer (github.com/swz30/Restormer, Denoising)",
            _BSD_TERMS,
            ("PANet table 1 (denoise) and table 2 (demosaic), there BSD68",),
            {
                "test": Split(
                    68, (Layout("all levels", "original_png/*", within=_places("CBSD68")), *_clean_set("CBSD68"))
                )
            },
        ),
        Dataset(
            "Kodak24",
            "24 clean scanned photographs, 768x512 or crops of 500x500",
            "denoise",
            "Kodak Lossless True Color Image Suite",
            "http://r0k.us/graphics/kodak/",
            "released by Kodak for unrestricted use",
            ("PANet table 1 (denoise) and table 2 (demosaic)",),
            {"test": Split(24, _clean_set("Kodak24", "Kodak"))},
        ),
        Dataset(
            "McMaster",
            "18 clean photographs of 500x500, more colourful than Kodak's",
            "demosaic",
            "Zhang et al., Color Demosaicking by Local Directional Interpolation and Nonlocal Adaptive Thresholding, "
            "J. Electronic Imaging 2011",
            "offered with Restormer (github.com/swz30/Restormer, Denoising)",
            _UNKNOWN,
            ("PANet table 2 (demosaic), there McMaster18",),
            {"test": Split(18, _clean_set("McMaster", "McM"))},
        ),
        Dataset(
            "Urban100",
            "100 clean photographs of buildings",
            "upscale",
            "Huang et al., Single Image Super-Resolution from Transformed Self-Exemplars, CVPR 2015",
            _SR_SETS,
            _UNKNOWN,
            ("PANet tables 1 (denoise), 2 (demosaic), 5 (upscale) and 6 to 9",),
            {"test": Split(100, _clean_set("Urban100", "urban100"))},
        ),
        Dataset(
            "Set5",
            "5 clean pictures",
            "upscale",
            "Bevilacqua et al., Low-Complexity Single-Image Super-Resolution, BMVC 2012",
            _SR_SETS,
            _UNKNOWN,
            ("PANet table 5",),
            {"test": Split(5, _clean_set("Set5"))},
        ),
        Dataset(
            "Set14",
            "14 clean pictures, some of them grey",
            "upscale",
            "Zeyde et al., On Single Image Scale-Up Using Sparse-Representations, 2010",
            _SR_SETS,
            _UNKNOWN,
            ("PANet table 5",),
            {"test": Split(14, _clean_set("Set14"))},
            colour="mixed",
        ),
        Dataset(
            "B100",
            "100 clean test photographs of the Berkeley segmentation set",
            "upscale",
            "Martin et al., ICCV 2001",
            _SR_SETS,
            _BSD_TERMS,
            ("PANet table 5",),
            {"test": Split(100, _clean_set("B100", "BSDS100", "BSD100"))},
            colour="mixed",
        ),
        Dataset(
            "Manga109",
            "109 pages of Japanese comics",
            "upscale",
            "Matsui et al., Sketch-based Manga Retrieval using Manga109 Dataset, Multimedia Tools Appl. 2017",
            "http://www.manga109.org/en/",
            "on application to the authors",
            ("PANet table 5",),
            {"test": Split(109, _clean_set("Manga109", "manga109"))},
            colour="mixed",
        ),
        Dataset(
            "LIVE1",
            "the 29 clean photographs of the LIVE image quality database",
            "dejpeg",
            "Sheikh et al., LIVE Image Quality Assessment Database Release 2, 2005",
            "the LIVE laboratory, University of Texas at Austin",
            _UNKNOWN,
            ("PANet table 3",),
            {
                "test": Split(
                    29, (Layout("authors", "refimgs/*", within=_places("databaserelease2")), *_clean_set("LIVE1"))
                )
            },
            degradation="jpeg-luma",
        ),
        Dataset(
            "Classic5",
            "5 clean grey pictures",
            "dejpeg",
            "Foi et al., Pointwise Shape-Adaptive DCT, IEEE TIP 2007",
            "offered with several networks for JPEG artifacts",
            _UNKNOWN,
            ("PANet table 3",),
            {"test": Split(5, _clean_set("Classic5", "classic5"))},
            degradation="jpeg-luma",
            colour="grey",
        ),
    )
}
"""Everything that `restore data` and `restore eval --dataset` know by name."""


@dataclass(frozen=True)
class Published:
    """What a paper states, with the digits that it prints.

    `method` is a key of `NETWORKS` or "input"; `level` is sigma, quality or scale.
    """

    set: str
    task: str
    level: float | None
    source: str
    method: str
    psnr: Decimal
    ssim: Decimal | None


@functools.cache
def published() -> tuple[Published, ...]:
    """The four papers' figures for their own networks, as `published_scores.toml` holds them."""
    text = Path(__file__).with_name("published_scores.toml").read_text(encoding="utf-8")
    rows = []
    for table in tomllib.loads(text, parse_float=Decimal)["scores"]:
        about = {key: table.pop(key, None) for key in ("set", "task", "level", "source")}
        rows += [
            Published(**about, method=method, psnr=psnr, ssim=next(iter(ssim), None))
            for method, (psnr, *ssim) in table.items()
        ]
    return tuple(rows)


def published_for(name: str, task: str, level: float | None = None) -> list[Published]:
    """Those of one set, task and level."""
    return [row for row in published() if (row.set, row.task, row.level) == (name, task, level)]
