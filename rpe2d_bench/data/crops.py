"""Which window of an image the model sees in training, and the three numbers that tell it so.

crop_B3 is (log2 zoom, centre y, centre x): zoom >= 1 is the full frame over the window along either axis, the centre
is that of the window relative to the frame's centre as a fraction of the full frame. (0, 0, 0) means the complete
image and nothing else, since a zoom of exactly 1 is drawn for complete images only.

Shape suffixes: B batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rpe2d_bench.config.options import named, parse_options
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size

DRAWS = 4  # uniform numbers that a crop takes


@dataclass(frozen=True)
class NoCrops:
    """Complete images only."""

    kind: ClassVar[str] = "none"

    def check(self) -> None:
        """Nothing can be wrong."""

    def draw(self, u_B4: Tensor) -> Tensor:
        """crop_B3 from uniform numbers: zeros."""
        return torch.zeros(len(u_B4), 3)


@dataclass(frozen=True)
class ResizeAndCrop:
    """Isotropic windows, zoom log-uniform in (1, max_zoom], centres uniform over those that fit in the frame."""

    kind: ClassVar[str] = "resize_and_crop"
    max_zoom: float = 2.0
    uncropped_share: float = 0.4  # of the images stay complete
    source: Literal["native", "train"] = "native"  # train: zoom into the image at the train resolution, no new detail

    def check(self) -> None:
        """Raises UserError for values outside their range."""
        if not 1 < self.max_zoom <= 16:
            raise UserError(f"crops.max_zoom must be above 1 and at most 16, not {self.max_zoom:g}")
        if not 0 <= self.uncropped_share <= 1:
            raise UserError(f"crops.uncropped_share must lie between 0 and 1, not {self.uncropped_share:g}")

    def frame(self, resolution: Size) -> Size:
        """Pixels of the images that windows are cut from: native, the smallest has a pixel for each of the result's."""
        zoom = self.max_zoom if self.source == "native" else 1.0
        return round(resolution[0] * zoom), round(resolution[1] * zoom)

    def draw(self, u_B4: Tensor) -> Tensor:
        """crop_B3 from uniform numbers in [0, 1): complete or not, zoom, centre y, centre x."""
        log_zoom_B = (1 - u_B4[:, 1]) * torch.tensor(self.max_zoom).log2()  # 1 - u is never 0
        room_B = 1 - torch.exp2(-log_zoom_B)  # the part of the frame in which the window can move
        crop_B3 = torch.stack([log_zoom_B, (u_B4[:, 2] - 0.5) * room_B, (u_B4[:, 3] - 0.5) * room_B], 1)
        return torch.where((u_B4[:, :1] < self.uncropped_share), 0.0, crop_B3).float()


CropOptions = NoCrops | ResizeAndCrop
CROPS: dict[str, type[NoCrops] | type[ResizeAndCrop]] = {kind.kind: kind for kind in (NoCrops, ResizeAndCrop)}


def build_crops(spec: Mapping[str, Any] | None) -> CropOptions:
    """The checked options of `crops: {kind: ..., ...}`; None is `kind: none`."""
    spec = {"kind": "none"} if spec is None else spec
    kind, options = named(CROPS, spec, "crops")
    checked = parse_options(kind, options, "crops", f"crops {spec['kind']!r}")
    checked.check()
    return checked


def canonical(crops: CropOptions) -> dict[str, Any]:
    """The mapping with every default written out, as content keys and records have it."""
    return {"kind": crops.kind, **dataclasses.asdict(crops)}


def window(crop_B3: Tensor, axis: int, pixels: int) -> tuple[Tensor, Tensor]:
    """Start and length of the windows along an axis (0 = height), in pixels of a frame that has so many."""
    share_B = torch.exp2(-crop_B3[:, 0])
    return (0.5 + crop_B3[:, 1 + axis] - share_B / 2) * pixels, share_B * pixels
