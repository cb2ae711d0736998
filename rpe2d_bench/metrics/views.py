"""The ways a metric looks at an image; each view is a set of features.

- whole: the image resized to the net's input.
- global: resized to the train resolution first, so that only structure counts which the train resolution can show.
- local: train-sized crops at native resolution on an even grid that covers the image; a crop is compared only with
  crops at the same place. One view per place.
- spatial: the whole image as an inner layer of Inception sees it, where places still count.
- judge: the image at the judge's input.
- repetition, objects: numbers read from the pixels, without a net.
- model: not at images but into the model that makes them; not observed here.
- denoising: at what the model makes of noised real images; not observed here.

On an axis no longer than the train resolution a local crop takes the whole axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import objects, repetition
from rpe2d_bench.metrics.metric import View
from rpe2d_bench.metrics.nets.features import FeatureNet, Features, extract
from rpe2d_bench.resolution import Size

PLACE = "local@"  # local views are named local@row,column


def places(size: Size, crop: Size) -> list[tuple[int, int]]:
    """(top, left) of the crops: as few as cover the image, evenly spaced."""

    def along(length: int, window: int) -> list[int]:
        count = -(-length // window)
        return [round(i * (length - window) / max(count - 1, 1)) for i in range(count)]

    return [(top, left) for top in along(size[0], crop[0]) for left in along(size[1], crop[1])]


def build(
    view: View,
    images: np.ndarray,
    net: FeatureNet,
    judge: FeatureNet | None,
    train_resolution: Size | None,
    known: Mapping[str, Features],
    **options: int | str,
) -> dict[str, Features]:
    """The features of one view of uint8 images [N, C, H, W] by name; `options` go to `extract`.

    Views that coincide with a `known` one (global and local at the train resolution) are not computed again.
    """
    if view in ("global", "local") and train_resolution is None:
        raise UserError(f"{view} distances need the train resolution; give it or choose kid and fd")
    if view == "spatial":
        inner = getattr(net, "spatial", None)
        if inner is None:
            raise UserError(f"the net {net.name!r} has no spatial features; sfid is defined on 'inception'")
        return {view: extract(images, inner, **options)}  # type: ignore[arg-type]
    if view == "judge":
        if judge is None:
            raise UserError("accuracy needs a judge, a classifier other than the feature net; name one")
        return {view: extract(images, judge, **options)}  # type: ignore[arg-type]
    if view == "repetition":
        scores = repetition.repetition_scores(images)[:, None].astype(np.float32)
        return {view: Features(scores, None, "pixels", repetition.REPETITION.version, "luma, long side at most 96")}
    if view == "objects":
        return {view: Features(objects.objects(images), None, "pixels", objects.OBJECT_COUNT.version, "none")}
    if view == "local":
        assert train_resolution is not None
        return _local(images, net, train_resolution, known, **options)
    if view not in ("whole", "global", "spatial"):
        raise UserError(f"no view {view!r} of images is built here; use one of {', '.join(get_args(View))}")
    via = train_resolution if view == "global" else None
    if via == (images.shape[2], images.shape[3]) and "whole" in known:
        return {view: known["whole"]}
    return {view: extract(images, net, via=via, **options)}  # type: ignore[arg-type]


def _local(
    images: np.ndarray, net: FeatureNet, train: Size, known: Mapping[str, Features], **options: int | str
) -> dict[str, Features]:
    size: Size = (images.shape[2], images.shape[3])
    crop = (min(size[0], train[0]), min(size[1], train[1]))
    if crop == size and "whole" in known:
        return {f"{PLACE}0,0": known["whole"]}
    return {
        f"{PLACE}{top},{left}": extract(
            np.ascontiguousarray(images[:, :, top : top + crop[0], left : left + crop[1]]),
            net,
            **options,  # type: ignore[arg-type]
        )
        for top, left in places(size, crop)
    }


def names_of(view: View, stored: dict[str, Features]) -> list[str]:
    """The stored views that a metric's view stands for; a sentence when they were not observed."""
    found = [name for name in stored if name == view or (view == "local" and name.startswith(PLACE))]
    if not found:
        raise UserError(f"the {view} view was not observed; observe the images again with this metric listed")
    return found
