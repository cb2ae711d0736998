"""Sample strips: the same class and the same noise for every method."""

from __future__ import annotations

import base64
import heapq
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.records import Record, Resolution

# Legend: N images, C channels, H height, W width.
REAL = "real images"
IMAGES = 8
LOSSLESS_UP_TO = 96  # pixels; larger images are embedded as JPEG


@dataclass(frozen=True)
class Strip:
    """A few images of one method at one resolution, side by side."""

    method: str
    train: Resolution
    test: Resolution
    labels: list[int]
    images_NCHW: np.ndarray

    @property
    def image(self) -> Image.Image:
        """The images in a row, one pixel apart."""
        n, _, height, width = self.images_NCHW.shape
        canvas = Image.new("RGB", (n * (width + 1) - 1, height), (128, 128, 128))
        for index, image_CHW in enumerate(self.images_NCHW):
            canvas.paste(sample_image(image_CHW), (index * (width + 1), 0))
        return canvas


def sample_image(image_CHW: np.ndarray) -> Image.Image:
    """uint8 [1 or 3, H, W] -> an RGB image."""
    if image_CHW.shape[0] == 1:
        return Image.fromarray(image_CHW[0]).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(image_CHW.transpose(1, 2, 0)))


def data_uri(image: Image.Image) -> str:
    """The image as a data URI: PNG while small, JPEG above."""
    out = io.BytesIO()
    small = image.height <= LOSSLESS_UP_TO
    if small:
        image.save(out, "PNG", optimize=True)
    else:
        image.save(out, "JPEG", quality=90)
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(out.getvalue()).decode()}"


def choose(labels_N: np.ndarray, count: int = IMAGES) -> list[int]:
    """Indices of the first image of each class, classes in order, then second images: never the best ones."""
    seen: Counter[int] = Counter()
    order = []
    for index, label in enumerate(labels_N.tolist()):
        order.append((seen[label], label, index))
        seen[label] += 1
    return [index for *_, index in heapq.nsmallest(count, order)]


def read_samples(
    record: Record, store: Path, chosen: list[int] | None = None
) -> tuple[np.ndarray, np.ndarray, list[int]] | None:
    """Images uint8 [N, C, H, W] of a measured cell, their labels [N] and indices; None where they cannot be read.

    Without `chosen`, those that `choose` takes.
    """
    path = record.artifacts.samples
    if path is None:
        return None
    try:
        labels_N = images_file.labels(store / path)
        chosen = [index for index in chosen or choose(labels_N) if index < len(labels_N)]
        images_NCHW = images_file.first(store / path, max(chosen, default=-1) + 1)
        return images_NCHW[chosen], labels_N[chosen], chosen
    except images_file.UNREADABLE:
        return None


def strips(results: Results, store: Path, train: Resolution) -> dict[tuple[str, Resolution], Strip]:
    """(method, test resolution) -> strip, all of the first seed that has samples, the same indices everywhere."""
    found: dict[tuple[str, Resolution], Strip] = {}
    chosen: list[int] | None = None
    for seed in results.seeds:
        for test in results.resolutions[train]:
            for method in results.methods:
                cell = [r for r in results.cell(method, train, test) if r.seed == seed and r.status == "ok"]
                samples = read_samples(cell[0], store, chosen) if cell else None
                if samples is None:
                    continue
                images_NCHW, labels_N, indices = samples
                chosen = chosen or indices
                found[method, test] = Strip(method, train, test, labels_N.tolist(), images_NCHW)
        if found:
            break
    return found


def real_strips(results: Results, store: Path, train: Resolution) -> dict[Resolution, Strip]:
    """Test resolution -> real images, the first of each class; what a perfect method's rows would look like."""
    found: dict[Resolution, Strip] = {}
    for test in results.resolutions[train]:
        for record in results.floors(train, test):
            if (samples := read_samples(record, store)) is not None:
                images_NCHW, labels_N, _ = samples
                found[test] = Strip(REAL, train, test, labels_N.tolist(), images_NCHW)
                break
    return found
