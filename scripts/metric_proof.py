"""Do the metrics measure? Real images with known damage at rising strength, one row per metric and strength.

    python -m scripts.metric_proof proof.csv                       # glyphs at 64 px, train resolution 32
    python -m scripts.metric_proof proof.csv --images FOLDER_OR_ZIP  # photographs, CLASS/ID.ext
    python -m scripts.metric_proof proof.csv --glyphs "{background: leaves}" --net efficientnet-lite0 --metrics kid

Each row gives the value, the mean and standard deviation of the floor (other undamaged real images), and the
excess: how many of these deviations the value lies on the bad side of the floor. `python -m
scripts.draw_metric_proof proof.csv` draws it.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.table import load_net
from rpe2d_bench.metrics.observations import Observations
from rpe2d_bench.metrics.scoring import observe, score
from rpe2d_bench.metrics.table import METRICS, validate
from rpe2d_bench.resolution import Size
from scripts.corruption import CORRUPTIONS, Material

COLUMNS = ("corruption", "unit", "strength", "metric", "better", "value", "floor", "floor_spread", "excess", "count")
GLYPH_METRICS = ("fd", "kid", "precision", "recall", "density", "coverage", "accuracy", "fd_global", "kid_global",
                 "fd_local", "kid_local", "repetition", "object_count", "object_size", "memorization")  # fmt: skip
PHOTOGRAPH_METRICS = ("fd", "kid", "precision", "recall", "density", "coverage", "fd_global", "kid_global",
                      "fd_local", "kid_local", "repetition", "memorization")  # fmt: skip

CAP = 99.0  # deviations of the floor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Disjoint sets of real images of one size: set 0 is the reference, 1 the training set, the rest are fresh."""

    sets: Sequence[tuple[np.ndarray, np.ndarray]]
    train_resolution: Size
    net: str
    judge: str | None
    classes: tuple[str, ...] | None


def glyph_source(
    count: int,
    floors: int,
    resolution: int = 64,
    train: int = 32,
    options: Mapping[str, object] | None = None,
    net: str = "glyphnet",
) -> Source:
    """Rendered glyphs from the test stream, white digits unless the options of `data: {name: glyphs}` say otherwise."""
    from rpe2d_bench import data

    glyphs = data.build({"name": "glyphs", **(options or {})})
    sets = []
    for index in range(2 + floors):
        indices = np.arange(index * count, (index + 1) * count)
        sets.append((glyphs.images("test", indices, (resolution, resolution)), glyphs.labels("test", indices)))
    judge = "glyphjudge" if net == "glyphnet" else None
    return Source(sets, (train, train), net, judge, glyphs.class_names if judge else None)


def folder_source(path: Path, count: int, floors: int, resolution: int = 128, train: int = 64) -> Source:
    """Photographs of a folder or zip of CLASS/ID.ext, resized to one square resolution, in a fixed random order."""
    from rpe2d_bench.metrics.image_source import ImageFiles, open_images
    from rpe2d_bench.metrics.nets.resize import resize

    files = open_images(path)
    if not isinstance(files, ImageFiles):
        raise UserError(f"{path} has no class folders; give a folder or a zip of CLASS/ID.ext")
    needed = count * (2 + floors)
    if files.count < needed:
        raise UserError(
            f"{path} holds {files.count} images, but {2 + floors} sets of {count} are needed; lower --count or --floors"
        )
    order = np.random.default_rng(0).permutation(files.count)[:needed]
    chosen = [files.names[index] for index in order]
    classes = sorted({PurePosixPath(name).parent.name for name in files.names})
    labels = np.array([classes.index(PurePosixPath(name).parent.name) for name in chosen])
    size = (resolution, resolution)
    images = np.concatenate(
        [np.rint(resize(batch, size).numpy()).astype(np.uint8) for batch in files.chosen(chosen).batches(64)]
    )
    sets = [(images[i * count : (i + 1) * count], labels[i * count : (i + 1) * count]) for i in range(2 + floors)]
    return Source(sets, (train, train), "efficientnet-lite0", None, None)


def run(
    source: Source, metrics: Sequence[str], corruptions: Sequence[str], seed: int = 0
) -> Iterator[dict[str, object]]:
    """One row (see `COLUMNS`) per corruption, strength and metric, as they are ready."""
    names = validate(metrics, source.net, source.judge)
    net = load_net(source.net, None, source.classes)
    judge = None if source.judge is None else load_net(source.judge, None, source.classes)

    def see(images: np.ndarray) -> Observations:
        return observe(images, metrics=names, net=net, judge=judge, train_resolution=source.train_resolution)

    reference, training = see(source.sets[0][0]), see(source.sets[1][0])

    def values(images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        found = score(
            see(images), reference, labels, metrics=names, reference_labels=source.sets[0][1], training=training,
            seed=seed,
        )  # fmt: skip
        return dict(zip(names, found.values.values(), strict=True))

    fresh = source.sets[2:]
    floors = [values(*each) for each in fresh]
    floor = {name: float(np.mean([each[name] for each in floors])) for name in names}
    spread = {name: float(np.std([each[name] for each in floors], ddof=1)) for name in names}
    for kind in corruptions:
        corruption = CORRUPTIONS[kind]
        for strength in corruption.strengths:
            rng = np.random.default_rng([seed, list(CORRUPTIONS).index(kind)])  # the same draws at every strength
            material = Material(*fresh[0], *source.sets[1], rng)
            found = values(*corruption.apply(material, strength))
            for name in names:
                sign = -1.0 if METRICS[name].better == "higher" else 1.0
                gap = sign * (found[name] - floors[0][name])  # against the same images, undamaged
                yield {
                    "corruption": kind, "unit": corruption.unit, "strength": strength, "metric": name,
                    "better": "higher" if METRICS[name].better == "higher" else "lower", "value": found[name],
                    "floor": floor[name], "floor_spread": spread[name],
                    "excess": _excess(gap, spread[name]),
                    "count": len(material.images),
                }  # fmt: skip


def _excess(gap: float, spread: float) -> float:
    """The gap in floor deviations, at most 99 either way: where the floor has no spread, any gap counts as that."""
    if spread == 0.0:
        return float(np.sign(gap)) * CAP
    return float(np.clip(gap / spread, -CAP, CAP))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Damage real images at rising strength and see what metrics notice.")
    parser.add_argument("out", type=Path, help="CSV to write")
    parser.add_argument("--images", type=Path, help="folder or zip of photographs, CLASS/ID.ext (default: glyphs)")
    parser.add_argument("--glyphs", type=yaml.safe_load, default={}, help="options of the glyphs, as in `data:`")
    parser.add_argument("--net", default="glyphnet", help="feature net for glyphs")
    parser.add_argument("--resolution", type=int, default=64, help="pixels of a side, for glyphs")
    parser.add_argument("--train-resolution", type=int, default=32, help="which global and local distances refer to")
    parser.add_argument("--count", type=int, default=500, help="images in each set")
    parser.add_argument("--floors", type=int, default=5, help="undamaged sets that give the floor's spread")
    parser.add_argument("--metrics", nargs="+", help="default: all that apply")
    parser.add_argument("--corruptions", nargs="+", choices=list(CORRUPTIONS), default=list(CORRUPTIONS))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.floors < 2:
        raise UserError("--floors must be at least 2: one set has no spread")
    if options.images is None:
        sizes = (options.resolution, options.train_resolution)
        source = glyph_source(options.count, options.floors, *sizes, options.glyphs, options.net)
    else:
        source = folder_source(options.images, options.count, options.floors)
    metrics = options.metrics or (GLYPH_METRICS if options.images is None else PHOTOGRAPH_METRICS)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        last = None
        for row in run(source, metrics, options.corruptions):
            if (row["corruption"], row["strength"]) != last:
                last = (row["corruption"], row["strength"])
                log.info("%s %s", *last)
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


if __name__ == "__main__":
    main()
