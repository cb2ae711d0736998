"""Number and size of objects in glyph images, where the renderer knows both exactly.

An object is a connected set of pixels (8 neighbours) brighter than 30 % in any channel, which is where the renderer
draws the line between glyphs and backgrounds, after gaps of up to 6 % of the short side are closed (dark stripes of a
texture). Parts within another object's box (the dot of a dotted zero) and specks below a twentieth of the short side
are not objects. The values compare the distributions of generated and real images, so they need no labels.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

_BRIGHT = 0.3 * 255
_SPECK = 0.05  # of the short side
_CLOSING = 0.03  # radius, of the short side
_NEIGHBOURS = np.ones((3, 3), dtype=int)


def objects(images_NCHW: np.ndarray) -> np.ndarray:
    """[N, 2] float32: number of objects, and the largest one's longer extent over the short side (0 if none)."""
    from scipy import ndimage

    short = min(images_NCHW.shape[2:])
    result = np.zeros((len(images_NCHW), 2), np.float32)
    radius = max(1, round(_CLOSING * short))
    square = np.ones((2 * radius + 1, 2 * radius + 1), dtype=bool)
    for index, image in enumerate(images_NCHW.max(axis=1) > _BRIGHT):
        closed = ndimage.binary_closing(np.pad(image, radius), square)[radius:-radius, radius:-radius]
        marked, _ = ndimage.label(closed, structure=_NEIGHBOURS)
        boxes = [(down.start, down.stop, across.start, across.stop) for down, across in ndimage.find_objects(marked)]
        boxes = [box for box in boxes if _extent(box) >= max(2.0, _SPECK * short)]
        outer = [box for i, box in enumerate(boxes) if not any(_within(box, o) for j, o in enumerate(boxes) if j != i)]
        result[index] = len(outer), max(map(_extent, outer), default=0) / short
    return result


Box = tuple[int, int, int, int]  # top, bottom, left, right


def _extent(box: Box) -> int:
    return max(box[1] - box[0], box[3] - box[2])


def _within(box: Box, other: Box) -> bool:
    inside = other[0] <= box[0] and box[1] <= other[1] and other[2] <= box[2] and box[3] <= other[3]
    return inside and box != other


def count_distance(found_N2: np.ndarray, real_M2: np.ndarray) -> float:
    """Total variation between the distributions of the number of objects: the share of images with a wrong number."""
    if not len(found_N2) or not len(real_M2):
        raise UserError("counting objects needs at least one image on each side")
    most = int(max(found_N2[:, 0].max(), real_M2[:, 0].max()))
    shares = [np.bincount(x[:, 0].astype(int), minlength=most + 1) / len(x) for x in (found_N2, real_M2)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def size_distance(found_N2: np.ndarray, real_M2: np.ndarray) -> float:
    """Wasserstein-1 distance between the sizes of the largest object, in units of the short side."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(found_N2[:, 1], real_M2[:, 1]))


def _count(inputs: Inputs) -> Score:
    return count_distance(inputs.generated.features_ND, inputs.reference.features_ND), ""


def _size(inputs: Inputs) -> Score:
    return size_distance(inputs.generated.features_ND, inputs.reference.features_ND), ""


OBJECT_COUNT = Metric(
    name="object_count",
    label="Object count",
    better="lower",
    explanation="distance between the numbers of objects in generated and real images",
    citation="this package",
    view="objects",
    compute=_count,
)
OBJECT_SIZE = replace(
    OBJECT_COUNT,
    name="object_size",
    label="Object size",
    explanation="distance between the sizes of objects in generated and real images",
    compute=_size,
)
