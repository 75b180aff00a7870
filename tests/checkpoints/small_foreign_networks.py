"""Small networks of spandrel's own architecture classes, for checkpoints that tests make."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

RESTORING: dict[str, tuple[str, dict[str, Any]]] = {
    "ATD": ("ATD", {"embed_dim": 12, "depths": [2], "num_heads": [2], "upscale": 2, "upsampler": "pixelshuffledirect"}),
    "CRAFT": ("CRAFT", {"embed_dim": 12, "depths": [1], "num_heads": [6], "upscale": 2}),
    "Compact": ("Compact", {"num_feat": 8, "num_conv": 2, "upscale": 4}),
    "DAT": ("DAT", {"embed_dim": 16, "depth": [2], "num_heads": [2], "upscale": 2}),
    "DCTLSA": ("DCTLSA", {"nf": 20, "upscale": 2}),
    "DITN": ("DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}),
    "DRCT": ("DRCT", {"embed_dim": 12, "depths": [6], "num_heads": [2], "upscale": 2, "upsampler": "pixelshuffle"}),
    "DRUNet": ("DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [4, 8, 8, 8], "nb": 2}),
    "DnCNN": ("DnCNN", {"in_nc": 1, "out_nc": 1, "nc": 8, "nb": 8, "act_mode": "R"}),
    "ESRGAN": ("ESRGAN", {"num_filters": 8, "num_blocks": 1, "scale": 4}),
    "FBCNN": ("FBCNN", {"nc": [4, 8, 8, 512], "nb": 2}),
    "FDAT": ("FDAT", {"embed_dim": 16, "num_groups": 1, "depth_per_group": 1, "scale": 2}),
    "FFTformer": ("FFTformer", {"dim": 8, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1}),
    "GRL": ("GRL", {"embed_dim": 12, "depths": [2], "num_heads_window": [2], "num_heads_stripe": [2]}),
    "HAT": ("HAT", {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "upscale": 2,
                    "squeeze_factor": 4}),
    "HVICIDNet": ("HVICIDNet", {"channels": [4, 4, 8, 16], "heads": [1, 2, 2, 2]}),
    "IPT": ("IPT", {"n_feats": 4, "patch_size": 12, "num_heads": 2, "num_layers": 1, "scale": [2]}),
    "KBNet": ("KBNet_s", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "MMRealSR": (
        "MMRealSR",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4, "num_feats": [8, 8, 8, 8]},
    ),
    "MixDehazeNet": ("MixDehazeNet", {"embed_dims": [8, 16, 32, 16, 8]}),
    "MoESR": ("MoESR", {"dim": 8, "n_blocks": 1, "n_block": 1, "scale": 2, "upsample_dim": 8}),
    "MoSR": ("MoSR", {"dim": 8, "n_block": 1, "upscale": 2}),
    "NAFNet": ("NAFNet", {"width": 4, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "OmniSR": ("OmniSR", {"num_feat": 16, "up_scale": 2}),
    "PLKSR": ("PLKSR", {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}),
    "RCAN": ("RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 16, "reduction": 4}),
    "RGT": ("RGT", {"embed_dim": 16, "depth": [2], "num_heads": [2], "upscale": 2}),
    "RealCUGAN": ("UpCunet2x", {}),
    "RetinexFormer": ("RetinexFormer", {"n_feat": 8, "stage": 1}),
    "SAFMN": ("SAFMN", {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}),
    "SAFMNBCIE": ("SAFMNBCIE", {"dim": 8, "n_blocks": 1, "num_layers": 1}),
    "SCUNet": ("SCUNet", {"config": [1, 1, 1, 1, 1, 1, 1], "dim": 64}),
    "SPAN": ("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}),
    "SeemoRe": ("SeemoRe", {"scale": 2, "num_experts": 3, "num_layers": 1, "embedding_dim": 8}),
    "SwiftSRGAN": ("SwiftSRGAN", {"num_channels": 8, "num_blocks": 1}),
    "Swin2SR": ("Swin2SR", {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8,
                            "upsampler": "pixelshuffle"}),
    "SwinIR": ("SwinIR", {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "upscale": 2,
                          "upsampler": "pixelshuffle"}),
    "Uformer": ("Uformer", {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9, "modulator": True}),
    "AuraSR": ("AuraSR", {"dim": 8, "image_size": None, "input_image_size": None, "skip_connect_scale": 0.4,
                          "style_network": {"dim_in": 8, "dim_out": 32, "depth": 2}, "attn_depths": (1, 1, 1, 1, 1),
                          "mid_attn_depth": 1, "num_conv_kernels": 2, "up_dim_mults": (1, 1, 1, 2, 2),
                          "down_dim_mults": (1, 2, 2), "init_dim": 8}),
}  # fmt: skip
"""By architecture: the class, and its arguments."""

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "LaMa": ("LaMa", {}),
    "GFPGAN": ("GFPGAN", {}),
    "RestoreFormer": ("RestoreFormer", {}),
}
"""Those that restore no pictures as this project does."""


def small(architecture: str) -> nn.Module:
    """A network with random weights."""
    import spandrel

    kind, options = (RESTORING | OTHERS)[architecture]
    module = sys.modules[type(spandrel.MAIN_REGISTRY[architecture].architecture).__module__]
    torch.manual_seed(0)
    built: nn.Module = getattr(module, kind)(**options)
    return built


def save_small(path: Path, architecture: str, under: str | None = "params_ema") -> Path:
    """Write a checkpoint as people publish them."""
    state = small(architecture).state_dict()
    torch.save({under: state} if under else state, path)
    return path
