"""Measuring images on disk, however many: features go to a temporary file, batch by batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import statistics_file
from rpe2d_bench.metrics.image_source import ImageSource, open_images, random_subset
from rpe2d_bench.metrics.nets.features import FeatureNet, Features
from rpe2d_bench.metrics.nets.resize import Size
from rpe2d_bench.metrics.nets.table import load_net
from rpe2d_bench.metrics.observations import Observations
from rpe2d_bench.metrics.scoring import Measurement, observe, score
from rpe2d_bench.metrics.table import METRICS, validate

Progress = Callable[[str, int, int], None]  # which side, images done, images in all
ANY_SIZE = ("whole", "global", "spatial", "judge")  # views that resize every image to one size


class _Spool:
    """Rows of float32 on disk that come back as a memory map: RAM does not grow with their number."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._file: IO[bytes] = self._path.open("xb")  # a second one on the same file would empty it
        self._width = 0

    def append(self, rows_ND: np.ndarray) -> None:
        self._width = rows_ND.shape[1]
        self._file.write(np.ascontiguousarray(rows_ND, np.float32).tobytes())

    def rows(self) -> np.ndarray:
        self._file.close()
        return np.memmap(self._path, np.float32, "r").reshape(-1, self._width)


def observe_source(
    source: ImageSource,
    folder: Path,
    *,
    metrics: Sequence[str],
    net: FeatureNet,
    judge: FeatureNet | None = None,
    train_resolution: Size | None = None,
    chosen: np.ndarray | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Observations:
    """`observe` for a stream: the features lie in `folder` and memory holds one batch of images."""
    spools: dict[str, _Spool] = {}
    seen: dict[str, Features] = {}
    done = 0
    modes: dict[str, dict[str, None]] = {}
    judged = {METRICS[name].view for name in metrics if METRICS[name].logits}  # views whose logits are kept
    for batch in source.batches(batch_size, chosen):
        part = observe(
            batch, metrics=metrics, net=net, judge=judge, train_resolution=train_resolution,
            batch_size=batch_size, device=device,
        )  # fmt: skip
        if len(source.sizes) > 1:
            _refuse_mixed_sizes(source, metrics)
        for view, features in part.views.items():
            for kind, rows in (("features", features.features_ND), ("logits", features.logits_NK)):
                if rows is not None and (kind == "features" or view in judged):
                    name = f"{view}.{kind}"
                    if name not in spools:
                        spools[name] = _Spool(folder, name)
                    spools[name].append(rows)
            seen[view] = features
            modes.setdefault(view, {})[features.resize] = None
        done += len(batch)
        if progress is not None:
            progress(done)
    found = {
        view: replace(
            features,
            features_ND=spools[f"{view}.features"].rows(),
            logits_NK=spools[f"{view}.logits"].rows() if f"{view}.logits" in spools else None,
            resize="; ".join(modes[view]),
        )
        for view, features in seen.items()
    }
    size = next(iter(source.sizes)) if len(source.sizes) == 1 else None
    return Observations(found, done, size, net.name, None if judge is None else judge.name)


def _refuse_mixed_sizes(source: ImageSource, metrics: Sequence[str]) -> None:
    strict = [name for name in metrics if METRICS[name].view not in ANY_SIZE]
    if strict:
        (one, _), (other, _) = source.sizes.most_common(2)
        raise UserError(
            f"images of {one[0]}x{one[1]} and of {other[0]}x{other[1]} pixels are mixed, but {strict[0]} compares "
            "images of one size; sort them by size or leave it out"
        )


def measure_paths(
    samples: Path,
    reference: Path,
    metrics: Sequence[str],
    net: str,
    *,
    judge: str | None = None,
    weights: Path | None = None,
    classes: tuple[str, ...] | None = None,
    train_resolution: Size | None = None,
    training: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Measurement:
    """Metrics of the images at `samples` against those at `reference` (folder, zip or .npz).

    `training` are training images, for the memorization check. `count` takes that many of each side, a draw seeded by
    `seed`, and is an error where there are fewer; of one file for both, other images on each side if there are enough:
    a floor. What was read, converted, resized and counted stands in `details`.
    """
    names = validate(metrics, net, judge)
    if count is not None and count < 1:
        raise UserError(f"{count} images cannot be measured; ask for at least one, most metrics need many")
    paths = {"samples": samples, "reference": reference}
    if any(METRICS[name].training for name in names):
        if training is None:
            raise UserError("memorization needs training images to compare with: give --training, or leave it out")
        paths["training"] = training
    _check_views(names, train_resolution)
    seeing = load_net(net, weights, classes)
    judging = None if judge is None else load_net(judge, None, classes)
    sources = {side: open_images(path) for side, path in paths.items()}
    for side, source in sources.items():
        if count is not None and source.count < count:
            raise UserError(f"{paths[side]} holds {source.count} images, but {count} were asked for; ask for fewer")
    floor = count is not None and 2 * count <= sources["samples"].count and samples.samefile(reference)
    chosen = {
        side: None if count is None else random_subset(source.count, count, seed, int(floor and side == "reference"))
        for side, source in sources.items()
    }
    labels, real_labels = (_labels(sources[side], chosen[side]) for side in ("samples", "reference"))
    if judging is not None and labels is None and "accuracy" in names:
        raise UserError(f"accuracy needs the class each image shows: write it as arr_1 of an .npz; {samples} has none")
    with tempfile.TemporaryDirectory(prefix="rpe2d-measure-") as temporary:
        observed = {}
        for side, source in sources.items():
            folder = Path(temporary) / side
            folder.mkdir()
            total = source.count if count is None else count
            observed[side] = observe_source(
                source, folder, metrics=names, net=seeing, judge=judging, train_resolution=train_resolution,
                chosen=chosen[side], batch_size=batch_size, device=device,
                progress=None if progress is None else _for_side(progress, side, total),
            )  # fmt: skip
        if all(METRICS[name].view in ANY_SIZE for name in names):
            sizes = {side.resolution for side in observed.values()}
            if len(sizes) > 1:  # every image is resized anyway; the account lists the sizes
                observed = {name: replace(side, resolution=None) for name, side in observed.items()}
        measured = score(
            observed["samples"], observed["reference"], labels, metrics=names, reference_labels=real_labels,
            training=observed.get("training"), seed=seed,
        )  # fmt: skip
        statistics = getattr(sources["reference"], "statistics", None)
        if statistics is not None and seeing.name == statistics_file.NET and "fd" in names:
            measured = statistics_file.against(measured, observed["samples"], statistics)
    warnings = {"warnings": [*measured.details["warnings"], *_sizes(sources)]}
    return replace(measured, details=measured.details | warnings | _account(sources, observed))


def _check_views(names: Sequence[str], train_resolution: Size | None) -> None:
    """Say what is missing before hours of features are computed."""
    relative = [name for name in names if METRICS[name].view in ("global", "local")]
    if relative and train_resolution is None:
        raise UserError(f"{relative[0]} is relative to the train resolution: give --train-resolution, or leave it out")


def _labels(source: ImageSource, chosen: np.ndarray | None) -> np.ndarray | None:
    labels: np.ndarray | None = getattr(source, "labels", None)
    return labels if labels is None or chosen is None else labels[chosen]


def _sizes(sources: dict[str, ImageSource]) -> list[str]:
    """What a reader must know where images are not all of one size."""
    found = {side: sorted(source.sizes) for side, source in sources.items()}
    text = [
        f"{side}: images of {len(sizes)} sizes, each resized to the net's input"
        for side, sizes in found.items()
        if len(sizes) > 1
    ]
    if not text and len({tuple(sizes) for sizes in found.values()}) > 1:
        words = ", ".join(f"{side} {sizes[0][0]}x{sizes[0][1]}" for side, sizes in found.items())
        text.append(f"sizes differ ({words}), all resized to the net's input: a difference may be one of resizing")
    return text


def _for_side(progress: Progress, side: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(side, done, total)


def _account(sources: dict[str, ImageSource], observed: dict[str, Observations]) -> dict[str, object]:
    """What was found on each side, for the reader of the result."""
    return {
        "sources": {
            side: {
                "found": source.count,
                "used": observed[side].count,
                "sizes": {f"{h}x{w}": number for (h, w), number in source.sizes.most_common()},
                "notes": dict(source.notes),
                "resize": {view: features.resize for view, features in observed[side].views.items()},
            }
            for side, source in sources.items()
        }
    }
