"""Pictures -> features: the only part of a metric that needs a network.

Shapes: N pictures, C channels, H and W pixels, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.resize import Size, describe, resize

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
        """Height and width it takes; None where it takes pictures of every size as they are."""
        ...

    @property
    def channels(self) -> int: ...

    @property
    def num_features(self) -> int: ...

    def features_and_logits(self, pictures_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 at `input_size` -> features [N, D], logits [N, K] or None."""
        ...


@dataclass(frozen=True)
class Features:
    """The features of a set of pictures, and how they came about."""

    features_ND: np.ndarray  # float32
    logits_NK: np.ndarray | None
    net: str
    net_version: str
    resize: str  # what was done to sizes and channels, in words

    def __len__(self) -> int:
        return len(self.features_ND)

    @property
    def predictions_N(self) -> np.ndarray:
        """The most likely class of each picture."""
        if self.logits_NK is None:
            raise UserError(f"{self.net} has no classes; choose a classifier as judge")
        classes_N: np.ndarray = self.logits_NK.argmax(axis=1)
        return classes_N

    def subset(self, index: np.ndarray | slice) -> Features:
        """The same features of some of the pictures."""
        logits = None if self.logits_NK is None else self.logits_NK[index]
        return replace(self, features_ND=self.features_ND[index], logits_NK=logits)


def check_pictures(pictures: np.ndarray, what: str = "pictures") -> None:
    """Raise a sentence unless pictures are uint8 [N, 1 or 3, H, W] and there are some."""
    if not isinstance(pictures, np.ndarray) or pictures.dtype != np.uint8:
        kind = getattr(pictures, "dtype", type(pictures).__name__)
        raise UserError(f"{what} are {kind}; metrics take uint8 grey levels: round and clip to 0..255 first")
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or 0 in pictures.shape[2:]:
        raise UserError(f"{what} have shape {pictures.shape}; expected [N, C, H, W] with 1 or 3 channels")
    if not len(pictures):
        raise UserError(f"no {what}: shape {pictures.shape}; give at least one")


def to_channels(pictures_NCHW: Tensor, channels: int) -> tuple[Tensor, str]:
    """Grey to RGB by repetition, RGB to grey by BT.601 luma; and what was done, in words."""
    have = pictures_NCHW.shape[1]
    if have == channels:
        return pictures_NCHW, ""
    if have == 1:
        return pictures_NCHW.expand(-1, channels, -1, -1), "; grey repeated to RGB"
    luma = torch.tensor(LUMA).reshape(1, 3, 1, 1)
    return (pictures_NCHW.to(torch.float32) * luma).sum(1, keepdim=True), "; RGB to grey by BT.601 luma"


def extract(
    pictures: np.ndarray,
    net: FeatureNet,
    *,
    via: Size | None = None,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Features:
    """Features of uint8 pictures [N, C, H, W]: resized by the one resizer, batched, in inference mode.

    `via` is a resolution that pictures are resized to before the net's own input, unquantised. `progress` is called
    with the number of pictures done so far. Raises UserError for anything but uint8 pictures and for features that
    are not finite.
    """
    check_pictures(pictures)
    features, logits = [], []
    note = ""
    with torch.inference_mode():
        for start in range(0, len(pictures), batch_size):
            batch, note = to_channels(torch.from_numpy(pictures[start : start + batch_size]), net.channels)
            for target in (via, net.input_size):
                batch = batch.to(torch.float32) if target is None else resize(batch, target)
            seen_ND, logits_NK = net.features_and_logits(batch.to(device))
            features.append(seen_ND.to("cpu", torch.float32).numpy())
            if logits_NK is not None:
                logits.append(logits_NK.to("cpu", torch.float32).numpy())
            if progress is not None:
                progress(min(start + batch_size, len(pictures)))
    features_ND = np.concatenate(features)
    check_finite(features_ND, net.name)
    size: Size = (pictures.shape[2], pictures.shape[3])
    mode = describe(size, net.input_size) if via is None else f"{describe(size, via)}; {describe(via, net.input_size)}"
    return Features(features_ND, np.concatenate(logits) if logits else None, net.name, net.version, mode + note)


def check_finite(features_ND: np.ndarray, name: str) -> None:
    """Raise a sentence that names the first picture whose features are not finite."""
    bad = np.flatnonzero(~np.isfinite(features_ND).all(axis=1))
    if len(bad):
        raise UserError(
            f"{len(bad)} of {len(features_ND)} pictures have features of {name} that are not finite, first picture "
            f"{bad[0]}; no distance is defined on them"
        )
