"""Images -> features: the only part of a metric that needs a network.

Shapes: N images, C channels, H and W pixels, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.resize import describe, resize
from rpe2d_bench.resolution import Size

# ITU-R BT.601 luma, the grey that PIL's convert("L") computes.
LUMA = (0.299, 0.587, 0.114)


class FeatureNet(Protocol):
    """What a metric needs of a network; everything that could change a number is in `name` and `version`."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def input_size(self) -> Size | None:
        """Height and width it takes; None where it takes images of every size as they are."""
        ...

    @property
    def channels(self) -> int: ...

    @property
    def num_features(self) -> int: ...

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 at `input_size` -> features [N, D], logits [N, K] or None."""
        ...


@dataclass(frozen=True)
class Features:
    """The features of a set of images, and how they came about."""

    features_ND: np.ndarray  # float32
    logits_NK: np.ndarray | None
    net: str
    net_version: str
    resize: str  # what was done to sizes and channels, in words

    def __len__(self) -> int:
        return len(self.features_ND)

    @property
    def predictions_N(self) -> np.ndarray:
        """The most likely class of each image."""
        if self.logits_NK is None:
            raise UserError(f"{self.net} has no classes; choose a classifier as judge")
        classes_N: np.ndarray = self.logits_NK.argmax(axis=1)
        return classes_N

    def subset(self, index: np.ndarray | slice) -> Features:
        """The same features of some of the images."""
        logits = None if self.logits_NK is None else self.logits_NK[index]
        return replace(self, features_ND=self.features_ND[index], logits_NK=logits)


def check_images(images: np.ndarray) -> None:
    """Raise a sentence unless images are uint8 [N, 1 or 3, H, W] and there are some."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = getattr(images, "dtype", type(images).__name__)
        raise UserError(f"images are {kind}; metrics take uint8 grey levels: round and clip to 0..255 first")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise UserError(f"images have shape {images.shape}; expected [N, C, H, W] with 1 or 3 channels")
    if not len(images):
        raise UserError(f"no images: shape {images.shape}; give at least one")


def to_channels(images_NCHW: Tensor, channels: int) -> tuple[Tensor, str]:
    """Grey to RGB by repetition, RGB to grey by BT.601 luma; and what was done, in words."""
    have = images_NCHW.shape[1]
    if have == channels:
        return images_NCHW, ""
    if have == 1:
        return images_NCHW.expand(-1, channels, -1, -1), "; grey repeated to RGB"
    luma = torch.tensor(LUMA).reshape(1, 3, 1, 1)
    return (images_NCHW.to(torch.float32) * luma).sum(1, keepdim=True), "; RGB to grey by BT.601 luma"


def extract(
    images: np.ndarray,
    net: FeatureNet,
    *,
    via: Size | None = None,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Features:
    """Features of uint8 images [N, C, H, W]: resized by the one resizer, batched, in inference mode.

    `via` is a resolution that images are resized to before the net's own input, unquantised. `progress` is called
    with the number of images done so far. Raises UserError for anything but uint8 images and for features that
    are not finite.
    """
    check_images(images)
    features, logits = [], []
    note = ""
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch, note = to_channels(torch.from_numpy(images[start : start + batch_size]), net.channels)
            for target in (via, net.input_size):
                batch = batch.to(torch.float32) if target is None else resize(batch, target)
            seen_ND, logits_NK = net.features_and_logits(batch.to(device))
            features.append(seen_ND.to("cpu", torch.float32).numpy())
            if logits_NK is not None:
                logits.append(logits_NK.to("cpu", torch.float32).numpy())
            if progress is not None:
                progress(min(start + batch_size, len(images)))
    features_ND = np.concatenate(features)
    check_finite(features_ND, net.name)
    size: Size = (images.shape[2], images.shape[3])
    mode = describe(size, net.input_size) if via is None else f"{describe(size, via)}; {describe(via, net.input_size)}"
    note += f"; {resizing}" if (resizing := getattr(net, "resizing", "")) else ""
    return Features(features_ND, np.concatenate(logits) if logits else None, net.name, net.version, mode + note)


def check_finite(features_ND: np.ndarray, name: str) -> None:
    """Raise a sentence that names the first image whose features are not finite."""
    bad = np.flatnonzero(~np.isfinite(features_ND).all(axis=1))
    if len(bad):
        raise UserError(
            f"{len(bad)} of {len(features_ND)} images have features of {name} that are not finite, first image "
            f"{bad[0]}; no distance is defined on them"
        )
